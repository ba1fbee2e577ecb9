//! Writings within writings, writings of a part, and what is found in them by form and by fingerprint.

use super::*;

/// How a text is written: a name, the word for its encoding, and the bytes.
pub(super) type Row = (String, &'static str, Vec<u8>);

/// A text of which only some bytes are written otherwise: those that `is_escaped` tells, by their place and value.
fn some(text: &str, is_escaped: impl Fn(usize, u8) -> bool, escape: impl Fn(usize, u8) -> String) -> Vec<u8> {
    let bytes = text.bytes().enumerate();
    let written =
        bytes.map(|(at, byte)| if is_escaped(at, byte) { escape(at, byte) } else { char::from(byte).to_string() });
    written.collect::<String>().into_bytes()
}

/// How a byte is written.
type Escape = fn(u8) -> String;

/// Escapes, of all bytes and of every so-manieth.
fn escapes(text: &str) -> Vec<Row> {
    let styles: [(&str, &str, Escape); 13] = [
        ("percent", "percent", |byte| format!("%{byte:02X}")),
        ("percent, small", "percent", |byte| format!("%{byte:02x}")),
        ("JSON", "json_escape", |byte| format!("\\u{byte:04x}")),
        ("JSON, capitals", "json_escape", |byte| format!("\\u{byte:04X}")),
        ("hex", "json_escape", |byte| format!("\\x{byte:02x}")),
        ("hex, capitals", "json_escape", |byte| format!("\\x{byte:02X}")),
        ("octal", "json_escape", |byte| format!("\\{byte:03o}")),
        ("in braces", "json_escape", |byte| format!("\\u{{{byte:x}}}")),
        ("in braces, with zeros", "json_escape", |byte| format!("\\u{{{byte:04X}}}")),
        ("of 32 bits", "json_escape", |byte| format!("\\U{byte:08x}")),
        ("entities", "html_entity", |byte| format!("&#{byte};")),
        ("entities in hex", "html_entity", |byte| format!("&#x{byte:x};")),
        ("quoted-printable", "quoted_printable", |byte| format!("={byte:02X}")),
    ];
    let mut rows = Vec::new();
    for (name, word, escape) in styles {
        for every in 1..=5 {
            for first in [0, every - 1] {
                // What begins the escapes must be escaped itself.
                let signs =
                    [("quoted_printable", b'='), ("html_entity", b'&'), ("json_escape", b'\\'), ("percent", b'%')];
                let must = |byte: u8| signs.contains(&(word, byte));
                let written = some(text, |at, byte| at % every == first || must(byte), |_, byte| escape(byte));
                rows.push((format!("{name}, every {every} from {first}"), word, written));
            }
        }
    }
    rows
}

/// Lists of numbers, as the sources of programs have them.
fn lists(text: &str) -> Vec<Row> {
    let numbers: [(&str, Escape); 4] = [
        ("decimal", |byte| format!("{byte}")),
        ("hex", |byte| format!("0x{byte:02x}")),
        ("hex, capitals", |byte| format!("0x{byte:02X}")),
        ("hex, all capitals", |byte| format!("0X{byte:02X}")),
    ];
    let mut rows = Vec::new();
    for (name, number) in numbers {
        for between in [",", ", ", ",\n    ", " , ", ",\r\n\t"] {
            let written = text.bytes().map(number).collect::<Vec<_>>().join(between).into_bytes();
            rows.push((format!("{name} {between:?}"), "bytes", written));
        }
    }
    rows
}

/// Base64 that is escaped itself, or in UTF-16.
fn escaped_base64(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for before in ["", ":", ": "] {
        let written = STANDARD.encode(format!("{before}{text}"));
        let is_sign = |_, byte: u8| !byte.is_ascii_alphanumeric();
        let percent = some(&written, is_sign, |_, byte| format!("%{byte:02X}"));
        rows.push((format!("percent, {before}"), "base64", percent));
        let slashes = some(&written, |_, byte| byte == b'/', |_, byte| format!("\\{}", char::from(byte)));
        rows.push((format!("slashes, {before}"), "base64", slashes));
        let unicode = some(&written, is_sign, |_, byte| format!("\\u{byte:04x}"));
        rows.push((format!("unicode, {before}"), "base64", unicode));
        let utf16 = written.encode_utf16().flat_map(u16::to_le_bytes).collect();
        rows.push((format!("UTF-16, {before}"), "base64", utf16));
    }
    rows
}

/// What a text is written as, in all ways that are found.
pub(super) fn all(text: &str) -> Vec<Row> {
    [escapes(text), lists(text), escaped_base64(text)].concat()
}

#[test]
fn a_secret_is_found_where_all_or_some_of_it_is_escaped() {
    for text in SECRETS.map(str::to_owned).into_iter().chain([registry_key()]) {
        let scanner = configured(&text);
        for (name, word, writing) in all(&text) {
            let whole = surrounded(b"x\ny \"", &writing, b"\" z\n");
            let found = scanner.scan(&whole);
            let configured: Vec<_> =
                found.iter().filter(|leak| matches!(leak.what, LeakKind::Configured { .. })).collect();
            assert_eq!(configured.len(), 1, "{text} {name} {found:?}\n{}", String::from_utf8_lossy(&whole));
            let place = configured[0].offset;
            assert!((5..=9).contains(&place) && configured[0].line == 2, "{text} {name} {found:?}");
            if !matches!(word, "base64") {
                assert_eq!((place, configured[0].encoding.as_str()), (5, word), "{text} {name}");
            }
        }
    }
}

#[track_caller]
fn is_found_once(scanner: &Scanner, whole: &str, what: &str) {
    let found = in_pieces(scanner, whole.as_bytes(), &[whole.len()]).1;
    assert_eq!(found, Tally { leaks: 1, allowed: 0 }, "{what}");
}

#[test]
fn a_secret_is_found_in_a_list_whatever_its_margin_and_wherever_it_begins() {
    for text in ["Zq81mPw0".to_owned(), registry_key()] {
        let scanner = configured(&text);
        let decimal = text.bytes().map(|byte| format!("{byte}")).collect::<Vec<_>>();
        let hex = text.bytes().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>();
        for numbers in [decimal, hex] {
            for margin in 0..=62 {
                let list = numbers.join(&format!(",\n{}", " ".repeat(margin)));
                for before in 0..30 {
                    let whole = format!("{}= [{list}];\n{}", "x".repeat(before), "y".repeat(100));
                    is_found_once(&scanner, &whole, &format!("{} {margin} {before}", numbers[0]));
                }
            }
        }
    }
}

#[test]
fn a_secret_is_found_in_a_list_however_far_its_numbers_are_from_their_commas() {
    for text in ["Zq81mPw0".to_owned(), registry_key()] {
        let scanner = configured(&text);
        let decimal = text.bytes().map(|byte| format!("{byte}")).collect::<Vec<_>>();
        let hex = text.bytes().map(|byte| format!("0x{byte:02X}")).collect::<Vec<_>>();
        for numbers in [decimal, hex] {
            for blanks in (0..=64).step_by(3) {
                for behind in [0, 1, 2, 7, 30, 64 - blanks] {
                    let list = numbers.join(&format!("{},{}", " ".repeat(blanks), "\t".repeat(behind)));
                    for before in 0..12 {
                        let whole = format!("{}= [{list}];\n{}", "x".repeat(before), "y".repeat(200));
                        is_found_once(&scanner, &whole, &format!("{} {blanks} {behind} {before}", numbers[0]));
                    }
                }
            }
        }
    }
}

#[test]
fn a_secret_is_found_in_a_list_that_has_its_numbers_at_its_ends() {
    let text = "Zq81mPw0";
    let scanner = configured(text);
    let numbers = text.bytes().map(|byte| format!("{byte}")).collect::<Vec<_>>();
    for at in 1..numbers.len() {
        for margin in 40..=64 {
            let list = format!("{},{}{}", numbers[..at].join(","), " ".repeat(margin), numbers[at..].join(","));
            for before in 0..70 {
                let whole = format!("{}[{list}];\n{}", "y".repeat(before), "y".repeat(200));
                is_found_once(&scanner, &whole, &format!("{at} {margin} {before}"));
            }
        }
    }
}

#[test]
fn a_secret_is_found_in_a_list_behind_other_numbers_and_words() {
    let text = "Zq81mPw0";
    let scanner = configured(text);
    let list = text.bytes().map(|byte| format!("{byte}")).collect::<Vec<_>>().join(",");
    for before in
        ["", "12 ", "0x4 84 300,", "1 2 3 4 5 6 7 8 ", "deadbeef ", "abc def 12ab, ", "84,79,", "1.5, ", "7_000, "]
    {
        for shift in 0..70 {
            let whole = format!("{}{before}{list} 12 34 {}", " ".repeat(shift), "y".repeat(200));
            is_found_once(&scanner, &whole, &format!("{before:?} {shift}"));
        }
    }
}

#[test]
fn a_secret_is_found_in_base64_whatever_breaks_its_lines() {
    for text in ["Zq81mPw0".to_owned(), registry_key()] {
        let scanner = configured(&text);
        for line_break in ["\n", "\r\n", "\n        ", "\\n", "\\r\\n", "\\n    ", "\\\n  ", "\\\\n"] {
            for columns in [20, 60, 64, 76] {
                for before in 0..80 {
                    let longer = format!("{}{text}\nANOTHER=1\n", "b".repeat(before));
                    for written in [STANDARD.encode(&longer), URL_SAFE_NO_PAD.encode(&longer)] {
                        let lines: Vec<_> = written.as_bytes().chunks(columns).collect();
                        let whole = [b"{\"key\": \"", &lines.join(line_break.as_bytes())[..], b"\"}\n"].concat();
                        let found = scanner.scan(&whole);
                        assert_eq!(found.len(), 1, "{before} {columns} {line_break:?} {found:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_secret_is_found_where_writers_mix_escapes() {
    for text in SECRETS.map(str::to_owned).into_iter().chain([registry_key()]) {
        let scanner = configured(&text);
        for shift in 0..5 {
            let escape = |at: usize, byte: u8| match (at + shift) % 5 {
                _ if byte == b'\\' => "\\\\".to_owned(),
                0 => format!("%{byte:02x}"),
                1 => format!("\\u{byte:04X}"),
                2 => format!("\\x{byte:02x}"),
                3 => format!("&#{byte};"),
                _ => char::from(byte).to_string(),
            };
            let written = some(&text, |_, _| true, escape);
            assert_eq!(scanner.scan(&surrounded(b"\"", &written, b"\"")).len(), 1, "{text} {shift}");
        }
    }
}

#[test]
fn what_is_escaped_otherwise_in_the_neighborhood_hides_no_secret() {
    let key = registry_key();
    let scanner = configured(&key);
    let percent = each(&key, |byte| format!("%{byte:02X}"));
    let json = each(&key, |byte| format!("\\u{byte:04x}"));
    for written in [&percent, &json] {
        for (before, after) in [
            ("?key=", "&x=1"),
            ("a=3D\\u0041%41&#65;", "%41"),
            ("=41", "=42\\x41"),
            ("\\\\", "\\"),
            ("%", "%4"),
            ("1, 2, ", ", 3"),
        ] {
            let whole = surrounded(before.as_bytes(), written, after.as_bytes());
            assert_eq!(scanner.scan(&whole).len(), 1, "{before} {after}");
        }
    }
}

#[test]
fn a_form_is_found_in_the_writings_of_a_secret() {
    let keys = [
        registry_key(),
        ["LK", "5f2c9a7be01d4386c0fd8a3e"].join("-"),
        ["LIC", "ENT", "8F3A", "Q7ZK", "91WM", "C2XD"].join("-"),
        ["to_live", "k3JdP9wQz81LmXv4Rt7B"].join("_"),
        ["sk_test", "pkQBwXZmrVYtkDLnhSGfjcTa"].join("_"),
        token(r#"{"alg":"EdDSA","typ":"JWT"}"#, r#"{"iss":"trafficorchestrator.com","dom":["a.b"],"exp":1}"#, 64),
    ];
    let by_form = forms();
    for key in &keys {
        let known = known(&[key]);
        let plain = writings(key).into_iter().map(|(encoding, bytes)| (encoding.to_string(), encoding.as_str(), bytes));
        for (name, _, writing) in plain.chain(all(key)) {
            let whole = surrounded(b"x = \"", &writing, b"\"\n");
            let found = by_form.scan(&whole);
            let forms: Vec<_> = found.iter().filter(|leak| matches!(leak.what, LeakKind::Form(_))).collect();
            assert_eq!(forms.len(), 1, "{key} {name} {found:?}");
            assert_eq!(forms[0].fingerprint, fingerprint(key), "{key} {name}");
            assert!((4..=9).contains(&forms[0].offset), "{key} {name} {forms:?}");
            let found = known.scan(&whole);
            assert_eq!(found.len(), 1, "{key} {name} {found:?}");
            assert_eq!((&found[0].what, found[0].fingerprint), (&LeakKind::Known, fingerprint(key)), "{key} {name}");
        }
    }
}

#[test]
fn a_form_is_found_in_base64_of_a_longer_text_and_behind_an_escape() {
    let key = registry_key();
    let scanner = forms();
    for before in ["", "K=", "KEY=", "{\"key\":\"", "a b c d e "] {
        let longer = format!("{before}{key}\nANOTHER=1\n{}", "more ".repeat(40));
        for written in [STANDARD.encode(&longer), URL_SAFE_NO_PAD.encode(&longer), hex(longer.as_bytes())] {
            let found = scanner.scan(format!("data: {written}\n").as_bytes());
            assert_eq!(found.len(), 1, "{before} {written} {found:?}");
            assert_eq!(found[0].fingerprint, fingerprint(&key));
        }
        for line_break in ["\n    ", "\\n"] {
            let written = STANDARD.encode(&longer);
            let lines: Vec<_> = written.as_bytes().chunks(24).collect();
            assert_eq!(scanner.scan(&lines.join(line_break.as_bytes())).len(), 1, "{before} {line_break:?}");
        }
    }
    for (before, after) in
        [("\\n", "\\n"), ("%22", "%22"), ("\\\"", "\\\""), ("=\\t", ""), ("%20", "%0A"), ("&quot;", "&quot;")]
    {
        let found = scanner.scan(format!("\"a{before}{key}{after}\"").as_bytes());
        assert_eq!(found.len(), 1, "{before} {found:?}");
        assert_eq!(found[0].fingerprint, fingerprint(&key), "{before}");
    }
}

#[test]
fn a_known_key_is_found_behind_an_escape_and_in_utf_16() {
    let key = "5f2c9a7be01d4386";
    let scanner = known(&[key]);
    for whole in [
        format!("\"a\\n{key}\\n\""),
        format!("%22{key}%22"),
        format!("&#x22;{key}&#x22;"),
        format!("\\u0022{key}\\u0022"),
    ] {
        assert_eq!(scanner.scan(whole.as_bytes()).len(), 1, "{whole}");
    }
    for order in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        for mark in ["", "\u{feff}"] {
            for before in ["", "x"] {
                let text = format!("{mark}key = \"{key}\"\r\n");
                let written: Vec<u8> = before.bytes().chain(text.encode_utf16().flat_map(order)).collect();
                let found = scanner.scan(&written);
                assert_eq!(found.len(), 1, "{mark:?} {before} {found:?}");
                assert_eq!(found[0].what, LeakKind::Known);
            }
        }
    }
}

#[test]
fn a_comment_allows_what_has_a_form_in_a_writing() {
    let scanner = forms();
    for (encoding, writing) in writings(&registry_key()) {
        if [Encoding::Utf16Le, Encoding::Utf16Be].contains(&encoding) {
            continue;
        }
        let whole = surrounded(b"x = \"", &writing, b"\" # license:allow a sample\n");
        let (found, tally) = in_pieces(&scanner, &whole, &[5]);
        assert_eq!((found, tally), (vec![], Tally { leaks: 0, allowed: 1 }), "{encoding}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_planted_writing_is_found_once_at_the_borders_of_windows(
        text in (0..=SECRETS.len()).prop_map(|number| SECRETS.get(number).map_or_else(registry_key, |text| (*text).to_owned())),
        row in any::<prop::sample::Index>(),
        filler in select(vec![b' ', b'\n', b'"', 0xFF]),
        before in prop_oneof![0..300_usize, 91_000..92_300_usize, 184_000..184_500_usize],
        after in prop_oneof![0..300_usize, 80_000..100_000_usize],
        sizes in collection::vec(prop_oneof![Just(1), 1..50_usize, 1_000..100_000_usize], 1..4),
    ) {
        let scanner = configured(&text);
        let (name, _, written) = { let rows = all(&text); rows[row.index(rows.len())].clone() };
        let whole = surrounded(&vec![filler; before], &written, &vec![filler; after]);
        let (found, tally) = in_pieces(&scanner, &whole, &sizes);
        prop_assert_eq!(tally, Tally { leaks: 1, allowed: 0 }, "{} {} {:?}", text, name, found);
        prop_assert!((before..before + 5).contains(&usize::try_from(found[0].offset).unwrap()), "{:?}", found);
        prop_assert_eq!(&found, &scanner.scan(&whole));
    }

    #[test]
    fn a_planted_form_is_found_at_the_borders_of_windows(
        row in any::<prop::sample::Index>(),
        filler in select(vec![b' ', b'\n', b'"', 0xFF]),
        before in prop_oneof![0..300_usize, 91_000..92_300_usize, 184_000..184_500_usize],
        after in prop_oneof![0..300_usize, 80_000..100_000_usize],
        sizes in collection::vec(prop_oneof![Just(1), 1..50_usize, 1_000..100_000_usize], 1..4),
    ) {
        let key = registry_key();
        for scanner in [forms(), known(&[&key])] {
            let (name, _, written) = { let rows = all(&key); rows[row.index(rows.len())].clone() };
            let whole = surrounded(&vec![filler; before], &written, &vec![filler; after]);
            let (found, tally) = in_pieces(&scanner, &whole, &sizes);
            prop_assert_eq!(tally, Tally { leaks: 1, allowed: 0 }, "{} {:?}", name, found);
            prop_assert_eq!(&found, &scanner.scan(&whole));
        }
    }
}

#[test]
fn a_key_in_a_writing_is_found_wherever_it_stands_at_the_border_of_two_windows() {
    /// How far windows are apart.
    const WINDOW_BYTES: usize = 90 * 1024;

    let key = registry_key();
    let other = "TO-another-key-1234";
    let (forms, known) = (forms(), known(&[other]));
    let in_lines = |text: &str| {
        let lines: Vec<_> = text.as_bytes().chunks(24).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        lines.join("\n")
    };
    for (scanner, text) in [(&forms, key.as_str()), (&known, other)] {
        let mut writings = vec![("plain".to_owned(), 0, text.to_owned()), ("hex".to_owned(), 0, hex(text.as_bytes()))];
        for before in 0..3 {
            let longer = format!("{}{text}\n", &"=\"'"[..before]);
            let offset = before * 8 / 6;
            writings.push((format!("base64 behind {before}"), offset, STANDARD.encode(&longer)));
            writings.push((format!("base64 for addresses behind {before}"), offset, URL_SAFE_NO_PAD.encode(&longer)));
            writings.push((format!("base64 in lines behind {before}"), offset, in_lines(&STANDARD.encode(&longer))));
        }
        for (name, offset, written) in &writings {
            for start in WINDOW_BYTES - written.len() - 4..WINDOW_BYTES + 4 {
                let whole = surrounded(&vec![b' '; start], written.as_bytes(), b" \n");
                let (found, tally) = in_pieces(scanner, &whole, &[whole.len()]);
                assert_eq!(tally, Tally { leaks: 1, allowed: 0 }, "{name} at {start}: {found:?}");
                assert_eq!(
                    (found[0].offset, found[0].fingerprint),
                    ((start + offset) as u64, fingerprint(text)),
                    "{name} at {start}"
                );
            }
        }
    }
}
