//! What is found in a text that was made of pieces of another one, where only what is new is looked at.

use core::ops::Range;

use super::{encodings, *};

/// A piece of a text.
#[derive(Debug, Clone)]
enum Piece {
    /// The other text has it.
    Old(Range<usize>),
    New(Range<usize>),
}

/// What is new in a text of these pieces, which the other text has from these places on.
fn changes(pieces: &[Piece], places: &[usize], base_bytes: usize) -> Changes {
    let (mut changes, mut follows, mut at) = (Changes::default(), 0, 0);
    for (piece, place) in pieces.iter().zip(places) {
        match piece {
            Piece::Old(range) => {
                if *place != follows {
                    changes.add(at..at);
                }
                follows = place + range.len();
                at = range.end;
            }
            Piece::New(range) => {
                changes.add(range.clone());
                at = range.end;
            }
        }
    }
    if follows != base_bytes {
        changes.add(at..at);
    }
    changes
}

/// One change.
fn new(range: Range<usize>) -> Changes {
    let mut changes = Changes::default();
    changes.add(range);
    changes
}

/// Asserts that what is found in a text, and not in the one that it was made of, is not passed over.
#[track_caller]
fn is_not_passed_over(scanner: &Scanner, text: &[u8], base: &[u8], changes: &Changes, name: &str) {
    let is_passed_over = scanner.finds_nothing_new(text, changes) && finds(scanner, text) && !finds(scanner, base);
    assert!(!is_passed_over, "{name}: {changes:?}");
}

/// A secret of so many characters.
fn long_secret(length: usize) -> String {
    (0..length).map(|at| char::from(b"k7Qz2WmX9vLp"[(at * at / 5 + at) % 12])).collect()
}

fn finds(scanner: &Scanner, text: &[u8]) -> bool {
    in_pieces(scanner, text, &[text.len().max(1)]).1 != Tally::default()
}

/// Every way in which a text is written.
fn every_writing(text: &str) -> Vec<(String, Vec<u8>)> {
    let plain = writings(text).into_iter().map(|(encoding, written)| (encoding.to_string(), written));
    plain.chain(encodings::all(text).into_iter().map(|(name, _, written)| (name, written))).collect()
}

/// Text in which nothing is found, and that has some of everything.
fn prose(bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line| format!("    let a{line} = \"b\\n{line}\"; // 1, 2 & 3%\n").into_bytes());
    lines.take(bytes).collect()
}

/// Asserts that a writing of something is found wherever in it a byte is new, or two pieces are one. Returns in how many
/// of these places the other text is known to have nothing.
#[track_caller]
fn is_found_wherever_it_changed(
    scanner: &Scanner,
    (name, written): (&str, &[u8]),
    around: &[u8],
    places: impl Iterator<Item = usize>,
) -> usize {
    let text = surrounded(around, written, around);
    assert!(finds(scanner, &text), "{name}");
    let mut clean = 0;
    for at in places.map(|at| around.len() + at) {
        let base_without = [&text[..at], &text[at + 1..]].concat();
        let base_apart = [&text[..at], b"<...>", &text[at..]].concat();
        for (base, changes) in [(base_without, new(at..at + 1)), (base_apart, new(at..at))] {
            is_not_passed_over(scanner, &text, &base, &changes, name);
            clean += usize::from(at % 16 == 0 && !finds(scanner, &base));
        }
    }
    clean
}

#[test]
fn a_key_that_one_new_byte_makes_or_that_two_pieces_make_is_found() {
    let key = registry_key();
    let around = prose(3_000);
    let mut clean = 0;
    for scanner in [configured(&key), forms(), known(&[&key])] {
        for (number, (name, written)) in every_writing(&key).into_iter().enumerate() {
            let places = (0..written.len()).skip(number % 3).step_by(3);
            clean += is_found_wherever_it_changed(&scanner, (&name, &written), &around, places);
        }
    }
    // It is not that the other text had it.
    assert!(clean > 1_000, "{clean}");
}

#[test]
fn the_longest_writings_of_a_secret_are_found_from_their_last_byte() {
    let secret =
        |sign: &str| ["0A", "1b", "2C", "3d", "4E", "5f"].map(|group| format!("{sign}k{group}Qz7w{sign}p9Lr{group}"));
    let around = prose(9_000);
    let mut clean = 0;
    for text in ["7", "-", "!", " "].map(|sign| secret(sign).concat()) {
        let scanner = configured(&text);
        let numbers = text.bytes().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
        let is_plain = |byte: u8| b"! ".contains(&byte);
        let escaped = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("\\U{byte:08x}") };
        for (name, written) in [
            ("escapes", each(&text, escaped)),
            ("a list", numbers.join(",\n        ").into_bytes()),
            ("a list with wide margins", numbers.join(",\r\n          ").into_bytes()),
        ] {
            let wide: Vec<u8> = written.iter().flat_map(|&byte| [byte, 0]).collect();
            for (name, written) in
                [(format!("{name} of {text}"), written), (format!("{name} of {text} in UTF-16"), wide)]
            {
                let places = (0..written.len()).rev().step_by(11).take(40);
                clean += is_found_wherever_it_changed(&scanner, (&name, &written), &around, places);
            }
        }
    }
    assert!(clean > 10, "{clean}");
}

