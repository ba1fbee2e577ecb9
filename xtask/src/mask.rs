//! Masks secrets in the output of children, whatever the chunks in which it comes.
//!
//! A secret is looked for as it is, and as base64, percent-encoding, hex and JSON write it. What is masked is
//! every byte of every occurrence; secrets that touch or overlap become one mask. Not found are encodings that
//! break lines inside of a secret, encodings of encodings, and parts of a secret.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use license_core::leaks::{BEGINNINGS, may_begin};

/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// Shorter secrets are not masked, in bytes.
pub(crate) const SECRET_BYTES_MIN: usize = 6;

/// The texts to mask: each secret with its base64 (three alignments, both alphabets), percent-encoded, hex and JSON forms.
#[derive(Clone, Default)]
pub(crate) struct Masks(Arc<Looked>);

/// What is looked for.
#[derive(Default)]
struct Looked {
    secrets: BTreeSet<String>,
    /// Made when the first text comes: most pushes say nothing, and for a hundred keys it takes as long as they do.
    automaton: OnceLock<Automaton>,
}

impl Masks {
    /// Masks for these secrets. Secrets shorter than [`SECRET_BYTES_MIN`] are left out: masking them would destroy the output.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).map(str::to_owned);
        Self(Arc::new(Looked { secrets: secrets.collect(), automaton: OnceLock::new() }))
    }

    /// Masks a whole text: what a stream comes to, whatever its chunks.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut masked = stream.push(text.as_bytes());
        masked.extend(stream.finish());
        // Secrets are text too, so they begin and end between characters: nothing is lost here.
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// A stream that masks across chunk borders.
    pub(crate) fn stream(&self) -> MaskedStream {
        MaskedStream {
            looked: Arc::clone(&self.0),
            state: ROOT,
            held: VecDeque::new(),
            start: 0,
            covered: VecDeque::new(),
            masking: false,
        }
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("secrets", &self.0.secrets.len()).finish_non_exhaustive()
    }
}

/// Masks a stream of bytes: holds back what may be the beginning of a secret, and nothing else.
pub(crate) struct MaskedStream {
    looked: Arc<Looked>,
    /// How far the newest bytes are into a form.
    state: usize,
    /// The newest bytes, exactly those that may be the beginning of a form.
    held: VecDeque<u8>,
    /// The position of the first byte that is held, counted from the beginning of the stream.
    start: u64,
    /// The positions from `start` on that belong to a form: ascending, and apart from each other.
    covered: VecDeque<Range<u64>>,
    /// Whether the last byte that was released belongs to a form, so that its mask stands already.
    masking: bool,
}

impl MaskedStream {
    /// Takes a chunk, and gives what can be shown by now.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(chunk.len() + self.held.len());
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            if self.state == ROOT && !self.looked.automaton().begins(byte) {
                rest = self.pass(rest, &mut shown);
            } else {
                self.step(byte, &mut shown);
                rest = after;
            }
        }
        shown
    }

    /// Most of most output: bytes that neither continue nor begin a form. Returns what comes after them.
    fn pass<'a>(&mut self, chunk: &'a [u8], shown: &mut Vec<u8>) -> &'a [u8] {
        let automaton = self.looked.automaton();
        let end = chunk.iter().position(|&byte| automaton.begins(byte)).unwrap_or(chunk.len());
        let (plain, rest) = chunk.split_at(end);
        shown.extend_from_slice(plain);
        self.start += plain.len() as u64;
        self.masking = false;
        rest
    }

    /// The stream ended: gives the rest.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        self.release(self.end(), &mut shown);
        shown
    }

    fn end(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    fn step(&mut self, byte: u8, shown: &mut Vec<u8>) {
        let automaton = self.looked.automaton();
        self.state = automaton.next(self.state, byte);
        self.held.push_back(byte);
        let node = &automaton.nodes[self.state];
        let (open, longest) = (node.open, node.longest);
        if longest > 0 {
            self.cover(self.end() - longest..self.end());
        }
        self.release(self.end() - open, shown);
    }

    fn cover(&mut self, form: Range<u64>) {
        let mut start = form.start;
        while let Some(last) = self.covered.back().filter(|last| last.end >= form.start) {
            start = start.min(last.start);
            self.covered.pop_back();
        }
        self.covered.push_back(start..form.end);
    }

    /// Shows the bytes before `end`: no form that is still to come can begin there.
    fn release(&mut self, end: u64, shown: &mut Vec<u8>) {
        while self.start < end {
            let Some(byte) = self.held.pop_front() else { return };
            let masked = self.covered.front().is_some_and(|form| form.contains(&self.start));
            match (masked, self.masking) {
                (true, true) => {}
                (true, false) => shown.extend_from_slice(MASK),
                (false, _) => shown.push(byte),
            }
            self.masking = masked;
            self.start += 1;
            if self.covered.front().is_some_and(|form| form.end <= self.start) {
                self.covered.pop_front();
            }
        }
    }
}

