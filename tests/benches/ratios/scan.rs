//! The scanner for leaks alone, on one thread, beside inflating the same text: whatever is scanned of a history is inflated before.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use license_core::{
    key::LicenseKey,
    leaks::{Scanner, Secret, Watch},
};

use crate::{
    Effort,
    table::{Row, median},
};

/// How much text of each kind there is, in bytes.
const TEXT_BYTES: usize = 2_000_000;
/// How many keys are configured: as in a project, and very many.
const KEYS: [usize; 2] = [3, 100];
/// How many keys are known by their fingerprints where some are.
const KNOWN: usize = 20;
/// How much faster the scanner is at least where text is as people write it, so that git is what a push waits for.
const FASTER: f64 = 2.0;

/// Whether a kind of text has a target.
#[derive(Debug, Clone, Copy)]
enum Target {
    Faster,
    Told,
}

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let sources = sources();
    let minified = minified(&sources);
    let texts = [
        ("sources", sources, Target::Faster),
        ("minified text", minified, Target::Faster),
        ("numbers", drawn(|text| write!(text, "{}, ", dice.below(256)).unwrap()), Target::Faster),
        ("`\\u00XX`", drawn(|text| write!(text, "\\u00{:02x}", dice.below(256)).unwrap()), Target::Told),
        ("base64", drawn(|text| text.push(dice.of(BASE64))), Target::Told),
    ];
    let scanners = KEYS.map(|count| (format!("{count} keys"), scanner(count, 0)));
    let [few, _] = KEYS;
    let known = (format!("{few} keys and {KNOWN} fingerprints"), scanner(few, KNOWN));
    let mut rows = Vec::new();
    for (name, text, target) in &texts {
        for (keys, scanner) in scanners.iter().chain([&known]) {
            let name = format!("scanning {name} for {keys} / inflating it");
            rows.push(row(&name, text.as_bytes(), scanner, *target, effort));
        }
    }
    rows
}

fn row(name: &str, text: &[u8], scanner: &Scanner, target: Target, effort: Effort) -> Row {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text).unwrap();
    let packed = packed.finish().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..effort.pick(31, 5) {
        ours.push(timed(|| assert_eq!(scanner.scan(text).len(), 0, "{name}: a leak")));
        theirs.push(timed(|| {
            let bytes = io::copy(&mut ZlibDecoder::new(&packed[..]), &mut io::sink()).unwrap();
            assert_eq!(bytes, text.len() as u64, "{name}: it was not inflated");
        }));
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    match target {
        Target::Faster => Row::faster_at_least(name, ours, theirs, FASTER),
        Target::Told => Row::told(name, ours, theirs),
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn scanner(keys: usize, known: usize) -> Scanner {
    let mut dice = Dice(7);
    let mut key = || {
        let groups: Vec<String> = (0..6).map(|_| (0..5).map(|_| dice.of(BASE32)).collect()).collect();
        format!("TO-PRD-{}", groups.join("-"))
    };
    let secrets = (0..keys).map(|_| Secret::new("a key", key().into()).unwrap()).collect();
    let known = (0..known).map(|_| LicenseKey::parse(&key()).unwrap().fingerprint()).collect();
    Scanner::new(Watch { secrets, known, ..Watch::default() }).unwrap()
}

/// The sources of the product.
fn sources() -> String {
    let mut text = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src")];
    while let Some(directory) = directories.pop() {
        let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// Without white space but for one between words.
fn minified(sources: &str) -> String {
    sources.split_whitespace().fold(String::new(), |mut text, word| {
        let is_word = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
        if is_word(text.chars().next_back()) && is_word(word.chars().next()) {
            text.push(' ');
        }
        text + word
    })
}

fn drawn(mut draw: impl FnMut(&mut String)) -> String {
    let mut text = String::new();
    while text.len() < TEXT_BYTES {
        draw(&mut text);
    }
    text
}

const BASE32: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Draws the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn of(&mut self, alphabet: &str) -> char {
        char::from(alphabet.as_bytes()[self.below(alphabet.len())])
    }
}
