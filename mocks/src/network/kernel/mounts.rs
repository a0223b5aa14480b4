//! What a program finds in its file system beside the machine's own files: files of its pod at their absolute paths, and
//! directories of its own, in a mount namespace that only it is in.
//!
//! Everything lies in memory (tmpfs) that the namespace alone holds. It goes with the last process in the namespace and
//! the last open file on it, whatever ends them; nothing is written to disk, and nothing is mounted where others see it.
//!
//! A directory that gets a file is covered by one in memory, in which every other entry is the machine's (bind mounts,
//! and copies of symbolic links). So a file can be put where the machine has none, and one that the machine has is not
//! touched. No right over the machine is needed, only one over the mount namespace: root of a user namespace has it too.
//!
//! Simplified: a pod's image is the machine's file system, and can be written to. A file in a directory right below `/`
//! that the machine lacks is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use parking_lot::Mutex;

/// What is to be mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Files by absolute path.
    pub files: BTreeMap<PathBuf, Bytes>,
    /// Directories by absolute path that are empty at first, whatever the machine has there, and may be written to by
    /// everyone.
    pub empty: BTreeSet<PathBuf>,
}

/// What is mounted: the files can be changed from outside the namespace.
#[derive(Debug)]
pub struct Mounted {
    /// The directories of the files, in memory.
    directories: BTreeMap<PathBuf, File>,
    files: Mutex<BTreeMap<PathBuf, Bytes>>,
}

/// An error with the place where it happened.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Takes the calling thread into a new mount namespace in which these are mounted. The thread is there for good, and so is
/// what it starts.
///
/// # Errors
/// Those of unshare(2) and mount(2), with the path; `InvalidInput` for a path that is not absolute or would have to be made
/// right below `/`.
pub fn enter(wanted: &Mounts) -> io::Result<Mounted> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)?;
    // What is mounted from here on is not seen from where the thread came from.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let mut covered = BTreeSet::new();
    for path in &wanted.empty {
        let (directory, rest) = existing(path)?;
        if rest.as_os_str().is_empty() {
            in_memory(&directory, "mode=1777")?;
        } else {
            if covered.insert(directory.clone()) {
                cover(&directory, &first(&rest).into_iter().collect())?;
            }
            fs::create_dir_all(path).map_err(at(path))?;
            in_memory(path, "mode=1777")?;
        }
        covered.insert(path.canonicalize().map_err(at(path))?);
    }
    // Which names each directory has to leave to the files, before any of them is covered.
    let mut names: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
    for path in wanted.files.keys() {
        let parent = path.parent().unwrap_or(path);
        let (directory, rest) = existing(parent)?;
        let name = first(&rest).or_else(|| path.file_name().map(OsString::from));
        names.entry(directory).or_default().extend(name);
    }
    for (directory, names) in names.iter().filter(|(directory, _)| !covered.contains(*directory)) {
        cover(directory, names)?;
    }
    let mut directories = BTreeMap::new();
    for (path, content) in &wanted.files {
        let Some(parent) = path.parent() else { continue };
        fs::create_dir_all(parent).map_err(at(parent))?;
        // Never one that is there: it would be the machine's.
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(at(path))?;
        file.write_all(content).map_err(at(path))?;
        directories.insert(parent.to_owned(), File::open(parent).map_err(at(parent))?);
    }
    Ok(Mounted { directories, files: Mutex::new(wanted.files.clone()) })
}

impl Mounted {
    /// Makes the files be these. Each is replaced at once, so that no reader sees half of it.
    ///
    /// # Errors
    /// Those of the file system; `NotFound` for a file in a directory that had none when it was mounted. The other files
    /// are what they should be all the same.
    pub fn update(&self, files: &BTreeMap<PathBuf, Bytes>) -> io::Result<()> {
        let mut known = self.files.lock();
        let mut result = Ok(());
        for (path, content) in files.iter().filter(|(path, content)| known.get(*path) != Some(content)) {
            let written = self.place(path).and_then(|(place, new)| {
                fs::write(&new, content)?;
                fs::rename(new, place)
            });
            result = result.and(written.map_err(at(path)));
        }
        for path in known.keys().filter(|path| !files.contains_key(*path)) {
            let removed = self.place(path).and_then(|(place, _)| fs::remove_file(place));
            result = result.and(removed.map_err(at(path)));
        }
        known.clone_from(files);
        result
    }

    /// Where a file is, as seen from any namespace, and where its successor is written.
    fn place(&self, path: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let directory = path.parent().and_then(|parent| self.directories.get(parent));
        let (Some(directory), Some(name)) = (directory, path.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let directory = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let mut new = OsString::from(".new-");
        new.push(name);
        Ok((directory.join(name), directory.join(new)))
    }
}

/// The deepest directory of a path that exists, with symbolic links resolved, and the rest of the path.
fn existing(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", path.display()));
    if !path.is_absolute() {
        return Err(refused("a path to mount at has to be absolute"));
    }
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(root) if root == Path::new("/") => break,
            Ok(directory) => {
                let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
                return Ok((directory, rest.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(ancestor)(error)),
        }
    }
    Err(refused("nothing can be mounted right below /, or in a directory there that this machine does not have"))
}

fn first(rest: &Path) -> Option<OsString> {
    rest.components().next().map(|name| name.as_os_str().to_owned())
}

fn in_memory(directory: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some(options)).map_err(|error| at(directory)(error.into()))
}

/// Covers a directory with one in memory that has the same entries, but for some names.
fn cover(directory: &Path, without: &BTreeSet<OsString>) -> io::Result<()> {
    let below = File::open(directory).map_err(at(directory))?;
    let machine = PathBuf::from(format!("/proc/self/fd/{}", below.as_raw_fd()));
    in_memory(directory, "mode=0755")?;
    for entry in fs::read_dir(&machine).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        if without.contains(&entry.file_name()) {
            continue;
        }
        let (from, to) = (machine.join(entry.file_name()), directory.join(entry.file_name()));
        let kind = entry.file_type().map_err(at(&to))?;
        if kind.is_symlink() {
            let link = fs::read_link(&from).and_then(|target| std::os::unix::fs::symlink(target, &to));
            link.map_err(at(&to))?;
            continue;
        }
        if kind.is_dir() { fs::create_dir(&to) } else { File::create(&to).map(drop) }.map_err(at(&to))?;
        match mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>) {
            // Deleted in the meantime.
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(at(&to)(error.into())),
        }
    }
    Ok(())
}
