//! Any bytes, in any pieces: the scanner never panics, and pieces change nothing.
//!
//! The first byte gives the size of the pieces, the rest is the object.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use license_core::{
    LicenseKey,
    leaks::{Pattern, Scanner, Secret, Watch},
};
use zeroize::Zeroizing;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let secret = |text: &str| Secret::new("a secret", Zeroizing::new(text.to_owned())).unwrap();
    let known = |text: &str| LicenseKey::parse(text).unwrap().fingerprint();
    Scanner::new(Watch {
        secrets: ["Zq81mPw0", "a/b+c/d=e?f&g", "zK4-9fQ2_mX7.tB1!cV6*nH3"].map(secret).into(),
        known: ["another-key-1234", "0a1b/2c3d+4e5f=="].map(known).into(),
        patterns: ["ACME-[A-Z0-9]{4,}", "a.{0,40}b"].map(|text| Pattern::parse(text).unwrap()).into(),
        allowed: [known("ACME-AB12")].into(),
    })
    .unwrap()
});

fuzz_target!(|input: &[u8]| {
    let Some((size, object)) = input.split_first() else { return };
    let (mut stream, mut found) = (SCANNER.stream(), Vec::new());
    for piece in object.chunks(usize::from(*size).max(1)) {
        stream.push(piece, &mut found);
    }
    stream.finish(&mut found);
    assert_eq!(found, SCANNER.scan(object));
});
