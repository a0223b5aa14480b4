//! What was made, written before it is made and flushed to the disk each time: all that teardown needs.
//!
//! One JSON record on each line. A process can be killed at any moment, so the last line may be cut off; what comes
//! before it is whole.

mod read;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use read::{Entry, JournalState, Standing, read};

/// Version of the journal's form.
pub const VERSION: u32 = 1;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The run began.
    Opened {
        /// Version of the journal's form.
        version: u32,
        /// Id of the run.
        run_id: String,
        /// When.
        at: Timestamp,
        /// How the environment is found again.
        environment: Value,
        /// What is wanted.
        topology: Value,
    },
    /// Something is about to be made.
    Intent {
        /// Number of the intent, from 1.
        seq: u64,
        /// The task that makes it.
        task: String,
        /// What.
        resource: Value,
        /// When.
        at: Timestamp,
    },
    /// It was made.
    Made {
        /// The intent.
        seq: u64,
        /// What the other side said of it, its id for one.
        details: Value,
    },
    /// The other side refused to make it.
    NotMade {
        /// The intent.
        seq: u64,
        /// Why.
        why: String,
    },
    /// It was removed, and is gone.
    Undone {
        /// The intent.
        seq: u64,
    },
    /// The run is over, and nothing of it is left.
    Closed {
        /// When.
        at: Timestamp,
    },
}

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has the run.
    #[error("{path}: another process is at work on this run", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A line before the last is no record.
    #[error("{path}:{line}: not a record of a journal: {why}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl JournalError {
    fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}

/// A journal open for writing. Holds a lock on the file, so that two processes never work on the same run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    next: u64,
}

impl Journal {
    /// Begins a new journal.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, run_id: &str, environment: Value, topology: Value) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(|error| JournalError::io(path, error))?;
        let journal = Self::locked(path, file, 1)?;
        journal.append(&Record::Opened {
            version: VERSION,
            run_id: run_id.to_owned(),
            at: Timestamp::now(),
            environment,
            topology,
        })?;
        Ok(journal)
    }

    /// Opens a journal to go on writing. A last line that was cut off is removed first.
    ///
    /// # Errors
    /// When it cannot be read or another process has it.
    pub fn open(path: &Path) -> Result<(Self, JournalState), JournalError> {
        let io = |error| JournalError::io(path, error);
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(io)?;
        lock(path, &file)?;
        let state = read(path)?;
        file.set_len(state.whole_bytes).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let next = state.entries.keys().next_back().map_or(1, |last| last + 1);
        Ok((Self { path: path.to_owned(), inner: Mutex::new(Inner { file, next }) }, state))
    }

    fn locked(path: &Path, file: File, next: u64) -> Result<Self, JournalError> {
        lock(path, &file)?;
        Ok(Self { path: path.to_owned(), inner: Mutex::new(Inner { file, next }) })
    }

    fn append(&self, record: &Record) -> Result<(), JournalError> {
        self.write(&mut self.inner.lock(), record)
    }

    fn write(&self, inner: &mut Inner, record: &Record) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(record).map_err(|error| JournalError::io(&self.path, error.into()))?;
        line.push(b'\n');
        inner
            .file
            .write_all(&line)
            .and_then(|()| inner.file.sync_data())
            .map_err(|error| JournalError::io(&self.path, error))
    }

    /// Notes that something is about to be made. Returns the intent's number.
    ///
    /// # Errors
    /// When the record cannot be written: then it must not be made.
    pub fn intent(&self, task: &str, resource: Value) -> Result<u64, JournalError> {
        let mut inner = self.inner.lock();
        let seq = inner.next;
        self.write(&mut inner, &Record::Intent { seq, task: task.to_owned(), resource, at: Timestamp::now() })?;
        inner.next += 1;
        Ok(seq)
    }

    /// Notes that it was made.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn made(&self, seq: u64, details: Value) -> Result<(), JournalError> {
        self.append(&Record::Made { seq, details })
    }

    /// Notes that the other side refused to make it.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn not_made(&self, seq: u64, why: &str) -> Result<(), JournalError> {
        self.append(&Record::NotMade { seq, why: why.to_owned() })
    }

    /// Notes that it was removed.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn undone(&self, seq: u64) -> Result<(), JournalError> {
        self.append(&Record::Undone { seq })
    }

    /// Notes that the run is over and nothing of it is left.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn closed(&self) -> Result<(), JournalError> {
        self.append(&Record::Closed { at: Timestamp::now() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(path: &Path, file: &File) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::Locked { path: path.to_owned() },
        TryLockError::Error(error) => JournalError::io(path, error),
    })
}

#[cfg(test)]
mod tests;
