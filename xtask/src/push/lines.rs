//! The lines that git writes to a pre-push hook: one for every ref that is pushed.
//!
//! Pure: bytes in, updates out. Whatever is not understood is an error, so that no garbage reads as "nothing to push".

use crate::git::Oid;

/// The most that is read from git, in bytes: a mirror of a hundred thousand refs is a third of it.
pub(crate) const LINES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One ref of the push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    /// What is pushed, as it was named: free text such as `refs/heads/main`, `HEAD~1` or `(delete)`.
    pub(crate) local_name: Vec<u8>,
    /// The object that is pushed; none where the ref is deleted. It may be an annotated tag, a tree or a blob.
    pub(crate) new: Option<Oid>,
    /// The full name of the ref on the remote.
    pub(crate) remote_ref: Vec<u8>,
    /// What the remote says the ref holds; none where it is new. This repository may not have the object.
    pub(crate) old: Option<Oid>,
}

impl Update {
    /// The name of the ref on the remote, fit to be shown.
    pub(crate) fn shown_ref(&self) -> String {
        license_core::finding::clean(&String::from_utf8_lossy(&self.remote_ref))
    }
}

/// What is wrong with the hook's input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub(crate) enum LinesError {
    /// A line that git does not write.
    #[error("line {number} of the hook's input cannot be understood: {why}")]
    #[diagnostic(help(
        "git writes `LOCAL-REF LOCAL-OID REMOTE-REF REMOTE-OID` to a pre-push hook; see who else is in the chain of hooks"
    ))]
    NotALine {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it. The line itself is not shown: nobody knows what it is.
        why: &'static str,
    },
}

/// Reads every line.
pub(crate) fn parse(input: &[u8]) -> Result<Vec<Update>, LinesError> {
    let input = input.strip_suffix(b"\n").unwrap_or(input);
    if input.is_empty() {
        return Ok(Vec::new());
    }
    let lines = input.split(|&byte| byte == b'\n');
    lines
        .enumerate()
        .map(|(at, line)| update(line).map_err(|why| LinesError::NotALine { number: at + 1, why }))
        .collect()
}

/// Splits from the right: the first column is free text, and may have spaces.
fn update(line: &[u8]) -> Result<Update, &'static str> {
    let mut columns = line.rsplitn(4, |&byte| byte == b' ');
    let (old, remote_ref, new, local_name) = (columns.next(), columns.next(), columns.next(), columns.next());
    let (Some(old), Some(remote_ref), Some(new), Some(local_name)) = (old, remote_ref, new, local_name) else {
        return Err("it has fewer than four columns");
    };
    if local_name.is_empty() || remote_ref.is_empty() {
        return Err("a ref has no name");
    }
    if line.contains(&0) {
        return Err("it has a NUL byte");
    }
    if new.len() != old.len() {
        return Err("the names of its objects differ in length");
    }
    Ok(Update {
        local_name: local_name.to_owned(),
        new: object(new)?,
        remote_ref: remote_ref.to_owned(),
        old: object(old)?,
    })
}

/// The name of an object; none where it is all zeros, of either length.
fn object(digits: &[u8]) -> Result<Option<Oid>, &'static str> {
    let name = std::str::from_utf8(digits).ok().and_then(Oid::parse);
    let name = name.ok_or("an object's name is not 40 or 64 hex digits")?;
    let zeros = name.as_str().bytes().all(|digit| digit == b'0');
    Ok((!zeros).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "0123456789012345678901234567890123456789";

    fn zeros(digits: usize) -> String {
        "0".repeat(digits)
    }

    fn oid(text: &str) -> Oid {
        Oid::parse(text).unwrap()
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let (zeros, a64) = (zeros(40), A.repeat(2)[..64].to_owned());
        let zeros64 = "0".repeat(64);
        for (line, local, new, remote, old) in [
            (
                format!("refs/heads/main {A} refs/heads/main {B}"),
                "refs/heads/main",
                Some(oid(A)),
                "refs/heads/main",
                Some(oid(B)),
            ),
            (format!("HEAD~1 {A} refs/heads/new {zeros}"), "HEAD~1", Some(oid(A)), "refs/heads/new", None),
            (format!("(delete) {zeros} refs/tags/v1 {B}"), "(delete)", None, "refs/tags/v1", Some(oid(B))),
            (format!("HEAD@{{2 days ago}} {A} refs/x {B}"), "HEAD@{2 days ago}", Some(oid(A)), "refs/x", Some(oid(B))),
            (format!(":/fix the  bug {A} refs/heads/x {zeros}"), ":/fix the  bug", Some(oid(A)), "refs/heads/x", None),
            (format!("m {a64} refs/heads/m {zeros64}"), "m", Some(oid(&a64)), "refs/heads/m", None),
            (format!("(delete) {zeros64} refs/heads/m {a64}"), "(delete)", None, "refs/heads/m", Some(oid(&a64))),
        ] {
            for end in ["", "\n"] {
                let read = parse(format!("{line}{end}").as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
                let expected =
                    Update { local_name: local.into(), new: new.clone(), remote_ref: remote.into(), old: old.clone() };
                assert_eq!(read, [expected], "{line}");
            }
        }
    }

    #[test]
    fn all_lines_are_read_and_not_the_first_alone() {
        let input = format!("a {A} refs/heads/a {B}\nb {B} refs/heads/b {A}\nc {A} refs/heads/c {A}\n");
        let read = parse(input.as_bytes()).unwrap();
        let names: Vec<_> = read.iter().map(Update::shown_ref).collect();
        assert_eq!(names, ["refs/heads/a", "refs/heads/b", "refs/heads/c"]);
    }

    #[test]
    fn no_line_is_no_update() {
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(parse(b"\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_name_that_is_no_text_is_kept_as_it_is() {
        let line = [b"refs/heads/\xff ", A.as_bytes(), b" refs/heads/\xff ", B.as_bytes()].concat();
        let read = parse(&line).unwrap();
        assert_eq!(read[0].remote_ref, b"refs/heads/\xff");
        assert_eq!(read[0].shown_ref(), "refs/heads/\u{fffd}");
    }

    #[test]
    fn garbage_is_an_error_that_names_its_line() {
        let good = format!("a {A} refs/heads/a {B}\n");
        for (garbage, why) in [
            ("hello".to_owned(), "fewer than four columns"),
            (format!("refs/heads/a {A} {B}"), "fewer than four columns"),
            (String::new(), "fewer than four columns"),
            (format!("a {A} refs/heads/a {B} "), "differ in length"),
            (format!("a {A} refs/heads/a {}", &B[1..]), "differ in length"),
            (format!("a {} refs/heads/a {}", &A[1..], &B[1..]), "hex digits"),
            (format!("a {} refs/heads/a {B}", A.to_uppercase()), "hex digits"),
            (format!("a {A} refs/heads/a {B}\r"), "differ in length"),
            (format!("a {A} refs/heads/a {}", A.repeat(2)), "differ in length"),
            (format!(" {A} refs/heads/a {B}"), "no name"),
            (format!("a {A}  {B}"), "no name"),
            (format!("a\0 {A} refs/heads/a {B}"), "NUL"),
        ] {
            let error = parse(format!("{good}{garbage}\n{good}").as_bytes()).expect_err(&garbage);
            let LinesError::NotALine { number, why: said } = &error;
            assert_eq!(*number, 2, "{garbage:?}");
            assert!(said.contains(why), "{garbage:?}: {said}");
            assert!(!error.to_string().contains(&A[..8]), "what is not understood is not repeated");
        }
    }
}
