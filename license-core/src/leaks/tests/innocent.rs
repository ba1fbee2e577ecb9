//! Megabytes that look like what repositories are full of, and have no key in them.

use super::*;

/// Draws numbers; the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn uuid(&mut self) -> String {
        let digits = hex(&self.bytes(16));
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }
}

fn escaped(bytes: &[u8], escape: impl Fn(u8) -> String) -> String {
    bytes.iter().map(|&byte| escape(byte)).collect()
}

/// Lines that each draw something new.
const LINES: [fn(&mut Dice) -> String; 27] = [
    |dice| format!("id: {}", dice.uuid()),
    |dice| format!("ID={{{}}}", dice.uuid().to_uppercase()),
    |dice| format!("checksum = \"{}\"", hex(&dice.bytes(32))),
    |dice| format!("      integrity: sha512-{}", STANDARD.encode(dice.bytes(64))),
    |dice| format!("\"resolved\": \"https://registry.example/a/-/a-{}.tgz#{}\",", dice.below(99), hex(&dice.bytes(20))),
    |dice| {
        format!("h1:{} v1.{}.0 h1:{}", STANDARD.encode(dice.bytes(32)), dice.below(99), STANDARD.encode(dice.bytes(32)))
    },
    |dice| format!("src=\"data:image/png;base64,{}\"", STANDARD.encode(dice.bytes(300))),
    |dice| {
        STANDARD
            .encode(dice.bytes(600))
            .as_bytes()
            .chunks(76)
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>()
            .join("\n")
    },
    |dice| {
        format!(
            "{{\"cert\":\"{}\"}}",
            STANDARD
                .encode(dice.bytes(300))
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join("\\n")
        )
    },
    |dice| {
        format!(
            "static const uint8_t x[] = {{{}}};",
            dice.bytes(200).iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(", ")
        )
    },
    |dice| format!("[{}]", dice.bytes(200).iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    |dice| format!("GET /?q={}", escaped(&dice.bytes(60), |byte| format!("%{byte:02X}"))),
    |dice| format!("\"{}\"", escaped(&dice.bytes(60), |byte| format!("\\u00{byte:02x}"))),
    |dice| format!("\"{}\"", escaped(&dice.bytes(60), |byte| format!("\\x{byte:02x}"))),
    |dice| format!("<p>{}</p>", escaped(&dice.bytes(60), |byte| format!("&#{byte};"))),
    |dice| escaped(&dice.bytes(40), |byte| format!("={byte:02X}")) + "=",
    |dice| format!("index {}..{} 100644", hex(&dice.bytes(6)), hex(&dice.bytes(6))),
    |dice| format!("ssh-ed25519 {} me@host", STANDARD.encode(dice.bytes(51))),
    |dice| {
        format!(
            "!function(e,t){{var n=e[\"{}\"],r=t&&n||{{}};return n.TO-r.LK-{}}}(window);",
            hex(&dice.bytes(3)),
            dice.below(99)
        )
    },
    |dice| {
        format!(
            "sessionToken.eyJ{}.{}.{}",
            URL_SAFE_NO_PAD.encode(dice.bytes(30)),
            URL_SAFE_NO_PAD.encode(dice.bytes(90)),
            URL_SAFE_NO_PAD.encode(dice.bytes(64))
        )
    },
    |dice| format!("LIC-{:08}", dice.below(100_000_000)),
    |dice| format!("TO-{}-{}-AND-{}", dice.pick(&WORDS), dice.pick(&WORDS), dice.pick(&WORDS)),
    |dice| format!("sk_live_{}_{}", dice.pick(&WORDS).to_lowercase(), dice.pick(&WORDS)),
    |dice| {
        format!(
            "TO-PRD-{}",
            dice.pick(&["XXXX-XXXX-XXXX-XXXX", "****", "0000-0000-0000", "<key>", "${KEY}", "YOUR-KEY-HERE-7K2M"])
        )
    },
    |dice| format!("TO-{} LK-{}", &dice.uuid()[9..], dice.uuid()),
    |dice| format!("{{TO-{}}} TO-{}", &dice.uuid()[..23], dice.uuid().to_uppercase()),
    |dice| format!("{}\\n{}%20{}&amp;{}", dice.pick(&WORDS), dice.pick(&WORDS), dice.pick(&WORDS), dice.uuid()),
];

const WORDS: [&str; 12] = [
    "INSTALL",
    "Customers",
    "SHA256",
    "BASE64",
    "UTF16",
    "deployment",
    "Windows11",
    "PRODUCTION",
    "REGION-2",
    "v1beta1",
    "HTTP2",
    "readOnly",
];

#[test]
fn megabytes_of_hashes_identifiers_and_placeholders_have_no_key() {
    const LINES_DRAWN: usize = 20_000;

    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let scanner = scanner(Watch {
        secrets: SECRETS.iter().map(|text| secret(text)).chain([secret(&registry_key())]).collect(),
        known: BTreeSet::from([fingerprint("another-key-1234"), fingerprint("5f2c9a7be01d4386")]),
        ..Watch::default()
    });
    let mut bytes = 0;
    for number in 0..LINES_DRAWN / 1_000 {
        let lines: Vec<String> = (0..1_000)
            .map(|_| {
                let line = LINES[dice.below(LINES.len())];
                line(&mut dice)
            })
            .collect();
        let text = lines.join("\n");
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let escaped = each(&text[..text.len() / 8], |byte| format!("\\u{byte:04x}"));
        for (name, written) in
            [("plain", text.into_bytes()), ("UTF-16", utf16), ("escaped", escaped), ("random", dice.bytes(50_000))]
        {
            bytes += written.len();
            let found = scanner.scan(&written);
            let shown: Vec<_> = found
                .iter()
                .map(|leak| {
                    let at = usize::try_from(leak.offset).unwrap();
                    String::from_utf8_lossy(&written[at..written.len().min(at + 80)]).into_owned()
                })
                .collect();
            assert_eq!(found, [], "{name} {number} {shown:?}");
        }
    }
    assert!(bytes > 8_000_000, "{bytes}");
}