#[test]
fn a_list_of_numbers_that_is_new_is_found_whatever_its_margin_and_wherever_it_stands() {
    let key = registry_key();
    let scanner = configured(&key);
    let numbers = key.bytes().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
    let behind = prose(6_000);
    for margin in (0..40).step_by(3) {
        let list = format!("let x = [{}];\n", numbers.join(&format!(",\n{}", " ".repeat(margin))));
        for shift in 0..27 {
            let before = prose(5_000 + shift);
            let text = surrounded(&before, list.as_bytes(), &behind);
            let all = new(before.len()..before.len() + list.len());
            let one = new(before.len() + 20..before.len() + 21);
            for changes in [all, one] {
                assert!(!scanner.finds_nothing_new(&text, &changes), "{margin} {shift} {changes:?}");
            }
        }
    }
}

#[test]
fn a_long_list_with_a_wide_margin_is_found_wherever_in_it_something_is_new() {
    let around = prose(120_000);
    for length in [60, 100, 150] {
        let text = long_secret(length);
        let scanner = configured(&text);
        let numbers = text.bytes().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
        for margin in [12, 24, 40, 60] {
            let list = numbers.join(&format!(",\n{}", " ".repeat(margin))).into_bytes();
            let wide: Vec<u8> = list.iter().flat_map(|&byte| [byte, 0]).collect();
            for list in [list, wide] {
                let text = surrounded(&around, &list, &around);
                for at in (0..list.len() - 2).step_by(list.len() / 12).map(|at| around.len() + at) {
                    let base = [&text[..at], b"zz", &text[at + 2..]].concat();
                    is_not_passed_over(&scanner, &text, &base, &new(at..at + 2), &format!("{length} {margin}"));
                }
            }
        }
    }
}

