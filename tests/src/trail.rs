//! Reads a trail and checks its chain with code of its own.

use std::path::Path;

use license_core::chain::{Head, LineHash};
use serde_json::Value;

/// A trail whose chain holds.
#[derive(Debug)]
pub struct Trail {
    /// Every entry, oldest first.
    pub entries: Vec<Value>,
    /// Where it ends.
    pub head: Head,
}

impl Trail {
    /// Reads a file; a missing one is an empty trail. Fails the test when the chain does not hold.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with(b"\n"), "the last line of {} is torn", path.display());
        Self::of(&text)
    }

    /// Reads the lines of a trail. Fails the test when the chain does not hold.
    pub fn of(text: &[u8]) -> Self {
        let mut trail = Self { entries: Vec::new(), head: Head::EMPTY };
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            trail.push(line);
        }
        trail
    }

    fn push(&mut self, line: &[u8]) {
        let shown = String::from_utf8_lossy(line);
        let entry: Value = serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(entry["seq"], self.head.seq + 1, "out of order: {shown}");
        assert_eq!(entry["prev"], self.head.hash.to_string(), "the chain breaks at {shown}");
        assert_eq!(entry["v"], 1, "the version of {shown}");
        assert!(entry["at"].is_string() && entry["environment"].is_string(), "when and where: {shown}");
        self.head = Head { seq: self.head.seq + 1, hash: LineHash::of(line) };
        self.entries.push(entry);
    }

    /// Writes a trail as if everything in it had happened at one time; the chain holds.
    pub fn rewrite_at(path: &Path, at: &str) {
        let mut prev = LineHash::ZERO;
        let mut text = String::new();
        for mut entry in Self::read(path).entries {
            entry["prev"] = prev.to_string().into();
            entry["at"] = at.into();
            let line = entry.to_string();
            prev = LineHash::of(line.as_bytes());
            text.push_str(&line);
            text.push('\n');
        }
        std::fs::write(path, text).unwrap();
    }

    /// What happened, as words, oldest first. Claims and checkpoints are left out: they say nothing about a deploy.
    pub fn kinds(&self) -> Vec<&str> {
        let kinds = self.entries.iter().map(|entry| entry["kind"].as_str().unwrap());
        kinds.filter(|kind| !["claim", "checkpoint"].contains(kind)).collect()
    }

    /// What was done with the claim, as words, oldest first.
    pub fn claims(&self) -> Vec<&str> {
        let claims = self.entries.iter().filter(|entry| entry["kind"] == "claim");
        claims.map(|entry| entry["act"].as_str().unwrap()).collect()
    }

    /// What became true about rotations, as words, oldest first.
    pub fn facts(&self) -> Vec<&str> {
        let rotations = self.entries.iter().filter(|entry| entry["kind"] == "rotation");
        rotations.map(|entry| entry["fact"].as_str().unwrap()).collect()
    }

    /// The newest entry about a rotation that says this.
    pub fn last_fact(&self, fact: &str) -> &Value {
        let found = self.entries.iter().rev().find(|entry| entry["fact"] == fact);
        found.unwrap_or_else(|| panic!("no `{fact}` in the trail: {:?}", self.facts()))
    }

    /// The newest entry of a kind.
    pub fn last(&self, kind: &str) -> &Value {
        self.entries.iter().rev().find(|entry| entry["kind"] == kind).unwrap_or_else(|| {
            panic!("no `{kind}` in the trail: {:?}", self.kinds());
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Three lines that follow from each other.
    fn lines() -> Vec<String> {
        let mut prev = LineHash::ZERO;
        let line = |seq| {
            let at = "2026-01-01T00:00:00Z";
            let line =
                json!({ "v": 1, "seq": seq, "prev": prev.to_string(), "at": at, "environment": "e", "kind": "gate" });
            let text = line.to_string();
            prev = LineHash::of(text.as_bytes());
            text
        };
        (1..=3).map(line).collect()
    }

    fn read(text: &str) -> Trail {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Trail::read(file.path())
    }

    #[test]
    fn a_whole_trail_is_read_to_its_head() {
        let lines = lines();
        let trail = read(&(lines.join("\n") + "\n"));
        assert_eq!(trail.kinds(), ["gate"; 3]);
        assert_eq!(trail.head, Head { seq: 3, hash: LineHash::of(lines[2].as_bytes()) });
        assert_eq!(Trail::read(Path::new("/nowhere")).head, Head::EMPTY);
    }

    #[test]
    fn a_trail_that_was_changed_fails_the_test() {
        type Tamper = fn(&mut Vec<String>);
        let rows: [Tamper; 4] = [
            |lines| drop(lines.remove(0)),
            |lines| drop(lines.remove(1)),
            |lines| lines.swap(1, 2),
            |lines| lines[1] = lines[1].replace("gate", "gone"),
        ];
        for (row, tamper) in rows.into_iter().enumerate() {
            let mut lines = lines();
            tamper(&mut lines);
            let text = lines.join("\n") + "\n";
            assert!(std::panic::catch_unwind(|| read(&text)).is_err(), "row {row}");
        }
        assert!(std::panic::catch_unwind(|| read(&lines().join("\n"))).is_err(), "a torn tail");
    }
}
