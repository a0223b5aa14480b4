//! Real programs that run in pods: finding them, and asking for their versions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acrossk8s_mocks::workloads::{FOLDERS_OF_PODS, RealBinaries};

/// A program that can run in pods.
struct Known {
    name: &'static str,
    /// Argument that makes it say its version.
    version: &'static str,
    /// What stands before the version in what it says.
    before: &'static str,
    /// Where it comes from.
    package: &'static str,
}

const COREDNS: Known = Known {
    name: "coredns",
    version: "-version",
    before: "CoreDNS-",
    package: "the Go module github.com/coredns/coredns (`go install github.com/coredns/coredns@v1.13.2`)",
};
const NGINX: Known =
    Known { name: "nginx", version: "-v", before: "nginx/", package: "Debian's package nginx-light or nginx" };
const CURL: Known = Known { name: "curl", version: "--version", before: "curl ", package: "Debian's package curl" };

/// Folders of the system's programs, which a person's PATH may lack.
const SYSTEM: [&str; 2] = ["/usr/local/sbin", "/usr/sbin"];

/// Which real programs are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All of them, from the PATH where no path is given.
    pub all: bool,
    /// CoreDNS at this path.
    pub coredns: Option<PathBuf>,
    /// nginx at this path.
    pub nginx: Option<PathBuf>,
    /// curl at this path.
    pub curl: Option<PathBuf>,
}

/// Real programs of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RealPrograms {
    coredns: Option<Found>,
    nginx: Option<Found>,
    curl: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    version: String,
}

/// Why a real program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not on the PATH.
    #[error("there is no {name} on the PATH\n  to mend it: install {package}, or name it with --{name} PATH")]
    Missing {
        /// Its name.
        name: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// It does not say its version.
    #[error(
        "{path} cannot be used as {name}: {why}\n  to mend it: name another with --{name} PATH; it is in {package}"
    )]
    Unusable {
        /// Its name.
        name: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        why: String,
        /// Where it comes from.
        package: &'static str,
    },
}

impl RealPrograms {
    /// Finds programs and asks for their versions.
    ///
    /// # Errors
    /// For the first one that is missing or is something else.
    pub fn find(wanted: &Wanted) -> Result<Self, ProgramError> {
        let find = |known: &Known, given: &Option<PathBuf>| match given {
            Some(path) => known.at(path).map(Some),
            None if wanted.all => known.at(&known.on_path()?).map(Some),
            None => Ok(None),
        };
        Ok(Self {
            coredns: find(&COREDNS, &wanted.coredns)?,
            nginx: find(&NGINX, &wanted.nginx)?,
            curl: find(&CURL, &wanted.curl)?,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Their names and versions.
    pub fn versions(&self) -> Vec<(String, String)> {
        self.all().map(|(known, found)| (known.name.to_owned(), found.version.clone())).collect()
    }

    /// One that no pod sees, for it lies in a folder that pods have for themselves.
    pub fn hidden(&self) -> Option<&Path> {
        let hides = |path: &Path| FOLDERS_OF_PODS.iter().any(|folder| path.starts_with(folder));
        self.all().map(|(_, found)| found.path.as_path()).find(|path| hides(path))
    }

    /// Where they are.
    pub(super) fn binaries(&self) -> RealBinaries {
        let path = |found: &Option<Found>| found.as_ref().map(|found| found.path.clone());
        RealBinaries { coredns: path(&self.coredns), nginx: path(&self.nginx), curl: path(&self.curl) }
    }

    /// Arguments of the command line that name them.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        self.all().flat_map(|(known, found)| [format!("--{}", known.name).into(), found.path.clone().into()]).collect()
    }

    fn all(&self) -> impl Iterator<Item = (&'static Known, &Found)> {
        let all = [(&COREDNS, &self.coredns), (&NGINX, &self.nginx), (&CURL, &self.curl)];
        all.into_iter().filter_map(|(known, found)| Some((known, found.as_ref()?)))
    }
}

impl Known {
    fn on_path(&self) -> Result<PathBuf, ProgramError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
        let found = folders.map(|folder| folder.join(self.name)).find(|path| path.is_file());
        found.ok_or(ProgramError::Missing { name: self.name, package: self.package })
    }

    /// The program at a path, which is made absolute: it is started in another folder.
    fn at(&self, path: &Path) -> Result<Found, ProgramError> {
        let unusable =
            |why: String| ProgramError::Unusable { name: self.name, path: path.to_owned(), why, package: self.package };
        let absolute = path.canonicalize().map_err(|error| unusable(error.to_string()))?;
        let output = Command::new(&absolute)
            .arg(self.version)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| unusable(error.to_string()))?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let version = said.split_once(self.before).and_then(|(_, rest)| rest.split_whitespace().next());
        let version =
            version.ok_or_else(|| unusable(format!("`{} {}` says no version", path.display(), self.version)))?;
        Ok(Found { path: absolute, version: version.to_owned() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(folder: &Path, name: &str, says: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_program_is_known_by_what_it_says_of_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let coredns = script(folder.path(), "dns", "echo CoreDNS-1.13.2; echo linux/amd64, go1.25.5,");
        let nginx = script(folder.path(), "web", "echo nginx version: nginx/1.22.1 >&2");
        let wanted = Wanted { coredns: Some(coredns), nginx: Some(nginx.clone()), ..Wanted::default() };
        let programs = RealPrograms::find(&wanted).unwrap();
        let version = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(programs.versions(), [version("coredns", "1.13.2"), version("nginx", "1.22.1")]);
        assert_eq!(programs.binaries().curl, None);
        assert_eq!(programs.arguments()[2..], ["--nginx".into(), nginx.into_os_string()]);
    }

    #[test]
    fn another_program_is_refused_with_the_package_of_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let other = script(folder.path(), "nginx", "echo curl 8.0");
        let error = RealPrograms::find(&Wanted { nginx: Some(other), ..Wanted::default() }).unwrap_err().to_string();
        assert!(error.contains("says no version") && error.contains("nginx-light"), "{error}");
        let missing = folder.path().join("missing");
        let error = RealPrograms::find(&Wanted { curl: Some(missing), ..Wanted::default() }).unwrap_err().to_string();
        assert!(error.contains("No such file") && error.contains("package curl"), "{error}");
    }
}