#[test]
fn what_begins_behind_a_change_and_depends_on_it_is_found() {
    let key = registry_key();
    let around = prose(30_000);
    let other = "another-key-1234";
    let hidden = format!("TO-ABCDEFGHIJKL{}\\n{key}", "q".repeat(2_000));
    let escapes = [r#"x ""#.as_bytes(), &[b'\\'; 2_001], b"u0054", &key.as_bytes()[1..], b"\""].concat();
    let glued = format!("{}q{key}", "xTO-yLK-".repeat(80)).into_bytes();
    for (name, scanner, written, changed) in [
        (
            "a known key in a run of base64",
            known(&[other]),
            STANDARD.encode(format!("TO-ABCDEFGHIJKL{} {other} ", "q".repeat(2_000))).into_bytes(),
            1,
        ),
        ("a form in a run of hex", forms(), hex(hidden.as_bytes()).into_bytes(), 0),
        ("behind many backslashes", configured(&key), escapes, 4),
        ("behind a row of beginnings", known(&[&key]), glued, 5),
    ] {
        let text = surrounded(&around, &written, &around);
        let at = around.len() + changed;
        let base = [&text[..at], &text[at + 1..]].concat();
        is_not_passed_over(&scanner, &text, &base, &new(at..at + 1), name);
    }
}

#[test]
fn a_long_secret_is_found_from_its_first_byte_and_from_its_last_however_it_is_escaped() {
    let around = prose(150_000);
    for length in [90, 200, 400] {
        let text = long_secret(length);
        let scanner = configured(&text);
        for (name, escape) in [
            ("escapes", (|byte| format!("\\U{byte:08x}")) as fn(u8) -> String),
            ("braces", |byte| format!("\\u{{{byte:06x}}}")),
            ("entities", |byte| format!("&#x{byte:08x};")),
        ] {
            let written = each(&text, escape);
            let wide: Vec<u8> = written.iter().flat_map(|&byte| [byte, 0]).collect();
            for written in [written, wide] {
                let text = surrounded(&around, &written, &around);
                for at in [around.len(), around.len() + written.len() - 2] {
                    let base = [&text[..at], &text[at + 1..]].concat();
                    is_not_passed_over(&scanner, &text, &base, &new(at..at + 1), &format!("{name} {length}"));
                }
            }
        }
    }
}

#[test]
fn a_token_that_its_last_byte_makes_is_found_in_every_writing() {
    let payload = format!(r#"{{"iss":"{}","dom":["{}"]}}"#, crate::token::ISSUER, "a.example ".repeat(400));
    let long = token(r#"{"alg":"EdDSA"}"#, &payload, 64);
    let around = prose(60_000);
    for (token, longest) in [(offline_token(), 200), (long, 8_000)] {
        for (scanner, name) in [(forms(), "form"), (known(&[&token]), "known")] {
            for (encoding, written) in writings(&token) {
                // Where it is escaped throughout, a row reaches as far as this.
                if written.len() > 2 * longest {
                    continue;
                }
                let text = surrounded(&around, &written, &around);
                let last = around.len() + written.len() - 1;
                let base = [&text[..last - 3], &text[last + 1..]].concat();
                let name = format!("{name} {encoding}");
                is_not_passed_over(&scanner, &text, &base, &new(last - 3..last + 1), &name);
            }
        }
    }
}

#[test]
fn what_was_changed_far_from_what_looks_odd_is_new_by_itself() {
    let text = prose(60_000);
    let scanner = everything_but_patterns();
    for range in [0..0, 0..1, 30_000..30_000, 30_000..30_200, 59_999..60_000, 60_000..60_000] {
        assert!(scanner.finds_nothing_new(&text, &new(range.clone())), "{range:?}");
    }
    assert!(scanner.finds_nothing_new(&text, &Changes::default()));
    // With a pattern, with much that is new, and in a short text, all of it is to be looked at.
    let changes = new(30_000..30_001);
    assert!(!patterns(&["ACME-[A-Z0-9]{4,}"]).finds_nothing_new(&text, &changes));
    assert!(scanner.finds_nothing_new(&text, &changes));
    assert!(!scanner.finds_nothing_new(&text[29_500..30_500], &new(500..501)));
    assert!(!scanner.finds_nothing_new(&text, &new(5_000..55_000)));
}

#[test]
fn changes_that_are_close_are_one() {
    let mut changes = Changes::default();
    for range in [0..0, 10..20, 20..20, 1_044..1_050, 2_075..2_075, 2_075..2_080] {
        changes.add(range);
    }
    assert_eq!(changes.ranges(), [0..1_050, 2_075..2_080]);
    changes.clear();
    assert_eq!(changes.ranges().len(), 0);
}

fn everything_but_patterns() -> Scanner {
    scanner(Watch {
        secrets: SECRETS.iter().map(|text| secret(text)).chain([secret(&registry_key())]).collect(),
        known: BTreeSet::from([fingerprint("another-key-1234"), fingerprint("0a1b/2c3d+4e5f==")]),
        ..Watch::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A text with something in it is cut into pieces, most of them within it. Some are new, and of the others another text is
    /// made, in any order, with something between them or nothing.
    #[test]
    fn what_is_found_in_a_text_and_not_in_what_it_was_made_of_is_found_in_what_is_new(
        which in 0..4_usize,
        row in any::<prop::sample::Index>(),
        near in near_misses(),
        before in 0..40_000_usize,
        cuts in collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..8),
        order in prop_oneof![3 => Just(0_u64), 1 => any::<u64>()],
        between in select(vec!["", "", "\n", "x", "<<<<\n", "-----------------------------------\n"]),
    ) {
        let text = [registry_key(), "Zq81mPw0".to_owned(), "another-key-1234".to_owned(), "a/b+c/d=e?f&g".to_owned()][which].clone();
        let scanner = everything_but_patterns();
        let (name, written) = { let rows = every_writing(&text); rows[row.index(rows.len())].clone() };
        let whole = [&prose(before), &b" \""[..], &written, b"\" ", &near, &prose(40_000)].concat();
        let middle = before.saturating_sub(100)..(before + written.len() + near.len().min(2_000) + 100).min(whole.len());
        let mut places: Vec<(usize, bool)> = cuts.iter().map(|(at, within, new)| {
            (if *within { middle.start + at.index(middle.len()) } else { at.index(whole.len()) }, *new)
        }).collect();
        places.sort_unstable();
        let (mut pieces, mut at) = (Vec::new(), 0);
        for (place, new) in places {
            // What is new is short, as in most changes.
            let end = if new { whole.len().min(place + 3) } else { place };
            if place > at { pieces.push(Piece::Old(at..place)); }
            if end > place.max(at) { pieces.push(Piece::New(place.max(at)..end)); }
            at = at.max(end);
        }
        pieces.push(Piece::Old(at..whole.len()));
        // Where in the other text each one stands.
        let mut numbers: Vec<usize> = (0..pieces.len()).collect();
        if order != 0 {
            numbers.sort_by_key(|number| (*number as u64 + 1).wrapping_mul(order | 1).rotate_left(23));
        }
        let (mut base, mut base_places) = (Vec::new(), vec![0; pieces.len()]);
        for number in numbers {
            if let Piece::Old(range) = &pieces[number] {
                if order != 0 { base.extend_from_slice(between.as_bytes()); }
                base_places[number] = base.len();
                base.extend_from_slice(&whole[range.clone()]);
                if order == 0 && number + 1 < pieces.len() { base.extend_from_slice(between.as_bytes()); }
            }
        }
        let changes = changes(&pieces, &base_places, base.len());
        if !finds(&scanner, &base) && scanner.finds_nothing_new(&whole, &changes) {
            prop_assert!(!finds(&scanner, &whole), "{}: {:?}", name, changes);
        }
    }
}
