//! What is sealed here is opened by others, and what others sealed is opened here.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use proptest::prelude::*;

use super::*;

/// Made by `age-keygen` 1.1.1 for this test.
const IDENTITY_FILE: &str = "\
# created: 2026-11-24T15:21:34Z
# public key: age138xlhfylvfqf6kpnhgjr7dwcqp8zz52v2xrcy4asjk9fqz5laehqcew0kx
AGE-SECRET-KEY-1J90R5UJ33Y57ZF5E6ZH36YLSRKE3X6DMYFZYZ4U0NQMW4M3YFETQL7SX2P
";
const RECIPIENT: &str = "age138xlhfylvfqf6kpnhgjr7dwcqp8zz52v2xrcy4asjk9fqz5laehqcew0kx";

/// Sealed by `age` 1.1.1, the program in Go, to somebody else and to [`RECIPIENT`].
const SEALED_BY_ANOTHER_PROGRAM: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBCOWpXa2g4ZEVWQkRTalNr
YVI2eUsza3owSkJwdkhIalc4aDFEVDJ1d1JNCjVQZlhnaWJiUmp2dWRXbDcyK2hU
d2hSaldMZ1ZOenZhazVjWCtyLzVITE0KLT4gWDI1NTE5IHpmZVBGYSt0ZTlodEZu
SDNNcVNJMG1udkR6Ym9FaDJMdW4zdUhxdm9SbHMKVEdYTHVCT05wZ3lFcW5FMSsr
am5ONkZtbGozN0tMcG5CdUlxUkFpZ1BzcwotLS0gYkJZdzRrc3ZkT0UxQzRnaHpO
aldNU2NCUVl1L0dSV1FKT3EzQi9zeUtuTQo9o3Esan+sEUvlouPzL3T9E676sxyn
M0LXj0nW8nou/Vu/ZrPNiJcHkMpNadzl2xyn/thvib9qJRd6Vdox8wk=
-----END AGE ENCRYPTED FILE-----
";

fn recipients(texts: &[&str]) -> Result<Recipients, SealError> {
    Recipients::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
}

fn fresh() -> (Zeroizing<String>, Identity, String) {
    let (text, recipient) = Identity::new_file("2026-11-24T15:00:00Z".parse().unwrap());
    let identity = Identity::parse(&text).unwrap();
    (text, identity, recipient)
}

#[test]
fn what_another_program_sealed_is_opened() {
    let identity = Identity::parse(IDENTITY_FILE).unwrap();
    assert_eq!(identity.recipient(), RECIPIENT);
    let opened = identity.open(SEALED_BY_ANOTHER_PROGRAM.as_bytes()).unwrap();
    assert_eq!(opened.as_slice(), b"TO-DEV-made-by-another-program\n");
    let with_crlf = SEALED_BY_ANOTHER_PROGRAM.replace('\n', "\r\n");
    assert_eq!(identity.open(with_crlf.as_bytes()).unwrap(), opened);
}

