//! Reading a journal, whole or cut off.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{JournalError, Record};

/// What a journal says.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalState {
    /// Id of the run; empty when not even the first line is whole.
    pub run_id: String,
    /// How the environment is found again.
    pub environment: Value,
    /// What was wanted.
    pub topology: Value,
    /// Intents by number, in the order in which they were written.
    pub entries: BTreeMap<u64, Entry>,
    /// Whether the run is over and nothing of it is left.
    pub closed: bool,
    /// How many bytes of the file are whole records.
    pub whole_bytes: u64,
}

/// An intent and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The task.
    pub task: String,
    /// What was to be made.
    pub resource: Value,
    /// What became of it.
    pub standing: Standing,
}

/// What became of an intent.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing was written after the intent: it may have been made.
    Open,
    /// It was made.
    Made(Value),
    /// The other side refused.
    NotMade,
    /// It was made and removed.
    Undone,
}

impl JournalState {
    /// Intents that may stand for something that exists, newest first.
    pub fn standing(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .iter()
            .rev()
            .filter(|(_, entry)| matches!(entry.standing, Standing::Open | Standing::Made(_)))
            .map(|(seq, entry)| (*seq, entry))
    }
}

/// Reads a journal. A last line that was cut off is passed over: what it was about to say had not happened, or stands
/// as an open intent.
///
/// # Errors
/// When the file cannot be read, or a line before the last is no record.
pub fn read(path: &Path) -> Result<JournalState, JournalError> {
    let bytes = std::fs::read(path).map_err(|error| JournalError::io(path, error))?;
    parse(path, &bytes)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<JournalState, JournalError> {
    let mut state = JournalState {
        run_id: String::new(),
        environment: Value::Null,
        topology: Value::Null,
        entries: BTreeMap::new(),
        closed: false,
        whole_bytes: 0,
    };
    // A record counts once its line feed is there.
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let Some(record) = line.strip_suffix(b"\n") else { break };
        match serde_json::from_slice(record) {
            Ok(record) => state.apply(record),
            // A torn write can also leave a line feed behind garbage when the machine itself went down.
            Err(_) if lines.peek().is_none() => break,
            Err(error) => {
                return Err(JournalError::Corrupt { path: path.to_owned(), line: index + 1, why: error.to_string() });
            }
        }
        state.whole_bytes += line.len() as u64;
    }
    Ok(state)
}

impl JournalState {
    fn apply(&mut self, record: Record) {
        let mut stand = |seq: u64, standing: Standing| {
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.standing = standing;
            }
        };
        match record {
            Record::Opened { run_id, environment, topology, .. } => {
                self.run_id = run_id;
                self.environment = environment;
                self.topology = topology;
            }
            Record::Intent { seq, task, resource, .. } => {
                self.entries.insert(seq, Entry { task, resource, standing: Standing::Open });
            }
            Record::Made { seq, details } => stand(seq, Standing::Made(details)),
            Record::NotMade { seq, .. } => stand(seq, Standing::NotMade),
            Record::Undone { seq } => stand(seq, Standing::Undone),
            Record::Closed { .. } => self.closed = true,
        }
    }
}
