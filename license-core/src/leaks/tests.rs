//! Every way in which a secret is written, and what only looks like one.

use std::{
    borrow::ToOwned,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use proptest::{collection, prelude::*, sample::select};
use zeroize::Zeroizing;

use super::*;
use crate::key::{Fingerprint, LicenseKey};

mod changed;
mod encodings;
mod innocent;
mod work;

/// A key as the registry makes them, put together here so that no scanner finds it in this file.
fn registry_key() -> String {
    ["TO-PRD", "7K2M9", "XQ4ZD", "H1V8R", "3TWNC", "B6P0E", "JY5GA"].join("-")
}

fn fingerprint(text: &str) -> Fingerprint {
    LicenseKey::parse(text).unwrap().fingerprint()
}

fn secret(text: &str) -> Secret {
    Secret::new("the key", Zeroizing::new(text.to_owned())).unwrap()
}

fn scanner(watch: Watch) -> Scanner {
    Scanner::new(watch).unwrap()
}

fn configured(text: &str) -> Scanner {
    scanner(Watch { secrets: vec![secret(text)], ..Watch::default() })
}

fn forms() -> Scanner {
    scanner(Watch::default())
}

fn known(texts: &[&str]) -> Scanner {
    scanner(Watch { known: texts.iter().map(|text| fingerprint(text)).collect(), ..Watch::default() })
}

fn patterns(texts: &[&str]) -> Scanner {
    scanner(Watch { patterns: texts.iter().map(|text| Pattern::parse(text).unwrap()).collect(), ..Watch::default() })
}

/// What a stream finds, in pieces of these sizes, taken in turn.
fn in_pieces(scanner: &Scanner, whole: &[u8], sizes: &[usize]) -> (Vec<Leak>, Tally) {
    let mut stream = scanner.stream();
    let mut found = Vec::new();
    let mut rest = whole;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*size));
        stream.push(piece, &mut found);
        rest = after;
    }
    let tally = stream.finish(&mut found);
    (found, tally)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn each(text: &str, encode: impl Fn(u8) -> String) -> Vec<u8> {
    text.bytes().map(encode).collect::<String>().into_bytes()
}