#[test]
fn each_recipient_opens_what_was_sealed_to_both() {
    let ((_, one, one_recipient), (_, other, other_recipient)) = (fresh(), fresh());
    let sealed = recipients(&[&one_recipient, &other_recipient]).unwrap().seal(b"TO-DEV-1234").unwrap();
    assert!(sealed.armor().starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n") && sealed.armor().ends_with("-----\n"));
    assert_eq!(sealed.hash(), BlobHash::of(sealed.armor().as_bytes()));
    for identity in [&one, &other] {
        assert_eq!(identity.open(sealed.armor().as_bytes()).unwrap().as_slice(), b"TO-DEV-1234");
    }
    let (_, stranger, _) = fresh();
    assert_eq!(stranger.open(sealed.armor().as_bytes()).unwrap_err(), SealError::NotForUs);
}

#[test]
fn every_identity_of_a_file_is_tried() {
    let ((one_text, ..), (other_text, ..)) = (fresh(), fresh());
    let identity = Identity::parse(&format!("# ours\n\n{}\n{}\r\n{IDENTITY_FILE}", *one_text, *other_text)).unwrap();
    identity.open(SEALED_BY_ANOTHER_PROGRAM.as_bytes()).unwrap();
    assert!(recipients(&[RECIPIENT]).unwrap().include(&identity));
    assert!(!recipients(&[RECIPIENT]).unwrap().include(&fresh().1));
}

#[test]
fn the_same_bytes_sealed_twice_differ() {
    let recipients = recipients(&[RECIPIENT]).unwrap();
    assert_ne!(recipients.seal(b"x").unwrap(), recipients.seal(b"x").unwrap());
}

#[test]
fn a_bad_recipient_is_named_by_its_place_and_never_shown() {
    let (secret, _, _) = fresh();
    let secret = secret.lines().last().unwrap();
    let marker = "TO-PRD-marker-1234";
    let cut = &RECIPIENT[..50];
    for (text, why) in [
        (secret, NotARecipient::Identity),
        (&secret.to_lowercase(), NotARecipient::Identity),
        (&format!(" {secret}"), NotARecipient::Identity),
        ("", NotARecipient::Empty),
        (" ", NotARecipient::Empty),
        (marker, NotARecipient::Mistyped),
        (cut, NotARecipient::Mistyped),
        (&format!("{RECIPIENT}\n"), NotARecipient::Mistyped),
        ("ssh-ed25519 AAAAC3Nza", NotARecipient::OtherKind),
    ] {
        let error = recipients(&[RECIPIENT, text]).unwrap_err();
        assert_eq!(error, SealError::Recipient { position: 2, why }, "{text}");
        let shown = format!("{error} {error:?} {}", miette::Diagnostic::help(&error).unwrap());
        assert!(text.trim().is_empty() || !shown.contains(text.trim()), "{shown}");
        assert!(shown.starts_with("recipient 2 is "), "{shown}");
    }
    assert_eq!(recipients(&[]).unwrap_err(), SealError::NoRecipients);
    assert_eq!(recipients(&[RECIPIENT; RECIPIENTS_MAX + 1]).unwrap_err(), SealError::TooManyRecipients);
}

#[test]
fn a_bad_identity_is_named_by_its_line_and_never_shown() {
    let (secret, _, _) = fresh();
    let secret = secret.lines().last().unwrap();
    let (cut, prefixed) = (&secret[..70], &format!("key: {secret}"));
    for (text, why) in [
        (cut, NotAnIdentity::Mistyped),
        (prefixed, NotAnIdentity::Mistyped),
        (RECIPIENT, NotAnIdentity::Recipient),
        ("AGE-PLUGIN-YUBIKEY-1MARKER", NotAnIdentity::OtherKind),
        ("AGE-SECRET-KEY-PQ-1MARKER", NotAnIdentity::OtherKind),
        (SEALED_BY_ANOTHER_PROGRAM.trim_end(), NotAnIdentity::Protected),
    ] {
        let error = Identity::parse(&format!("# comment\n{text}\n")).unwrap_err();
        assert_eq!(error, SealError::Identity { line: 2, why });
        let shown = format!("{error} {error:?} {}", miette::Diagnostic::help(&error).unwrap());
        assert!(!shown.contains(&text[20..]), "{shown}");
    }
    for text in ["", "\n\n", "# AGE-SECRET-KEY-1\n"] {
        assert_eq!(Identity::parse(text).unwrap_err(), SealError::NoIdentity);
    }
    let long = "#".repeat(IDENTITY_BYTES_MAX + 1);
    assert_eq!(Identity::parse(&long).unwrap_err(), SealError::IdentityTooLong);
    let many = format!("{secret}\n").repeat(IDENTITIES_MAX + 1);
    assert_eq!(Identity::parse(&many).unwrap_err(), SealError::TooManyIdentities);
    let shown = format!("{:?}", Identity::parse(secret).unwrap());
    assert!(!shown.contains(&secret[16..]), "{shown}");
}

#[test]
fn what_is_too_long_is_neither_sealed_nor_opened() {
    let (_, identity, recipient) = fresh();
    let recipients = recipients(&[&recipient]).unwrap();
    let longest = vec![7; PLAIN_BYTES_MAX];
    let sealed = recipients.seal(&longest).unwrap();
    assert!(sealed.armor().len() < ARMOR_BYTES_MAX);
    assert_eq!(*identity.open(sealed.armor().as_bytes()).unwrap(), longest);
    let longer = vec![7; PLAIN_BYTES_MAX + 1];
    assert_eq!(recipients.seal(&longer).unwrap_err(), SealError::TooLongToSeal);
    // Others may seal it.
    let others = super::sealed(&recipients.0, &longer).unwrap();
    assert_eq!(identity.open(others.as_bytes()).unwrap_err(), SealError::TooLongToOpen);
    assert_eq!(identity.open(&vec![b'a'; ARMOR_BYTES_MAX + 1]).unwrap_err(), SealError::TooLongToOpen);
}

#[test]
fn the_longest_answer_to_the_most_recipients_is_still_read() {
    let mut texts: Vec<String> = (0..RECIPIENTS_MAX).map(|_| fresh().2).collect();
    texts[RECIPIENTS_MAX - 1] = RECIPIENT.to_owned();
    let sealed = Recipients::parse(&texts).unwrap().seal(&vec![7; PLAIN_BYTES_MAX]).unwrap();
    Identity::parse(IDENTITY_FILE).unwrap().open(sealed.armor().as_bytes()).unwrap();
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_not_opened() {
    let identity = Identity::parse(IDENTITY_FILE).unwrap();
    let whole = SEALED_BY_ANOTHER_PROGRAM.trim_end().as_bytes();
    for length in 0..whole.len() {
        assert!(identity.open(&whole[..length]).is_err(), "{length}");
    }
    for text in ["", "\n", "hello", "age-encryption.org/v1\n", "age-encryption.org/v9\n-> X\n"] {
        assert!(identity.open(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_passphrase_is_not_asked_for() {
    let passphrase = age::secrecy::SecretString::from("guess".to_owned());
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(1);
    let sealed = age::encrypt_and_armor(&recipient, b"x").unwrap();
    assert_eq!(Identity::parse(IDENTITY_FILE).unwrap().open(sealed.as_bytes()).unwrap_err(), SealError::Passphrase);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sealed_is_opened(plain in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let sealed = recipients(&[RECIPIENT]).unwrap().seal(&plain).unwrap();
        let opened = Identity::parse(IDENTITY_FILE).unwrap().open(sealed.armor().as_bytes()).unwrap();
        prop_assert_eq!(&*opened, &plain);
    }

    #[test]
    fn a_changed_character_is_found(at in 40..SEALED_BY_ANOTHER_PROGRAM.len() - 40, by in "[A-Za-z0-9+/]") {
        let mut changed = SEALED_BY_ANOTHER_PROGRAM.to_owned();
        let before = changed.as_bytes()[at];
        // The last character before the padding has bits that mean nothing; the decoder insists on zeros there.
        prop_assume!(before != b'\n' && before != b'=' && before != by.as_bytes()[0]);
        changed.replace_range(at..=at, &by);
        let opened = Identity::parse(IDENTITY_FILE).unwrap().open(changed.as_bytes());
        prop_assert!(opened.is_err());
    }
}

/// Runs a program on a file; nothing where there is no such program.
#[expect(clippy::disallowed_methods, reason = "what is sealed here is for other programs: one of them is asked")]
fn other_program(program: &str, arguments: &[&str], directory: &Path) -> Option<Vec<u8>> {
    let ran = Command::new(program).args(arguments).current_dir(directory).stdin(Stdio::null()).output().ok()?;
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    Some(ran.stdout)
}

#[test]
fn the_age_program_opens_what_is_sealed_here_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| crate::files::replace(&directory.path().join(name), bytes).unwrap();
    let (text, identity, recipient) = fresh();
    write("identity.txt", text.as_bytes());
    write("plain", b"TO-DEV-there-and-back");
    write("sealed", recipients(&[&recipient, RECIPIENT]).unwrap().seal(b"TO-DEV-there").unwrap().armor().as_bytes());
    let mut asked = 0;
    for program in ["age", "rage"] {
        let Some(opened) = other_program(program, &["-d", "-i", "identity.txt", "sealed"], directory.path()) else {
            continue;
        };
        assert_eq!(opened, b"TO-DEV-there");
        for form in [&["-a", "-r", &recipient, "plain"][..], &["-r", &recipient, "plain"]] {
            let sealed = other_program(program, form, directory.path()).unwrap();
            assert_eq!(identity.open(&sealed).unwrap().as_slice(), b"TO-DEV-there-and-back");
        }
        asked += 1;
    }
    if asked == 0 {
        io::stderr().write_all(b"skipped: neither `age` nor `rage` is installed\n").unwrap();
    }
}
