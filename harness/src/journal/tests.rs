#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::read::parse;
use super::*;

fn written(directory: &Path) -> PathBuf {
    let path = directory.join("journal.ndjson");
    let journal = Journal::create(&path, "run-1", json!({"environment": "embedded"}), json!({"name": "tö"})).unwrap();
    let first = journal.intent("create-peering/1-2", json!({"kind": "peering"})).unwrap();
    journal.made(first, json!("pcx-1")).unwrap();
    let second = journal.intent("add-routes/1-to-2", json!({"kind": "route"})).unwrap();
    journal.not_made(second, "RouteAlreadyExists").unwrap();
    journal.intent("allow-traffic/1-to-2", json!({"kind": "rule", "description": "größer"})).unwrap();
    journal.undone(first).unwrap();
    journal.closed().unwrap();
    path
}

#[test]
fn what_was_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let state = read(&written(directory.path())).unwrap();

    assert_eq!(state.run_id, "run-1");
    let standings: Vec<_> = state.entries.values().map(|entry| entry.standing.clone()).collect();
    assert_eq!(standings, [Standing::Undone, Standing::NotMade, Standing::Open]);
    assert_eq!(state.standing().map(|(seq, _)| seq).collect::<Vec<_>>(), [3]);
    assert!(state.closed);
}

#[test]
fn cut_at_every_byte_it_reads_as_a_prefix_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(written(directory.path())).unwrap();
    for cut in 0..=bytes.len() {
        let path = directory.path().join(format!("cut-{cut}.ndjson"));
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let (journal, state) = Journal::open(&path).unwrap();
        let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        let expected = bytes.split_inclusive(|byte| *byte == b'\n').take(whole).map(<[u8]>::len).sum::<usize>();
        assert_eq!(state.whole_bytes, expected as u64, "cut at byte {cut}");

        let seq = journal.intent("later", json!(null)).unwrap();
        drop(journal);
        let again = read(&path).unwrap();
        assert_eq!(again.entries.len(), state.entries.len() + 1, "cut at byte {cut}");
        assert_eq!(again.entries[&seq].standing, Standing::Open);
    }
}

#[test]
fn a_broken_line_in_the_middle_is_told_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path());
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"record\":\"made\"", "\"record\":", 1);
    std::fs::write(&path, text).unwrap();

    let error = read(&path).unwrap_err();

    assert!(matches!(error, JournalError::Corrupt { line: 3, .. }), "{error}");
}

#[test]
fn two_never_write_the_same_journal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.ndjson");
    let _first = Journal::create(&path, "run-1", json!(null), json!(null)).unwrap();

    assert!(matches!(Journal::open(&path), Err(JournalError::Locked { .. })));
    assert!(matches!(Journal::create(&path, "run-1", json!(null), json!(null)), Err(JournalError::Io { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Path::new("journal.ndjson"), &bytes);
    }
}
