//! The work for each byte has a bound, whatever the text and however many keys there are. Steps are counted, not time.

use super::*;
use crate::leaks::work;

/// So many different keys as the registry makes them.
fn keys(count: u64) -> Vec<Secret> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[usize::try_from(state >> 40).unwrap() % 32])
    };
    let mut group = move || (0..5).map(|_| draw()).collect::<String>();
    let mut key = move || format!("TO-PRD-{}", (0..6).map(|_| group()).collect::<Vec<_>>().join("-"));
    (0..count).map(|_| secret(&key())).collect()
}

/// Text of so many bytes that is dense in what the scanner looks at twice.
fn dense(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let key = registry_key();
    let mut state = 7_u64;
    let mut draw = |alphabet: &[u8]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]
    };
    let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut of = |alphabet: &[u8]| (0..bytes).map(|_| draw(alphabet)).collect::<Vec<u8>>();
    let repeated = |text: &str| text.bytes().cycle().take(bytes).collect::<Vec<u8>>();
    let letters = of(base64);
    let escaped =
        |escape: fn(u8) -> String| letters.iter().flat_map(|&byte| escape(byte).into_bytes()).take(bytes).collect();
    vec![
        ("base64", of(base64)),
        ("base64 in lines", letters.chunks(76).collect::<Vec<_>>().join(&b'\n')),
        ("base64 in short lines", letters.chunks(16).collect::<Vec<_>>().join(&b'\n')),
        ("hex", of(b"0123456789abcdef")),
        ("JSON escapes", escaped(|byte| format!("\\u{byte:04x}"))),
        ("hex escapes", escaped(|byte| format!("\\x{byte:02x}"))),
        ("percent", escaped(|byte| format!("%{byte:02X}"))),
        ("entities", escaped(|byte| format!("&#{byte};"))),
        ("quoted-printable", escaped(|byte| format!("={byte:02X}"))),
        ("one percent", repeated("%41")),
        ("one JSON escape", repeated("\\u0041")),
        ("mixed escapes", repeated("%41\\u0041&#65;\\x41=41")),
        ("backslashes", repeated("\\")),
        ("breaks that are escaped", repeated("AAAAAAAAAAAAAAAAAAAA\\n")),
        ("numbers", escaped(|byte| format!("{byte},"))),
        ("hex numbers", escaped(|byte| format!("0x{byte:02x}, "))),
        ("commas", repeated(",")),
        ("small numbers", repeated("1,2,")),
        ("UTF-16", letters.iter().flat_map(|&byte| [byte, 0]).take(bytes).collect()),
        ("beginnings of keys", repeated("TO-PRD-")),
        ("shortest beginnings", repeated("TO-")),
        ("beginnings of tokens", repeated("sk_live_")),
        ("beginnings and a row", repeated("TO-PRD-7K2M9-XQ4ZD-")),
        ("beginnings and hyphens", repeated(&format!("TO-PRD-{}", "-".repeat(240)))),
        ("many ends", repeated(&format!("TO-{} ", "A1B-".repeat(60)))),
        ("beginnings in base64", repeated("VE8t")),
        ("beginnings in base64, broken", repeated("VE8tVE8tVE8tVE8tVE8t\n")),
        ("beginnings in hex", repeated("544f2d")),
        ("tokens", repeated("eyJ.")),
        ("tokens in base64", repeated("ZXlK")),
        ("tokens behind underscores", repeated("_eyJ")),
        ("tokens behind underscores, and ends", repeated(&format!("{}.", "_eyJ".repeat(120)))),
        ("tokens behind hyphens, with headers", repeated(&format!("{}.", "-eyJhbGciOiJF".repeat(38)))),
        ("equals signs", repeated(&format!("A1{}\n", "=".repeat(90_000)))),
        ("equals signs and nothing else", repeated("=")),
        ("equals signs in rows", repeated("A1B2C3==")),
        ("keys of a form", repeated(&format!("{key} "))),
        ("keys of a form, all joined", repeated(&key)),
        ("one character", repeated("A")),
        ("one digit", repeated("1")),
        ("one run of many kinds", repeated("a1./+=")),
        ("identifiers", repeated("a1b2c3d4e5f6 ")),
        ("the end of a key", repeated(&key[key.len() - 13..])),
        ("zeros", vec![0; bytes]),
        ("white space", repeated(" \n")),
    ]
}

fn steps(scanner: &Scanner, text: &[u8]) -> u64 {
    work::taken();
    let _ = scanner.scan(text);
    work::taken()
}

#[test]
fn no_text_makes_much_work_and_more_keys_make_no_more() {
    /// For each byte: every look at it again, in whichever writing.
    const STEPS_PER_BYTE_MAX: u64 = 24;
    const BYTES: usize = 200_000;

    let with = |keys: Vec<Secret>| {
        let known = BTreeSet::from([fingerprint("another-key-1234")]);
        scanner(Watch { secrets: keys, known, ..Watch::default() })
    };
    let (few, many) = (with(keys(3)), with(keys(100)));
    let mut over = Vec::new();
    for (name, text) in dense(BYTES) {
        let (few, many) = (steps(&few, &text), steps(&many, &text));
        let bytes = text.len() as u64;
        if many > STEPS_PER_BYTE_MAX * bytes || many > 2 * few + 2 * bytes {
            over.push(format!("{name}: {few} and {many} steps for {bytes} bytes"));
        }
    }
    assert_eq!(over, Vec::<String>::new());
}

#[test]
fn many_changes_make_no_more_work_than_to_look_at_everything() {
    let bytes = 400_000;
    for (name, text) in dense(bytes) {
        for secret in [registry_key(), "k7Qz".repeat(1_000)] {
            let scanner = configured(&secret);
            let mut changes = Changes::default();
            (0..text.len()).step_by(1_100).for_each(|at| changes.add(at..at));
            work::taken();
            scanner.finds_nothing_new(&text, &changes);
            let taken = work::taken();
            assert!(taken <= 6 * bytes as u64, "{name}: {taken} steps for {bytes} bytes");
        }
    }
}