/// How a text may be written, with how many bytes stand before its first digit where more is encoded than the text.
fn writings(text: &str) -> Vec<(Encoding, Vec<u8>)> {
    let is_escaped = |byte: u8| !byte.is_ascii_alphanumeric();
    let plain = |byte: u8| String::from(char::from(byte));
    vec![
        (Encoding::Plain, text.as_bytes().to_vec()),
        (Encoding::Base64, STANDARD.encode(text).into_bytes()),
        (Encoding::Base64, STANDARD_NO_PAD.encode(text).into_bytes()),
        (Encoding::Base64Url, URL_SAFE_NO_PAD.encode(text).into_bytes()),
        (Encoding::Hex, hex(text.as_bytes()).into_bytes()),
        (Encoding::Hex, hex(text.as_bytes()).to_uppercase().into_bytes()),
        (Encoding::Percent, each(text, |byte| format!("%{byte:02x}"))),
        (Encoding::Percent, each(text, |byte| format!("%{byte:02X}"))),
        (Encoding::Percent, each(text, |byte| if is_escaped(byte) { format!("%{byte:02X}") } else { plain(byte) })),
        (Encoding::Percent, each(text, |byte| if is_escaped(byte) { format!("%{byte:02x}") } else { plain(byte) })),
        (Encoding::JsonEscape, each(text, |byte| format!("\\u{byte:04x}"))),
        (Encoding::JsonEscape, each(text, |byte| format!("\\u{byte:04X}"))),
        (
            Encoding::JsonEscape,
            each(text, |byte| if is_escaped(byte) { format!("\\u{byte:04x}") } else { plain(byte) }),
        ),
        (
            Encoding::JsonEscape,
            each(text, |byte| if b"/\"\\".contains(&byte) { format!("\\{}", plain(byte)) } else { plain(byte) }),
        ),
        (Encoding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (Encoding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ]
}

fn surrounded(before: &[u8], writing: &[u8], after: &[u8]) -> Vec<u8> {
    [before, writing, after].concat()
}

const SECRETS: [&str; 6] = [
    "k8dj/2s+a9=x4\"q1\\z~7",
    "Zq81mPw0",
    "a/b+c/d=e?f&g",
    "0123456789012345",
    "zK4-9fQ2_mX7.tB1!cV6*nH3'sD8(pL5)",
    "eyJhbGciOiJFZERTQSJ9.eyJhIjoxfQ.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw",
];

#[test]
fn a_secret_is_found_in_every_writing() {
    for text in SECRETS.map(str::to_owned).into_iter().chain([registry_key()]) {
        let scanner = configured(&text);
        for (encoding, writing) in writings(&text) {
            let whole = surrounded(b"x\ny \"", &writing, b"\" z\n");
            let found = scanner.scan(&whole);
            assert_eq!(found.len(), 1, "{text} {encoding} {found:?}");
            assert_eq!((found[0].offset, found[0].line), (5, 2), "{text} {encoding}");
            assert_eq!(found[0].what, LeakKind::Configured { name: "the key".to_owned() });
            assert_eq!(found[0].fingerprint, fingerprint(&text));
            let stands_as_it_is = writing == text.as_bytes();
            let same_alphabet = encoding == Encoding::Base64Url && !writing.iter().any(|byte| b"-_".contains(byte));
            let expected = if stands_as_it_is {
                Encoding::Plain
            } else if same_alphabet {
                Encoding::Base64
            } else {
                encoding
            };
            assert_eq!(found[0].encoding, expected, "{text}");
        }
    }
}

#[test]
fn a_secret_is_found_in_base64_of_a_longer_text() {
    for text in SECRETS.map(str::to_owned).into_iter().chain([registry_key()]) {
        let scanner = configured(&text);
        for before in 0..7 {
            for after in ["", "\n", "==", "\nANOTHER=1\n"] {
                let longer = format!("{}{text}{after}", "KEY=\"x\""[..before].to_owned());
                for written in [STANDARD.encode(&longer), URL_SAFE_NO_PAD.encode(&longer)] {
                    let found = scanner.scan(written.as_bytes());
                    assert_eq!(found.len(), 1, "{text} {written} {found:?}");
                    assert_eq!(found[0].offset, (before * 8 / 6) as u64, "{text} {written}");
                }
            }
        }
    }
}

#[test]
fn a_secret_is_found_in_base64_with_line_breaks() {
    let text = registry_key();
    let scanner = configured(&text);
    for before in 0..90 {
        for (columns, line_break) in [(76, "\n"), (76, "\r\n"), (64, "\n    "), (30, "\n"), (24, "\r\n\t")] {
            let longer = format!("{}{text}\nANOTHER=1\n", "b".repeat(before));
            let written = STANDARD.encode(longer);
            let lines: Vec<_> = written.as_bytes().chunks(columns).collect();
            let found = scanner.scan(&lines.join(line_break.as_bytes()));
            assert_eq!(found.len(), 1, "{before} {columns} {found:?}");
        }
    }
}

#[test]
fn writers_may_mix_what_they_escape() {
    let text = "ab/cd-ef\"gh=ijklmnop";
    let scanner = configured(text);
    for (written, encoding) in [
        ("ab%2fcd-ef%22gh=ijklmnop", Encoding::Percent),
        ("%61b%2Fcd%2def\"gh%3Dijklmnop", Encoding::Percent),
        (r#"ab\/cd-ef\"gh=ijklmnop"#, Encoding::JsonEscape),
        (r"ab\u002Fcd\u002def\u0022gh\u003dijklmnop", Encoding::JsonEscape),
        (r#"ab/cd-ef\"gh=ijklmnop"#, Encoding::JsonEscape),
    ] {
        let found = scanner.scan(format!("'{written}'").as_bytes());
        assert_eq!(found.len(), 1, "{written} {found:?}");
        assert_eq!((found[0].offset, found[0].encoding), (1, encoding), "{written}");
    }
}

#[test]
fn utf_16_is_found_with_a_byte_order_mark_and_without_at_even_and_odd_places() {
    let text = registry_key();
    let scanner = configured(&text);
    let around = |order: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let mark = if mark { "\u{feff}" } else { "" };
        format!("{mark}key = \"{text}\"\r\n").encode_utf16().flat_map(order).collect()
    };
    for mark in [false, true] {
        for (order, encoding) in
            [(u16::to_le_bytes as fn(u16) -> [u8; 2], Encoding::Utf16Le), (u16::to_be_bytes, Encoding::Utf16Be)]
        {
            let found = scanner.scan(&around(order, mark));
            assert_eq!(found.len(), 1, "{encoding} {found:?}");
            assert_eq!((found[0].offset, found[0].encoding), (14 + 2 * u64::from(mark), encoding));
            // At an odd place the order cannot be told, but the key is found.
            let odd = surrounded(b"x", &around(order, mark), b"");
            assert_eq!(scanner.scan(&odd).len(), 1, "{encoding}");
        }
    }
}

#[test]
fn part_of_a_secret_is_no_leak() {
    let text = registry_key();
    let scanner = configured(&text);
    for (_, writing) in writings(&text) {
        let units = writing.len() / text.len();
        let changed = writing.len() - units.max(2) - 2;
        let mut other = writing.clone();
        other[changed] = if other[changed] == b'1' { b'2' } else { b'1' };
        let configured = |leak: &Leak| matches!(leak.what, LeakKind::Configured { .. });
        assert!(!scanner.scan(&other).iter().any(configured), "{}", String::from_utf8_lossy(&other));
    }
}

#[test]
fn a_leak_shows_nothing_of_the_secret() {
    let table = [
        (registry_key(), "TO-PRD-****"),
        (["TO", "7K2M", "XQ4Z", "H1V8", "3TWN"].join("-"), "TO-****"),
        (["LK", "5f2c9a7be01d4386"].join("-"), "LK-****"),
        (["sk_live", "4eC39HqLyjWDarjtT1zdp7dc"].join("_"), "sk_live_****"),
        ("hunter2hunter2".to_owned(), "****"),
    ];
    for (text, shown) in table {
        let scanner = configured(&text);
        let found = scanner.scan(text.as_bytes());
        assert_eq!(found[0].shown, shown);
        let printed = format!("{found:?} {scanner:?} {:?}", scanner.stream());
        assert!(!printed.contains(&text[text.len() - 8..]), "{printed}");
    }
}

#[test]
fn a_line_of_megabytes_is_scanned_like_any_other() {
    let text = registry_key();
    let scanner = configured(&text);
    let mut whole = vec![b'x'; 3_000_000];
    whole.splice(1_234_567..1_234_567, format!("\"{text}\"").into_bytes());
    let found = scanner.scan(&whole);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].offset, found[0].line), (1_234_568, 1));
    assert_eq!(in_pieces(&scanner, &whole, &[65_536]).0, found);
}

