//! The directory of a run: its journal, events, reports and files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::{self, JournalError, JournalState};

/// The journal.
pub const JOURNAL: &str = "journal.ndjson";
/// The recorded events.
pub const EVENTS: &str = "events.ndjson";
/// The report as JSON.
pub const REPORT: &str = "report.json";
/// The report as JUnit XML.
pub const JUNIT: &str = "junit.xml";
/// The last observation.
pub const OBSERVATION: &str = "observation.json";
/// The kubeconfig with a context for each cluster.
pub const KUBECONFIG: &str = "kubeconfig";
/// Log of a kept lab's process.
pub const LAB_LOG: &str = "lab.log";

/// A run directory that cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// It cannot be made.
    #[error("the run directory {path} cannot be made: {error}\n  to mend it: name a writable one with --runs-dir or ACROSSK8S_RUNS_DIR", path = path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is none with this id.
    #[error("there is no run {id} in {runs}\n  to mend it: `acrossk8s runs` lists those that there are", runs = runs.display())]
    Missing {
        /// The id.
        id: String,
        /// Where it was looked for.
        runs: PathBuf,
    },
}

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    /// Id of the run.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
}

impl RunDirectory {
    /// Makes the directory of a new run, with a fresh id.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(runs: &Path) -> Result<Self, RunDirectoryError> {
        loop {
            let id = fresh_id();
            let path = runs.join(&id);
            let made = fs::create_dir_all(runs).and_then(|()| fs::create_dir(&path));
            match made {
                // Absolute, so that a kept lab and later commands find it from anywhere.
                Ok(()) => return Ok(Self { id, path: fs::canonicalize(&path).unwrap_or(path) }),
                // Another run took the id at the same moment.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => return Err(RunDirectoryError::Create { path, error }),
            }
        }
    }

    /// Finds the directory of a run.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(runs: &Path, id: &str) -> Result<Self, RunDirectoryError> {
        let path = runs.join(id);
        // An id is one name: anything else would lead out of the directory.
        let one_name = Path::new(id).components().count() == 1 && !id.starts_with('.');
        if one_name && path.join(JOURNAL).is_file() {
            Ok(Self { id: id.to_owned(), path: fs::canonicalize(&path).unwrap_or(path) })
        } else {
            Err(RunDirectoryError::Missing { id: id.to_owned(), runs: runs.to_owned() })
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Time and chance: `20261124-101502-a1b2c3`.
fn fresh_id() -> String {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("{now}-{:06x}", rand::random::<u32>() & 0xff_ffff)
}

/// Every run in a directory, oldest first, with its journal. A directory that does not exist holds no runs.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(runs: &Path) -> io::Result<Vec<(RunDirectory, Result<JournalState, JournalError>)>> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if path.join(JOURNAL).is_file() {
            let journal = journal::read(&path.join(JOURNAL));
            found.push((RunDirectory { id, path }, journal));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    Ok(found)
}
