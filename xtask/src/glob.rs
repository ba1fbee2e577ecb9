//! Globs over names with slashes: `*` stands for any text without a slash, `**` for any text, all else for itself.

/// A glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// `*`: any text without a slash.
    Name,
    /// `**`: any text.
    Path,
}

impl Glob {
    /// Every text is a glob.
    pub(crate) fn parse(text: &str) -> Self {
        Self { parts: parts(text.as_bytes()) }
    }

    /// Whether it means this name, all of it.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        // Every part that the rest of the name may begin at: nothing is tried twice, so that no glob is slow.
        let mut reached = self.with_empty(vec![true]);
        for &byte in name {
            let mut after = vec![false; self.parts.len() + 1];
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match part {
                    Part::Byte(wanted) => after[at + 1] |= *wanted == byte,
                    Part::Name => after[at] |= byte != b'/',
                    Part::Path => after[at] = true,
                }
            }
            reached = self.with_empty(after);
        }
        reached[self.parts.len()]
    }

    /// `*` and `**` stand for nothing, too.
    fn with_empty(&self, mut reached: Vec<bool>) -> Vec<bool> {
        reached.resize(self.parts.len() + 1, false);
        for (at, part) in self.parts.iter().enumerate() {
            let is_empty = matches!(part, Part::Name | Part::Path);
            reached[at + 1] |= reached[at] && is_empty;
        }
        reached
    }
}

fn parts(text: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (part, after) = match (first, after.strip_prefix(b"*")) {
            (b'*', Some(after)) => (Part::Path, after),
            (b'*', None) => (Part::Name, after),
            (byte, _) => (Part::Byte(byte), after),
        };
        parts.push(part);
        rest = after;
    }
    parts
}