impl fmt::Debug for MaskedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskedStream").field("held_bytes", &self.held.len()).finish_non_exhaustive()
    }
}

impl Looked {
    fn automaton(&self) -> &Automaton {
        self.automaton.get_or_init(|| Automaton::of(&self.secrets.iter().map(String::as_str).flat_map(forms).collect()))
    }
}

/// Finds every form in one pass, as Aho and Corasick do.
///
/// It is our own because the mask needs to know after every byte how many of the last bytes may begin a form
/// (the open length of the state): a library that finds matches does not tell that.
struct Automaton {
    nodes: Vec<Node>,
    /// Which bytes begin a form.
    first: [bool; 256],
}

/// The beginning of a form; the root is the empty beginning.
#[derive(Default)]
struct Node {
    /// Its length in bytes.
    depth: u64,
    /// The longer beginnings, by the byte that is added; ascending.
    next: Vec<(u8, usize)>,
    /// Its longest proper suffix that begins a form.
    shorter: usize,
    /// The length of the longest form that is a suffix of it; 0 if none is.
    longest: u64,
    /// The length of its longest suffix that begins a form and is not the whole of it; 0 if none does.
    open: u64,
}

const ROOT: usize = 0;

impl Automaton {
    fn of(forms: &BTreeSet<Vec<u8>>) -> Self {
        let mut automaton = Self::default();
        for form in forms {
            automaton.add(form);
        }
        automaton.link();
        automaton
    }

    fn add(&mut self, form: &[u8]) {
        if let Some(&byte) = form.first() {
            self.first[usize::from(byte)] = true;
        }
        let mut at = ROOT;
        for &byte in form {
            at = match self.nodes[at].next.binary_search_by_key(&byte, |edge| edge.0) {
                Ok(edge) => self.nodes[at].next[edge].1,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node { depth: self.nodes[at].depth + 1, ..Node::default() });
                    self.nodes[at].next.insert(place, (byte, new));
                    new
                }
            };
        }
        self.nodes[at].longest = self.nodes[at].depth;
    }

    /// Links every node to its longest proper suffix, shorter ones first: each link is found through those before it.
    fn link(&mut self) {
        let mut queue = VecDeque::from([ROOT]);
        while let Some(at) = queue.pop_front() {
            for (byte, child) in self.nodes[at].next.clone() {
                let shorter = if at == ROOT { ROOT } else { self.next(self.nodes[at].shorter, byte) };
                self.nodes[child].shorter = shorter;
                self.nodes[child].longest = self.nodes[child].longest.max(self.nodes[shorter].longest);
                let whole = self.nodes[child].next.is_empty();
                self.nodes[child].open = if whole { self.nodes[shorter].open } else { self.nodes[child].depth };
                queue.push_back(child);
            }
        }
    }

    fn begins(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }

    fn next(&self, mut at: usize, byte: u8) -> usize {
        loop {
            let node = &self.nodes[at];
            match node.next.binary_search_by_key(&byte, |edge| edge.0) {
                Ok(edge) => return node.next[edge].1,
                Err(_) if at == ROOT => return ROOT,
                Err(_) => at = node.shorter,
            }
        }
    }
}