#[test]
fn two_secrets_at_one_place_are_both_told_and_one_secret_once() {
    let scanner = scanner(Watch {
        secrets: vec![
            Secret::new("a", Zeroizing::new("abcdefgh".to_owned())).unwrap(),
            Secret::new("b", Zeroizing::new("abcdefghij".to_owned())).unwrap(),
            Secret::new("c", Zeroizing::new("abcdefgh".to_owned())).unwrap(),
            Secret::new("d", Zeroizing::new("zzzzzzzz".to_owned())).unwrap(),
        ],
        ..Watch::default()
    });
    let names = |text: &str| -> Vec<_> {
        scanner.scan(text.as_bytes()).into_iter().map(|leak| (leak.what, leak.offset)).collect()
    };
    let of = |name: &str| LeakKind::Configured { name: name.to_owned() };
    assert_eq!(names(" abcdefghij"), [(of("b"), 1), (of("a"), 1)]);
    assert_eq!(names("abcdefghi"), [(of("a"), 0)]);
    assert_eq!(names("zzzzzzzzzzzzzzzzzzz"), [(of("d"), 0), (of("d"), 8)]);
}

#[test]
fn secrets_have_a_length() {
    let new = |bytes: usize| Secret::new("x", Zeroizing::new("s".repeat(bytes))).map(drop);
    assert_eq!(new(0), Err(SecretError::TooShort { bytes: 0 }));
    assert_eq!(new(7), Err(SecretError::TooShort { bytes: 7 }));
    assert_eq!(new(8), Ok(()));
    assert_eq!(new(SECRET_BYTES_MAX), Ok(()));
    assert_eq!(new(SECRET_BYTES_MAX + 1), Err(SecretError::TooLong { bytes: SECRET_BYTES_MAX + 1 }));
}

#[test]
fn the_longest_secret_is_found_in_its_longest_writing() {
    let text: String = (0..SECRET_BYTES_MAX).map(|at| char::from(b"abcdefghijk"[(at * at / 7) % 11])).collect();
    let scanner = configured(&text);
    for (encoding, writing) in writings(&text) {
        let whole = surrounded(&vec![b'\n'; 70_000], &writing, b"\n");
        let (found, _) = in_pieces(&scanner, &whole, &[4_096]);
        assert_eq!(found.len(), 1, "{encoding}");
        assert_eq!((found[0].offset, found[0].line), (70_000, 70_001), "{encoding}");
    }
}

#[test]
fn what_is_over_the_limit_is_counted() {
    let scanner = configured("Zq81mPw0");
    let whole = "Zq81mPw0 ".repeat(LEAKS_MAX + 5);
    let (found, tally) = in_pieces(&scanner, whole.as_bytes(), &[7]);
    assert_eq!(found.len(), LEAKS_MAX);
    assert_eq!(tally, Tally { leaks: LEAKS_MAX as u64 + 5, allowed: 0 });
}

#[test]
fn a_key_that_is_configured_or_known_is_told_whatever_comes_before_it() {
    let other = "another-key-1234";
    let scanner = scanner(Watch {
        secrets: vec![secret("Zq81mPw0")],
        known: BTreeSet::from([fingerprint(other)]),
        patterns: vec![Pattern::parse("acme[0-9]+").unwrap()],
        ..Watch::default()
    });
    let rows = |count: usize| format!("{}\nacme123\n", "x\n".repeat(3_000)).repeat(count);
    let whole = format!("{}Zq81mPw0\n{}{other}\n{}", rows(LEAKS_MAX + 5), rows(5), rows(5));
    for sizes in [[whole.len()], [50_000]] {
        let (found, tally) = in_pieces(&scanner, whole.as_bytes(), &sizes);
        assert_eq!(tally, Tally { leaks: LEAKS_MAX as u64 + 17, allowed: 0 });
        assert_eq!(found.len(), LEAKS_MAX);
        let of_patterns = found.iter().filter(|leak| matches!(leak.what, LeakKind::Pattern { .. })).count();
        assert_eq!(of_patterns, LEAKS_MAX - 2);
        assert!(matches!(found[LEAKS_MAX - 2].what, LeakKind::Configured { .. }));
        assert_eq!(found[LEAKS_MAX - 1].what, LeakKind::Known);
        assert!(found.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    }
    // Where all of them are such keys, the first are told.
    let many = format!("{}{other}\n", "Zq81mPw0 ".repeat(LEAKS_MAX));
    let (found, tally) = in_pieces(&scanner, many.as_bytes(), &[many.len()]);
    assert_eq!((found.len(), tally.leaks), (LEAKS_MAX, LEAKS_MAX as u64 + 1));
    assert!(found.iter().all(|leak| matches!(leak.what, LeakKind::Configured { .. })));
}

#[test]
fn a_stream_is_ready_for_the_next_object() {
    let scanner = configured("Zq81mPw0");
    let mut stream = scanner.stream();
    for _ in 0..3 {
        let mut found = Vec::new();
        stream.push(b"\n\nZq81", &mut found);
        stream.push(b"mPw0", &mut found);
        assert_eq!(stream.finish(&mut found), Tally { leaks: 1, allowed: 0 });
        assert_eq!((found[0].offset, found[0].line), (2, 3));
        stream.push(b"Zq81", &mut found);
        assert_eq!(stream.finish(&mut found), Tally::default());
    }
}

#[test]
fn a_key_that_is_known_by_its_fingerprint_is_found_between_what_surrounds_keys() {
    let registry_key = registry_key();
    for key in [&registry_key, "5f2c9a7be01d4386", "ab/cd+12345678==", "a1b2.c3d4.e5f6", "0123-4567-89AB-CDEF"] {
        let scanner = known(&[key]);
        for (before, after) in [
            ("", ""),
            ("\"", "\""),
            ("LICENSE_KEY=", "\n"),
            ("key: ", ","),
            ("'", "';"),
            ("url?key=", "&x=1"),
            ("<k>", "</k>"),
            ("(", ")"),
            ("export A=", " B=2"),
            ("`", "`"),
            ("[", "]"),
            ("x:", ":y"),
            ("\\\"", "\\\""),
            ("\t", "\r\n"),
            (">", "."),
            ("\0", "\0"),
            ("|", "|"),
            ("a=b=", "\n"),
        ] {
            if after == "." && key.contains("==") {
                continue;
            }
            let whole = format!("line\n{before}{key}{after}");
            let found = scanner.scan(whole.as_bytes());
            assert_eq!(found.len(), 1, "{whole:?} {found:?}");
            assert_eq!(found[0].what, LeakKind::Known, "{whole:?}");
            assert_eq!(found[0].fingerprint, fingerprint(key));
            assert_eq!(found[0].offset, 5 + before.len() as u64, "{whole:?}");
        }
    }
}

#[test]
fn a_known_key_with_a_beginning_is_found_within_a_name() {
    let key = registry_key();
    let scanner = known(&[&key]);
    for (before, after) in [("license-", ".txt"), ("backup_of_", "_old.env"), ("x-", "-copy"), ("", "_1")] {
        let found = scanner.scan(format!("{before}{key}{after}").as_bytes());
        assert_eq!(found.len(), 1, "{before} {after} {found:?}");
        assert_eq!((&found[0].what, found[0].offset), (&LeakKind::Known, before.len() as u64));
    }
}

#[test]
fn a_known_key_is_told_once_and_as_configured_where_it_is_configured() {
    let key = registry_key();
    let watch = || Watch {
        secrets: vec![secret(&key)],
        known: BTreeSet::from([fingerprint(&key)]),
        patterns: vec![Pattern::parse("TO-[A-Z]+-[A-Z0-9-]+").unwrap()],
        allowed: BTreeSet::new(),
    };
    let whole = format!("a {key} b");
    let found = scanner(watch()).scan(whole.as_bytes());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0].what, LeakKind::Configured { .. }));
    let kinds = |watch| scanner(watch).scan(whole.as_bytes()).into_iter().map(|leak| leak.what).collect::<Vec<_>>();
    assert_eq!(kinds(Watch { secrets: vec![], ..watch() }), [LeakKind::Known]);
    let unknown = || Watch { secrets: vec![], known: BTreeSet::new(), ..watch() };
    assert_eq!(kinds(unknown()), [LeakKind::Form(Form::ToKey)]);
    let other = Pattern::parse("a [A-Z]").unwrap();
    assert_eq!(kinds(Watch { patterns: vec![other], ..unknown() }), [LeakKind::Form(Form::ToKey)]);
}

