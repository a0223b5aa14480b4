//! Recording the stream, and reading it again.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use super::{Event, Subscriber};

/// Writes each event as a line of JSON.
pub struct Recorder {
    path: PathBuf,
    file: File,
}

/// A record that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line is no event.
    #[error("{path}:{line}: not an event: {why}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl Recorder {
    /// Begins a record; appends when there is one already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(path: &Path) -> Result<Self, RecordError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| RecordError::Io { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Subscriber for Recorder {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut line = serde_json::to_vec(event).map_err(|error| fail(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(fail)
    }
}

/// Reads a recorded stream. A last line that was cut off is passed over.
///
/// # Errors
/// When the file cannot be read, or a line before the last is no event.
pub fn read(path: &Path) -> Result<Vec<Event>, RecordError> {
    let io = |error| RecordError::Io { path: path.to_owned(), error };
    let mut lines = BufReader::new(File::open(path).map_err(io)?).split(b'\n').enumerate().peekable();
    let mut events = Vec::new();
    while let Some((index, line)) = lines.next() {
        let line = line.map_err(io)?;
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(event) => events.push(event),
            Err(_) if lines.peek().is_none() => break,
            Err(error) => {
                return Err(RecordError::Corrupt { path: path.to_owned(), line: index + 1, why: error.to_string() });
            }
        }
    }
    Ok(events)
}