impl Default for Automaton {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], first: [false; 256] }
    }
}

/// A text without what may be a key or a token that nobody knows: whatever begins like one, up to a space or a sign that
/// no key has. More is hidden than is one, so that nothing is that is: for texts that only people read.
pub(crate) fn without_forms(text: &str) -> String {
    let ends = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '(' | ')' | '<' | '>');
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let begins = BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning)) && may_begin(text.as_bytes(), at);
        let length = if begins { rest.find(ends).unwrap_or(rest.len()) } else { 0 };
        if length >= FORM_BYTES_MIN {
            shown.push_str("***");
            at += length;
        } else {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            shown.push_str(&rest[..next]);
            at += next;
        }
    }
    shown
}

/// What begins like a key and is shorter is a word, in bytes.
const FORM_BYTES_MIN: usize = 12;

/// Every way in which a secret may be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec(), hex(bytes, Hex::Lower), hex(bytes, Hex::Upper)];
    for kept in KEPT_BY_PERCENT_ENCODERS {
        forms.push(percent_encoded(bytes, kept, Hex::Lower));
        forms.push(percent_encoded(bytes, kept, Hex::Upper));
    }
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        forms.extend(base64_forms(bytes, &GeneralPurpose::new(alphabet, NO_PAD)));
    }
    forms.extend(json_forms(secret));
    forms
}

/// What percent-encoders leave as it is, beside letters and digits: RFC 3986 unreserved characters only,
/// JavaScript's `encodeURIComponent`, HTML forms, and the characters of an RFC 3986 path segment.
const KEPT_BY_PERCENT_ENCODERS: [&[u8]; 4] = [b"-._~", b"-._~!'()*", b"-._*", b"-._~!$&'()*+,;=:@"];

fn percent_encoded(secret: &[u8], kept: &[u8], digits: Hex) -> Vec<u8> {
    secret.iter().fold(Vec::new(), |mut encoded, &byte| {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.push(b'%');
            encoded.extend(hex(&[byte], digits));
        }
        encoded
    })
}

/// The characters that depend on the secret alone, for each of the three places in a group of three bytes at which
/// it may begin, and the whole encoding of the secret on its own.
fn base64_forms(secret: &[u8], engine: &GeneralPurpose) -> Vec<Vec<u8>> {
    const BYTE_BITS: usize = 8;
    const DIGIT_BITS: usize = 6;
    let mut forms: Vec<Vec<u8>> = (0..3)
        .map(|before| {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(secret);
            let first = (before * BYTE_BITS).div_ceil(DIGIT_BITS);
            let end = bytes.len() * BYTE_BITS / DIGIT_BITS;
            engine.encode(bytes).as_bytes()[first..end].to_vec()
        })
        .collect();
    let alone = engine.encode(secret);
    let padding = "=".repeat(alone.len().next_multiple_of(4) - alone.len());
    forms.push(format!("{alone}{padding}").into_bytes());
    forms
}

/// As JSON writers do it: only what must be escaped; slashes too; and characters that mean something in HTML too.
fn json_forms(secret: &str) -> [Vec<u8>; 3] {
    let quoted = serde_json::Value::from(secret).to_string();
    let bare = &quoted[1..quoted.len() - 1];
    let html = bare.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    [bare.to_owned(), bare.replace('/', "\\/"), html].map(String::into_bytes)
}

#[derive(Debug, Clone, Copy)]
enum Hex {
    Lower,
    Upper,
}