fn token(header: &str, payload: &str, signature_bytes: usize) -> String {
    let signature: Vec<u8> = (0..signature_bytes).map(|at| u8::try_from(at * 37 % 251).unwrap()).collect();
    [header.as_bytes(), payload.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[test]
fn every_form_is_found() {
    let eddsa = r#"{"alg":"EdDSA","typ":"JWT"}"#;
    let table = [
        (Form::ToKey, registry_key()),
        (Form::ToKey, registry_key().replace("PRD", "DEV")),
        (Form::ToKey, registry_key().replace("PRD", "STG")),
        (Form::ToKey, ["TO", "8F3A", "Q7ZK", "91WM", "C2XD"].join("-")),
        (Form::ToKey, ["TO", "PRD", "8F3A", "Q7ZK", "91WM"].join("-")),
        (Form::ToKey, ["TO", "PRD", "8f3aq7zk91wmc2xd"].join("-")),
        (Form::LkKey, ["LK", "5f2c9a7be01d4386c0fd8a3e"].join("-")),
        (Form::LicKey, ["LIC", "ENT", "8F3A", "Q7ZK", "91WM", "C2XD"].join("-")),
        (Form::LicKey, ["LIC", "6fa459ea", "ee8a", "3ca4", "894e", "db77e160355e"].join("-")),
        (Form::ApiToken, ["to", "live", "k3JdP9wQz81LmXv4Rt7B"].join("_")),
        (Form::ApiToken, ["to", "test", "k3JdP9wQz81LmXv4Rt7B"].join("_")),
        (Form::ApiToken, ["sk", "live", "4eC39HqLyjWDarjtT1zdp7dc"].join("_")),
        (Form::ApiToken, ["sk", "test", "pkQBwXZmrVYtkDLnhSGfjcTa"].join("_")),
        (Form::LicenseToken, token(eddsa, r#"{"iss":"trafficorchestrator.com","dom":["a.b"],"exp":1}"#, 64)),
    ];
    let scanner = forms();
    for (form, text) in table {
        for (before, after) in [
            ("", ""),
            ("key = \"", "\"\n"),
            ("KEY=", "\n"),
            ("(", ")"),
            ("x: ", ", y"),
            ("old_", ".txt"),
            ("?k=", "&a"),
        ] {
            if form == Form::LicenseToken && before == "old_" {
                continue;
            }
            let whole = format!("{before}{text}{after}");
            let found = scanner.scan(whole.as_bytes());
            assert_eq!(found.len(), 1, "{whole} {found:?}");
            assert_eq!(found[0].what, LeakKind::Form(form), "{whole}");
            assert_eq!(found[0].offset, before.len() as u64, "{whole}");
            assert_eq!(found[0].fingerprint, fingerprint(&text), "{whole}");
        }
    }
}

/// An offline token of the one issuer.
fn offline_token() -> String {
    let issuer = crate::token::ISSUER;
    token(r#"{"alg":"EdDSA","typ":"JWT"}"#, &format!(r#"{{"iss":"{issuer}","sub":"d"}}"#), 64)
}

#[test]
fn a_token_is_found_near_a_name_that_ends_as_keys_begin() {
    let (scanner, token) = (forms(), offline_token());
    for before in [
        "LICENSE: ",
        "PUBLIC-LICENSE: ",
        "X-PUBLIC-LICENSE-TOKEN: ",
        "AUTO-LICENSE=",
        "\"TALK-TOKEN\": \"",
        "AUTO-eyJ: ",
    ] {
        let found = scanner.scan(format!("{before}{token}\n").as_bytes());
        assert_eq!(found.len(), 1, "{before} {found:?}");
        assert_eq!((&found[0].what, found[0].offset), (&LeakKind::Form(Form::LicenseToken), before.len() as u64));
    }
}

#[test]
fn a_token_is_found_behind_a_hyphen_and_an_underscore() {
    let (scanner, token) = (forms(), offline_token());
    for before in ["token_", "token-", "_", "-", "x-eyJ-token_", "x_eyJhbGciOi_", "line\\n"] {
        let found = scanner.scan(format!("{before}{token}\n").as_bytes());
        assert_eq!(found.len(), 1, "{before} {found:?}");
        assert_eq!((&found[0].what, found[0].offset), (&LeakKind::Form(Form::LicenseToken), before.len() as u64));
    }
    // Within a word it is another text.
    assert_eq!(scanner.scan(format!("x{token}\n").as_bytes()), []);
}

#[test]
fn placeholders_have_no_form() {
    let eddsa = r#"{"alg":"EdDSA"}"#;
    let ours = r#"{"iss":"trafficorchestrator.com"}"#;
    let tokens = [
        token(eddsa, r#"{"iss":"somebody.example"}"#, 64),
        token(eddsa, r#"{"aud":"trafficorchestrator.com"}"#, 64),
        token(r#"{"alg":"HS256"}"#, ours, 64),
        token(eddsa, ours, 63),
        token(eddsa, ours, 65),
        token(eddsa, "[]", 64),
        token("{", ours, 64),
        format!("{}.{}", token(eddsa, ours, 0), "A".repeat(86)),
    ];
    let table = "
        TO-PRD-**** TO-PRD-****-9K2M TO-****-F6A8 TO-PRD-… TO-PRD-... TO-PRD- TO- LK- LIC- to_live_ sk_test_ eyJ
        TO-XXXX-XXXX-XXXX-XXXX TO-PRD-XXXX TO-PRD-XXXXXXXXXXXXXXXX XXXX-XXXX-XXXX-XXXX TO-xxxx-xxxx-xxxx-xxxx
        TO-PRD-0123456789 TO-PRD-0123456789abcdef TO-PRD-abcdef0123456789 TO-PRD-1234-5678-9012-3456 TO-PRD-ABCDEFGHIJKLMNOP
        TO-AB12-CD34-EF56-GH78 TO-AB12-CD34-EF56-0789 TO-PRD-9f8e7d6c5b4a TO-PRD-a1b2c3d4e5f6 TO-PRD-1a2b3c4d5e6f7g8h
        TO-PRD-AAAA-BBBB-CCCC-DDDD TO-PRD-0000-0000-0000-0000 TO-PRD-aaaaaaaaaaaaaaaaaaaaaaaa TO-PRD-deadbeefdeadbeef
        TO-PRD-<your-key> TO-PRD-${KEY} TO-PRD-$(cat key) TO-PRD-{key} TO-PRD-%s TO-PRD-{{.Key}}
        TO-PRD-your-key-here TO-PRD-EXAMPLE-K3Y9-7Q2M-81ZD TO-PRD-MARKER9f8e7d6c2a TO-PRD-secret-K3Y9Z-7Q2MX-81ZDW
        TO-STG-another-environments-key TO-DEV-made-by-another-program TO-PRD-marker-old-98765 TO-PRD-P4STD-K3Y00-P4STD-K3Y00-P4STD-K3Y00
        TO-PRD-8f2e TO-DEV-1234 TO-PRD-K3Y9-7Q2M TO-PRD-the-old-key-0000 TO-BASE64-AND-SHA256-HASHES
        TODO-7K2M9-XQ4ZD-H1V8R-3TWNC AUTO-7K2M9-XQ4ZD-H1V8R-3TWNC SLK-7K2M9-XQ4ZD-H1V8R-3TWNC HOW-TO-INSTALL-RUST-1-89-AND-GIT-2-47
        PUBLIC-7K2M9-XQ4ZD-H1V8R-3TWNC to-prd-7k2m9-xq4zd-h1v8r-3twnc
        LIC-123456 LIC-20240101-000000123456 LK-123456 LK-0123456789012345 LIC-a-list-of-things-2-and-3
        to_live_0123456789 to_live_0123456789abcdef to_test_the_order_of_two_things_at_once_2 to_test_theOrderOfTwoThingsAtOnce
        sk_live_secret sk_live_123456 sk_test_xxxxxxxxxxxxxxxxxxxxxxxx sk_test_your_key_here_4eC39HqLyjWDarjt sk_live_********
        goto_test_k3JdP9wQz81LmXv4Rt7B desk_test_k3JdP9wQz81LmXv4Rt7B
        eyJhbGciOiJFZERTQSJ9.e30.AA eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9. eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ0In0.abc
        {\"eyJ\":1}
    ";
    let scanner = forms();
    for text in table.split_whitespace().map(str::to_owned).chain(tokens) {
        let found = scanner.scan(format!("key = \"{text}\"\n").as_bytes());
        assert_eq!(found, [], "{text}");
        let found = scanner.scan(text.as_bytes());
        assert_eq!(found, [], "{text}");
    }
}

#[test]
fn what_looks_random_and_is_no_key_is_no_leak() {
    let scanner = scanner(Watch {
        secrets: vec![secret(&registry_key()), secret("5f2c9a7be01d4386")],
        known: BTreeSet::from([fingerprint("another-key-1234")]),
        ..Watch::default()
    });
    let corpus = [
        "6fa459ea-ee8a-3ca4-894e-db77e160355e",
        "9af15b336e6a9619928537df30b2e6a2376574fcfc9d3e0b60ea6bb8ab26b2d1",
        "checksum = \"5ffbb2e0dbe9a7d0a3aaa5b0f4a9ab9c0d2b6e5c4d8c4e57e20d9f9b0c9d1b7e\"",
        "\"integrity\": \"sha512-4eC39HqLyjWDarjtT1zdp7dcTo0LkLicZ1m9Q2w3E4r5T6y7U8i9O0p==\"",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
        "!function(e,t){var n=e.TO-1,r=t.LK-2;return n[\"LIC-\"+r]}(window,document);",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8q0o8mXv3rT7kJ5nJb2c9Q4w1E6r8Ty0Uz5i2Op3As me@host",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "\u{0}\u{1}\u{2}TO-\u{0}TO-\u{ff}",
        "https://example.com/TO-DO/lists?id=6fa459eaee8a3ca4894edb77e160355e",
    ];
    for text in corpus {
        assert_eq!(scanner.scan(text.as_bytes()), [], "{text}");
    }
    assert_eq!(scanner.scan(include_bytes!("../../../Cargo.lock")), []);
}

#[test]
fn keys_that_are_drawn_are_not_taken_for_made_up() {
    const DRAWN: usize = 10_000;

    // A generator of its own, so that the same keys are drawn in every run.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let base32 = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let base62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hex = b"0123456789abcdef";
    let kinds: [(&str, &[u8], usize, usize, usize); 6] = [
        ("TO-DEV-", base32, 6, 5, 1),
        ("TO-", base32, 4, 4, 100),
        ("TO-PRD-", base32, 3, 4, 400),
        ("LK-", hex, 1, 32, 30),
        ("to_live_", base62, 1, 24, 60),
        ("sk_test_", base62, 1, 32, 10),
    ];
    let scanner = forms();
    for (beginning, alphabet, groups, chars, missed_max) in kinds {
        let missed = (0..DRAWN).filter(|_| {
            let groups: Vec<String> =
                (0..groups).map(|_| (0..chars).map(|_| char::from(alphabet[draw(alphabet.len())])).collect()).collect();
            scanner.scan(format!("{beginning}{}", groups.join("-")).as_bytes()).is_empty()
        });
        let missed = missed.count();
        assert!(missed <= missed_max, "{beginning}: {missed} of {DRAWN}");
    }
}

#[test]
fn a_line_may_allow_what_has_a_form_if_it_says_why() {
    let key = registry_key();
    let scanner = forms();
    let allowed = [
        "KEY # license:allow of a license that never lived",
        "KEY // license:allow: sample",
        "/* license:allow sample */ KEY",
        "KEY <!-- license:allow sample -->",
        "license:allow (documentation) KEY",
        "license:allow\tsample KEY\r\nnext",
    ];
    let refused = [
        "KEY # license:allow",
        "KEY # license:allow ",
        "KEY # license:allow -",
        "KEY /* license:allow */ let x = sample;",
        "KEY <!-- license:allow --> sample",
        "license:allow KEY",
        "KEY # license:allowed sample",
        "KEY # licence:allow sample",
        "license:allow sample\nKEY",
        "KEY\nlicense:allow sample",
        "KEY # license:allow ..",
    ];
    for line in allowed {
        let (found, tally) = in_pieces(&scanner, line.replace("KEY", &key).as_bytes(), &[5]);
        assert_eq!((found, tally), (vec![], Tally { leaks: 0, allowed: 1 }), "{line}");
    }
    for line in refused {
        let (found, tally) = in_pieces(&scanner, line.replace("KEY", &key).as_bytes(), &[5]);
        assert_eq!((found.len(), tally), (1, Tally { leaks: 1, allowed: 0 }), "{line}");
    }
}

#[test]
fn a_key_is_no_reason() {
    let scanner = forms();
    let other = ["TO", "PRD", "Q3W7", "8RKD", "1XZP", "M4HV"].join("-");
    for (line, expected) in [
        ("a = KEY license:allow, b = OTHER", Tally { leaks: 2, allowed: 0 }),
        ("OTHER license:allow KEY", Tally { leaks: 2, allowed: 0 }),
        ("license:allow OTHER, KEY", Tally { leaks: 2, allowed: 0 }),
        ("KEY license:allow license:allow OTHER", Tally { leaks: 2, allowed: 0 }),
        ("KEY license:allow samples, OTHER", Tally { leaks: 0, allowed: 2 }),
        ("KEY license:allow license:allow a sample", Tally { leaks: 0, allowed: 1 }),
        ("KEY license:allow TO-DEV keys are samples", Tally { leaks: 0, allowed: 1 }),
    ] {
        let line = line.replace("KEY", &registry_key()).replace("OTHER", &other);
        let (_, tally) = in_pieces(&scanner, line.as_bytes(), &[line.len()]);
        assert_eq!(tally, expected, "{line}");
    }
}

#[test]
fn a_comment_covers_its_own_line_whatever_ends_it() {
    let scanner = forms();
    for (text, expected) in [
        ("a = KEY\rb = 1\r# license:allow sample\r", Tally { leaks: 1, allowed: 0 }),
        ("# license:allow sample\ra = KEY\r", Tally { leaks: 1, allowed: 0 }),
        ("b = 1\ra = KEY # license:allow sample\rb = 2\r", Tally { leaks: 0, allowed: 1 }),
    ] {
        let (_, tally) = in_pieces(&scanner, text.replace("KEY", &registry_key()).as_bytes(), &[5]);
        assert_eq!(tally, expected, "{text:?}");
    }
}

#[test]
fn a_comment_is_looked_for_near_the_leak_on_a_long_line() {
    let scanner = forms();
    let line = |between: usize| {
        format!("{} {} {} license:allow sample", "x".repeat(200_000), registry_key(), "y".repeat(between))
    };
    assert_eq!(scanner.scan(line(3_000).as_bytes()), []);
    assert_eq!(scanner.scan(line(8_000).as_bytes()).len(), 1);
}

#[test]
fn nothing_allows_a_key_that_is_configured_or_known() {
    let key = registry_key();
    let line = format!("{key} # license:allow a sample\n");
    let allowed = BTreeSet::from([fingerprint(&key)]);
    let configured = Watch { secrets: vec![secret(&key)], allowed: allowed.clone(), ..Watch::default() };
    let known = Watch { known: allowed.clone(), allowed: allowed.clone(), ..Watch::default() };
    for watch in [configured, known] {
        assert_eq!(scanner(watch).scan(line.as_bytes()).len(), 1);
    }
    let by_form = Watch { allowed, ..Watch::default() };
    assert_eq!(scanner(by_form).scan(format!("{key}\n").as_bytes()), []);
}

#[test]
fn what_is_allowed_hides_no_more_than_itself() {
    let sample = ["TO", "PRD", "Q3W7", "8RKD", "1XZP", "M4HV"].join("-");
    let scanner = scanner(Watch {
        patterns: ["ACME_[A-Z]+=[^\n]+", "[A-Z0-9]{4}-[A-Z0-9]{4}", "PRD-[^ ]+ \\w+"]
            .map(|text| Pattern::parse(text).unwrap())
            .into(),
        allowed: BTreeSet::from([fingerprint(&sample)]),
        ..Watch::default()
    });
    let tally = |leaks: u64, allowed: u64| Tally { leaks, allowed };
    for (line, expected) in [
        ("ACME_TOKEN=real-secret-1 ACME", tally(1, 0)),
        ("ACME_TOKEN=real-secret-1 SAMPLE", tally(1, 1)),
        // Two patterns, of which one begins within the sample.
        ("SAMPLE ACME_TOKEN=real-secret-1", tally(2, 1)),
        ("SAMPLE", tally(0, 1)),
        ("SAMPLE secret", tally(1, 1)),
        ("ACME_TOKEN=KEY", tally(1, 0)),
    ] {
        let line = line.replace("SAMPLE", &sample).replace("KEY", &registry_key());
        let (found, found_tally) = in_pieces(&scanner, line.as_bytes(), &[line.len()]);
        assert_eq!(found_tally, expected, "{line} {found:?}");
    }
}

#[test]
fn patterns_are_found_as_they_are_numbered() {
    let scanner = patterns(&["ACME-[A-Z0-9]{16}", "^pw: \\w+$", "(?i)corp_[0-9a-f]{8}"]);
    let text = "x ACME-1234567890ABCDEF\r\npw: hunter2\r\n pw: hunter2\nCorp_00FF00ff,corp_12345678\n";
    let found: Vec<_> =
        scanner.scan(text.as_bytes()).into_iter().map(|leak| (leak.what, leak.offset, leak.line)).collect();
    let at = |index: usize, offset: u64, line: u64| (LeakKind::Pattern { index }, offset, line);
    assert_eq!(found, [at(0, 2, 1), at(1, 25, 2), at(2, 51, 4), at(2, 65, 4)]);
}

#[test]
fn a_pattern_matches_something_and_stays_small() {
    let table = [
        ("", "Empty"),
        ("a*", "MatchesEmpty"),
        ("(foo)?", "MatchesEmpty"),
        ("\\b", "MatchesEmpty"),
        ("$", "MatchesEmpty"),
        ("[a&&b]", "MatchesNothing"),
        ("(", "Malformed"),
        ("a{2,1}", "Malformed"),
        ("\\p{Greek}", "Malformed"),
        ("[a-z]{100}{100}{100}", "TooLarge"),
    ];
    for (text, expected) in table {
        let error = Pattern::parse(text).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{text}: {error:?}");
    }
    assert_eq!(Pattern::parse(&"a".repeat(1_025)), Err(PatternError::TooLong { bytes: 1_025 }));
    assert!(Pattern::parse("ACME-[A-Z0-9]{16}").is_ok());
    assert!(Pattern::parse(&"(".repeat(500)).is_err());
}

#[test]
fn a_long_match_of_a_pattern_is_reported_once() {
    let scanner = patterns(&["k=[a-z]+"]);
    let whole = format!("k={};k=abc", "z".repeat(300_000));
    let offsets: Vec<_> = scanner.scan(whole.as_bytes()).iter().map(|leak| leak.offset).collect();
    assert_eq!(offsets, [0, 300_003]);
}

#[test]
fn a_scanner_has_limits() {
    let many = Watch { secrets: vec![secret("Zq81mPw0"); SECRETS_MAX + 1], ..Watch::default() };
    assert_eq!(Scanner::new(many).map(drop), Err(ScannerError::TooManySecrets { secrets: SECRETS_MAX + 1 }));
    let many = Watch { patterns: vec![Pattern::parse("abc").unwrap(); PATTERNS_MAX + 1], ..Watch::default() };
    assert_eq!(Scanner::new(many).map(drop), Err(ScannerError::TooManyPatterns { patterns: PATTERNS_MAX + 1 }));
}

/// Everything at once, for properties.
fn everything() -> Scanner {
    scanner(Watch {
        secrets: SECRETS.iter().map(|text| secret(text)).chain([secret(&registry_key())]).collect(),
        known: BTreeSet::from([fingerprint("another-key-1234"), fingerprint("0a1b/2c3d+4e5f==")]),
        patterns: ["ACME-[A-Z0-9]{4,}", "a.{0,40}b"].map(|text| Pattern::parse(text).unwrap()).into(),
        allowed: BTreeSet::new(),
    })
}

/// Bytes that come near to what is looked for.
fn near_misses() -> impl Strategy<Value = Vec<u8>> {
    let fragments: Vec<Vec<u8>> = writings(&registry_key())
        .into_iter()
        .map(|(_, writing)| writing)
        .chain(SECRETS.map(|text| text.as_bytes().to_vec()))
        .chain(
            [
                "TO-",
                "TO-PRD-",
                "LK-",
                "LIC-",
                "to_live_",
                "eyJ",
                "eyJhbGciOiJFZERTQSJ9.",
                "\n",
                "\r\n",
                " ",
                "=",
                "ACME-",
                "ACME-AB12",
                "a",
                "b",
                "another-key-1234",
                "0a1b/2c3d+4e5f==",
                "license:allow sample",
                "%",
                "\\u00",
                "\\",
                "-7K2M9",
                "4eC39HqLyjWDarjtT1zdp7dc",
            ]
            .map(|text| text.as_bytes().to_vec()),
        )
        .collect();
    let fragment = prop_oneof![
        4 => select(fragments.clone()),
        1 => (select(fragments), any::<prop::sample::Index>()).prop_map(|(text, at)| text[..at.index(text.len())].to_vec()),
        1 => collection::vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), prop_oneof![Just(10), Just(4_000), Just(30_000), Just(92_100)]).prop_map(|(byte, times)| vec![byte; times]),
    ];
    collection::vec(fragment, 0..30).prop_map(|fragments| fragments.concat())
}

/// The corpus of `fuzz/fuzz_targets/leaks.rs`: the first byte gives the size of the pieces.
#[test]
fn the_corpus_of_the_fuzzer_is_scanned_alike_whole_and_in_pieces() {
    #[expect(clippy::disallowed_methods, reason = "a test reads the corpus beside it; its files are small")]
    let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.unwrap().path()).unwrap();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/leaks");
    let scanner = everything();
    let mut leaks = 0;
    for input in std::fs::read_dir(corpus).unwrap().map(read) {
        let Some((size, object)) = input.split_first() else { continue };
        let (found, _) = in_pieces(&scanner, object, &[usize::from(*size).max(1)]);
        assert_eq!(found, scanner.scan(object));
        leaks += found.len();
    }
    assert!(leaks >= 25, "{leaks}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_fail_and_pieces_change_nothing(
        whole in prop_oneof![near_misses(), collection::vec(any::<u8>(), 0..3_000)],
        sizes in collection::vec(prop_oneof![1..50_usize, 1_000..100_000_usize], 1..4),
    ) {
        let scanner = everything();
        let (found, tally) = in_pieces(&scanner, &whole, &sizes);
        prop_assert_eq!(&found, &scanner.scan(&whole));
        prop_assert_eq!(found.len() as u64, tally.leaks.min(LEAKS_MAX as u64));
        for leak in &found {
            let offset = usize::try_from(leak.offset).unwrap();
            prop_assert_eq!(leak.line, whole[..offset].split(|&byte| byte == b'\n').count() as u64);
        }
        prop_assert!(found.windows(2).all(|pair| pair[0].offset <= pair[1].offset));
    }

    #[test]
    fn a_planted_secret_is_found_once_wherever_it_stands(
        writing in (0..SECRETS.len(), 0..16_usize),
        filler in select(vec![b' ', b'\n', b'"', 0xFF]),
        before in prop_oneof![0..300_usize, 65_000..66_000_usize, 92_050..92_200_usize, 184_200..184_400_usize],
        after in prop_oneof![0..300_usize, 80_000..90_000_usize],
        sizes in collection::vec(prop_oneof![1..50_usize, 1_000..100_000_usize], 1..4),
    ) {
        let text = SECRETS[writing.0];
        let scanner = configured(text);
        let (_, written) = writings(text).swap_remove(writing.1);
        let whole = surrounded(&vec![filler; before], &written, &vec![filler; after]);
        let (found, tally) = in_pieces(&scanner, &whole, &sizes);
        prop_assert_eq!(tally, Tally { leaks: 1, allowed: 0 }, "{:?}", found);
        prop_assert_eq!(found[0].offset, before as u64);
        prop_assert_eq!(found[0].line, if filler == b'\n' { before as u64 + 1 } else { 1 });
        prop_assert_eq!(&found, &scanner.scan(&whole));
    }

    #[test]
    fn a_secret_of_any_text_is_found(text in "[ -~]{8,60}", extra in any::<prop::sample::Index>()) {
        let scanner = configured(&text);
        let all = writings(&text);
        let (encoding, written) = &all[extra.index(all.len())];
        let whole = surrounded(b"\n\n", written, b"\n");
        let found = scanner.scan(&whole);
        let configured: Vec<_> = found.iter().filter(|leak| matches!(leak.what, LeakKind::Configured { .. })).collect();
        prop_assert_eq!(configured.len(), 1, "{} {}", text, encoding);
        // A writing of a text may hold the text as it is: `\\0` has `\0` at its second character.
        let plain = whole.windows(text.len()).position(|window| window == text.as_bytes()).map(|at| at as u64);
        prop_assert!(configured[0].offset == 2 || Some(configured[0].offset) == plain, "{} {}", text, encoding);
    }

    #[test]
    fn a_secret_in_any_script_is_found_as_it_is_and_in_utf_16(text in "\\PC{8,20}") {
        let scanner = configured(&text);
        for (encoding, written) in writings(&text) {
            let spared = [Encoding::JsonEscape, Encoding::Percent].contains(&encoding) && !text.is_ascii();
            if spared { continue; }
            let whole = surrounded(b"\n\n", &written, b"\n");
            prop_assert_eq!(scanner.scan(&whole).len(), 1, "{} {}", text, encoding);
        }
    }
}