fn hex(bytes: &[u8], digits: Hex) -> Vec<u8> {
    let digits = match digits {
        Hex::Lower => b"0123456789abcdef",
        Hex::Upper => b"0123456789ABCDEF",
    };
    bytes.iter().flat_map(|&byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "TO-PRD-8f2e/41+aa?=\"&";

    #[test]
    fn what_may_be_a_key_is_hidden_up_to_its_end() {
        for (text, expected) in [
            ("replacing 'TO-PRD-9Zq/7+Marker=K3y4' by LK-4F2A-77C1", "replacing '***' by ***"),
            ("key=to_live_abcdefgh, é LIC-0123456789", "key=***, é ***"),
            ("a TO-DO, AUTO-SCALING-GROUPS and TO-PRD", "a TO-DO, AUTO-SCALING-GROUPS and TO-PRD"),
        ] {
            assert_eq!(without_forms(text), expected);
        }
    }

    #[test]
    fn the_secret_is_masked_as_it_is() {
        let masks = Masks::of([KEY]);
        assert_eq!(masks.text(&format!("key={KEY};")), "key=***;");
        assert_eq!(masks.text("nothing to see"), "nothing to see");
    }

    #[test]
    fn every_base64_alignment_is_masked() {
        let masks = Masks::of([KEY]);
        for before in ["", "a", "ab", "abc", "LICENSE_KEY="] {
            for engine in [STANDARD, URL_SAFE] {
                let encoded = engine.encode(format!("{before}{KEY}\nmore text"));
                let shown = masks.text(&encoded);
                assert!(shown.contains("***"), "{before:?}: {shown}");
                // Decoding what is left must not show more than the one or two digits at each end.
                assert!(shown.len() < encoded.len() - KEY.len(), "{before:?}: {shown}");
            }
        }
        assert_eq!(masks.text(&STANDARD.encode(KEY)), "***");
    }

    #[test]
    fn other_encodings_are_masked() {
        let masks = Masks::of([KEY]);
        for encoded in [
            "TO-PRD-8f2e%2F41%2Baa%3F%3D%22%26",
            "TO-PRD-8f2e%2f41%2baa%3f%3d%22%26",
            "TO-PRD-8f2e%2F41+aa%3F=%22&",
            "TO-PRD-8f2e/41+aa?=\\\"&",
            "TO-PRD-8f2e\\/41+aa?=\\\"&",
            "TO-PRD-8f2e/41+aa?=\\\"\\u0026",
            "544f2d5052442d386632652f34312b61613f3d2226",
            "544F2D5052442D386632652F34312B61613F3D2226",
        ] {
            assert_eq!(masks.text(encoded), "***", "{encoded}");
        }
    }

    #[test]
    fn a_prompt_is_shown_at_once() {
        let mut stream = Masks::of([KEY]).stream();
        assert_eq!(stream.push(b"Continue? "), b"Continue? ");
        assert_eq!(stream.push(b"TO-PRD"), b"", "this may be the key");
        assert_eq!(stream.push(b"uction"), b"TO-PRDuction");
    }

    #[test]
    fn a_whole_secret_is_masked_at_once() {
        let mut stream = Masks::of(["abcdefgh"]).stream();
        assert_eq!(stream.push(b"<abcdefgh"), b"<***");
        assert_eq!(stream.push(b"abcdefgh>"), b">", "a secret that touches the last one is in its mask");
    }

    #[test]
    fn the_beginning_of_a_secret_at_the_end_is_shown() {
        let mut stream = Masks::of([KEY]).stream();
        assert_eq!(stream.push(b"see TO-PRD"), b"see ");
        assert_eq!(stream.finish(), b"TO-PRD");
    }

    #[test]
    fn secrets_that_overlap_become_one_mask() {
        let masks = Masks::of(["abcdefgh", "efghijkl", "cdefgh"]);
        assert_eq!(masks.text("<abcdefghijkl>"), "<***>");
        assert_eq!(masks.text("<abcdefghabcdefgh>"), "<***>");
        assert_eq!(masks.text("<abcdefgh efghijkl>"), "<*** ***>");
        assert_eq!(masks.text("<abcdefgijkl>"), "<abcdefgijkl>");
    }

    #[test]
    fn a_secret_that_repeats_itself_is_masked() {
        assert_eq!(Masks::of(["aabaab"]).text("aaabaabaabaac"), "a***aac");
    }

    #[test]
    fn short_secrets_are_left_alone() {
        assert_eq!(Masks::of(["abcde", ""]).text("abcde"), "abcde");
    }

    #[test]
    fn debug_shows_numbers_only() {
        let masks = Masks::of([KEY]);
        let mut stream = masks.stream();
        stream.push(b"TO-PRD");
        let shown = format!("{masks:?} {stream:?}");
        assert!(!shown.contains("TO-PRD") && !shown.contains("84"), "{shown}");
        assert!(shown.contains("secrets: 1") && shown.contains("held_bytes: 6"), "{shown}");
    }

    /// What the mask means, said in the plainest way.
    fn plainly_masked(secrets: &[String], text: &[u8]) -> Vec<u8> {
        let mut covered = vec![false; text.len()];
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            for start in 0..text.len() {
                if text[start..].starts_with(&form) {
                    covered[start..start + form.len()].fill(true);
                }
            }
        }
        let mut shown = Vec::new();
        for at in 0..text.len() {
            match (covered[at], at > 0 && covered[at - 1]) {
                (true, true) => {}
                (true, false) => shown.extend_from_slice(MASK),
                (false, _) => shown.push(text[at]),
            }
        }
        shown
    }

    /// Secrets over a small alphabet overlap often. They hold no `*`: what the mask writes cannot complete one then.
    fn secrets() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab/]{6,9}|[!-)+-~]{6,40}|\\PC{6,9}", 1..4)
    }

    #[derive(Debug, Clone)]
    enum Piece {
        Noise(Vec<u8>),
        Form(usize, usize),
        Part(usize, usize, usize),
    }

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(Piece::Noise),
            "[ab/]{0,8}".prop_map(|text| Piece::Noise(text.into_bytes())),
            (any::<usize>(), any::<usize>()).prop_map(|(secret, form)| Piece::Form(secret, form)),
            (any::<usize>(), any::<usize>(), any::<usize>())
                .prop_map(|(secret, form, bytes)| Piece::Part(secret, form, bytes)),
        ];
        proptest::collection::vec(piece, 0..12)
    }

    fn written(piece: &Piece, secrets: &[String]) -> Vec<u8> {
        let form = |secret: usize, form: usize| {
            let forms = forms(&secrets[secret % secrets.len()]);
            forms[form % forms.len()].clone()
        };
        match *piece {
            Piece::Noise(ref bytes) => bytes.clone(),
            Piece::Form(secret, number) => form(secret, number),
            Piece::Part(secret, number, bytes) => {
                let form = form(secret, number);
                form[..bytes % form.len()].to_vec()
            }
        }
    }

    proptest! {
        #[test]
        fn masking_does_not_depend_on_the_chunks(
            secrets in secrets().prop_filter("no mask in a secret", |all| all.iter().all(|one| !one.contains('*'))),
            pieces in pieces(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let text: Vec<u8> = pieces.iter().flat_map(|piece| written(piece, &secrets)).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let all_forms: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms(secret)).collect();
            let longest = all_forms.iter().map(Vec::len).max().unwrap();

            let mut stream = Masks::of(secrets.iter().map(String::as_str)).stream();
            let mut shown = Vec::new();
            for cut in cuts.windows(2) {
                shown.extend(stream.push(&text[cut[0]..cut[1]]));
                prop_assert!(stream.held.len() < longest);
                prop_assert!(
                    stream.held.is_empty()
                        || all_forms.iter().any(|form| form.starts_with(stream.held.make_contiguous())),
                    "only what may begin a form is held back"
                );
            }
            shown.extend(stream.finish());

            prop_assert_eq!(&shown, &plainly_masked(&secrets, &text));
            for form in &all_forms {
                prop_assert!(!shown.windows(form.len()).any(|window| window == form), "{:?} is shown", form);
            }
        }
    }
}
