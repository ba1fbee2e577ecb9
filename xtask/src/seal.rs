//! Seals bytes to recipients, and opens them with an identity: the file format of age, with its X25519 keys only.
//!
//! What is sealed here is opened by the `age` program, and the other way round. Texts that cannot be read are named
//! by their place and never shown: what stands in the place of a recipient may be a secret.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
};

use age::{
    Decryptor, EncryptError, Encryptor,
    armor::{ArmoredReader, ArmoredWriter, Format},
    secrecy::ExposeSecret as _,
    x25519,
};
use jiff::Timestamp;
use license_core::rotation::BlobHash;
use zeroize::Zeroizing;

/// The longest text that is sealed or opened, in bytes: an authority's answer of 64 KiB, and what stands round it.
pub(crate) const PLAIN_BYTES_MAX: usize = 68 * 1024;
/// The longest sealed file that is read, in bytes.
pub(crate) const ARMOR_BYTES_MAX: usize = 256 * 1024;
/// The longest file of identities, in bytes.
pub(crate) const IDENTITY_BYTES_MAX: usize = 64 * 1024;
/// The most recipients that one file is sealed to.
const RECIPIENTS_MAX: usize = 64;
/// The most identities that are tried.
const IDENTITIES_MAX: usize = 16;

/// How an identity begins, in capital letters.
const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-";

/// Whom something is sealed to: at least one.
#[derive(Clone)]
pub(crate) struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads recipients (`age1…`), or says which of them, counted from 1, is none.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, SealError> {
        if texts.is_empty() {
            return Err(SealError::NoRecipients);
        }
        if texts.len() > RECIPIENTS_MAX {
            return Err(SealError::TooManyRecipients);
        }
        let mut recipients = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let recipient = recipient(text).map_err(|why| SealError::Recipient { position: at + 1, why })?;
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        Ok(Self(recipients))
    }

    /// Seals bytes, so that any one of the recipients can open them.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Sealed, SealError> {
        if plain.len() > PLAIN_BYTES_MAX {
            return Err(SealError::TooLongToSeal);
        }
        sealed(&self.0, plain).map(Sealed).map_err(|why| SealError::NotSealed { why: why.to_string() })
    }

    /// Whether the identity can open what is sealed to these.
    pub(crate) fn include(&self, identity: &Identity) -> bool {
        identity.0.iter().any(|identity| self.0.contains(&identity.to_public()))
    }
}

/// Recipients are public.
impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(ToString::to_string)).finish()
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient, NotARecipient> {
    if text.to_ascii_uppercase().contains(IDENTITY_PREFIX) {
        return Err(NotARecipient::Identity);
    }
    if text.trim().is_empty() {
        return Err(NotARecipient::Empty);
    }
    if text.starts_with("ssh-") || text.starts_with("age1tag1") || text.starts_with("age1pq1") {
        return Err(NotARecipient::OtherKind);
    }
    text.parse().map_err(|_| NotARecipient::Mistyped)
}

fn sealed(recipients: &[x25519::Recipient], plain: &[u8]) -> Result<String, EncryptError> {
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|recipient| recipient as _))?;
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(plain)?;
    let bytes = writer.finish()?.finish()?;
    String::from_utf8(bytes).map_err(|error| EncryptError::Io(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Something sealed, as text in ASCII armor. It may be shown: only the identity opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed(String);

impl Sealed {
    /// The armor, whole lines.
    pub(crate) fn armor(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the armor's bytes: how the trail names it.
    pub(crate) fn hash(&self) -> BlobHash {
        BlobHash::of(self.0.as_bytes())
    }
}

/// What opens sealed files: one identity or several, each of which is tried.
pub(crate) struct Identity(Vec<x25519::Identity>);

impl Identity {
    /// Reads identities from the text of a file as `age-keygen` writes it: one a line, empty lines and comments between.
    pub(crate) fn parse(text: &str) -> Result<Self, SealError> {
        if text.len() > IDENTITY_BYTES_MAX {
            return Err(SealError::IdentityTooLong);
        }
        let mut identities = Vec::new();
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if identities.len() == IDENTITIES_MAX {
                return Err(SealError::TooManyIdentities);
            }
            identities.push(identity(line).map_err(|why| SealError::Identity { line: at + 1, why })?);
        }
        if identities.is_empty() { Err(SealError::NoIdentity) } else { Ok(Self(identities)) }
    }

    /// A new identity, as the text of a file that `age` reads too.
    pub(crate) fn new_file(now: Timestamp) -> (Zeroizing<String>, String) {
        let identity = x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        let secret = identity.to_string();
        let mut text = Zeroizing::new(String::with_capacity(IDENTITY_FILE_BYTES));
        for part in
            ["# created: ", &now.to_string(), "\n# public key: ", &recipient, "\n", secret.expose_secret(), "\n"]
        {
            text.push_str(part);
        }
        (text, recipient)
    }

    /// Opens a sealed file, in armor or as bytes.
    pub(crate) fn open(&self, armor: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if armor.len() > ARMOR_BYTES_MAX {
            return Err(SealError::TooLongToOpen);
        }
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(armor)).map_err(|error| not_opened(&error))?;
        if decryptor.is_scrypt() {
            return Err(SealError::Passphrase);
        }
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let plain = decryptor.decrypt(identities).map_err(|error| not_opened(&error))?;
        // As long as it can get, so that growing leaves no copies behind.
        let mut opened = Zeroizing::new(Vec::with_capacity(armor.len().min(PLAIN_BYTES_MAX) + 64));
        let read = plain.take(PLAIN_BYTES_MAX as u64 + 1).read_to_end(&mut opened);
        if read.map_err(|_| SealError::Malformed)? > PLAIN_BYTES_MAX {
            return Err(SealError::TooLongToOpen);
        }
        Ok(opened)
    }

    /// The recipient of the first identity: what is sealed to it, this opens.
    pub(crate) fn recipient(&self) -> String {
        self.0.first().map(|identity| identity.to_public().to_string()).unwrap_or_default()
    }
}

/// How much room the text of a new identity takes at most, in bytes.
const IDENTITY_FILE_BYTES: usize = 256;

/// Shows whose it is, and nothing of the identity.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.recipient()).finish()
    }
}

fn identity(line: &str) -> Result<x25519::Identity, NotAnIdentity> {
    let capital = Zeroizing::new(line.to_ascii_uppercase());
    if capital.starts_with("AGE-SECRET-KEY-PQ-") || capital.starts_with("AGE-PLUGIN-") {
        return Err(NotAnIdentity::OtherKind);
    }
    if capital.starts_with("AGE1") {
        return Err(NotAnIdentity::Recipient);
    }
    if capital.starts_with("-----BEGIN") || line.starts_with("age-encryption.org/") {
        return Err(NotAnIdentity::Protected);
    }
    line.parse().map_err(|_| NotAnIdentity::Mistyped)
}

fn not_opened(error: &age::DecryptError) -> SealError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is the library's, and grows with its features")]
    match error {
        age::DecryptError::NoMatchingKeys => SealError::NotForUs,
        age::DecryptError::UnknownFormat => SealError::NewerFormat,
        _ => SealError::Malformed,
    }
}

/// Why something could not be sealed or opened. Shows nothing of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub(crate) enum SealError {
    /// The list is empty.
    #[error("there is no recipient to seal to")]
    #[diagnostic(help("`cargo xtask escrow keygen` makes an identity and shows its recipient (`age1…`)"))]
    NoRecipients,
    /// The list is too long.
    #[error("there are more than {RECIPIENTS_MAX} recipients")]
    #[diagnostic(help("leave out those who need not open it"))]
    TooManyRecipients,
    /// One of the list is no recipient.
    #[error("recipient {position} {why}")]
    #[diagnostic(help("{}", why.next()))]
    Recipient {
        /// Which one, counted from 1.
        position: usize,
        /// What is wrong with it.
        why: NotARecipient,
    },
    /// More than an answer can have.
    #[error("what is to be sealed is longer than {} KiB", PLAIN_BYTES_MAX / 1024)]
    TooLongToSeal,
    /// The library or the system's randomness failed.
    #[error("it could not be sealed: {why}")]
    NotSealed {
        /// What the library said.
        why: String,
    },
    /// The text of identities has none.
    #[error("there is no identity in it")]
    #[diagnostic(help(
        "an identity is a line that begins with `{IDENTITY_PREFIX}1`; `cargo xtask escrow keygen` makes one"
    ))]
    NoIdentity,
    /// A line is no identity.
    #[error("line {line} of the identity {why}")]
    #[diagnostic(help("{}", why.next()))]
    Identity {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        why: NotAnIdentity,
    },
    /// Too long for a file of identities.
    #[error("the identity is longer than {} KiB", IDENTITY_BYTES_MAX / 1024)]
    #[diagnostic(help("this is hardly the right file; an identity is one line"))]
    IdentityTooLong,
    /// Too many lines with identities.
    #[error("there are more than {IDENTITIES_MAX} identities")]
    #[diagnostic(help("keep only those that are still needed"))]
    TooManyIdentities,
    /// None of the identities opens it.
    #[error("it is sealed to other recipients: the identity does not open it")]
    #[diagnostic(help("use the identity of one of the recipients that were configured when it was sealed"))]
    NotForUs,
    /// Not an age file, cut off, or changed.
    #[error("it is no sealed file, or it is damaged")]
    #[diagnostic(help("take it again from where it was kept: from `-----BEGIN AGE ENCRYPTED FILE-----` to the end"))]
    Malformed,
    /// It needs a passphrase.
    #[error("it is sealed with a passphrase, not to a recipient")]
    #[diagnostic(help("seal it again with `age -r age1…`"))]
    Passphrase,
    /// A version of the format that is not known here.
    #[error("it is sealed in a format that is not known here")]
    #[diagnostic(help("open it with a newer `age` program"))]
    NewerFormat,
    /// Longer than anything that is sealed here.
    #[error("the sealed file is longer than {} KiB", ARMOR_BYTES_MAX / 1024)]
    #[diagnostic(help("this is hardly the right file"))]
    TooLongToOpen,
}

/// What is wrong with a text in the place of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotARecipient {
    /// It is the secret half.
    Identity,
    /// There is nothing.
    Empty,
    /// Another kind of key.
    OtherKind,
    /// Letters are missing or wrong.
    Mistyped,
}

impl NotARecipient {
    fn next(self) -> &'static str {
        match self {
            Self::Identity => {
                "take it out, make a new identity with `cargo xtask escrow keygen`, and write its recipient (`age1…`) here; whoever has seen this file can open what was sealed to the old one"
            }
            Self::Empty => "write a recipient, as `cargo xtask escrow keygen` shows it (`age1…`)",
            Self::OtherKind => {
                "write an X25519 recipient, as `cargo xtask escrow keygen` or `age-keygen` shows it (`age1…`)"
            }
            Self::Mistyped => {
                "copy the whole of it again: it begins with `age1`, has 62 characters, and nothing stands before or after it"
            }
        }
    }
}

impl fmt::Display for NotARecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "is a secret identity (`AGE-SECRET-KEY-…`), not a recipient",
            Self::Empty => "is empty",
            Self::OtherKind => "is a kind of key that is not used here",
            Self::Mistyped => "is no age recipient",
        })
    }
}

/// What is wrong with a text in the place of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAnIdentity {
    /// It is the public half.
    Recipient,
    /// A plugin's, or a post-quantum one.
    OtherKind,
    /// The identity itself is sealed.
    Protected,
    /// Letters are missing or wrong.
    Mistyped,
}

impl NotAnIdentity {
    fn next(self) -> &'static str {
        match self {
            Self::Recipient => "the identity is the other half: the line that begins with `AGE-SECRET-KEY-1`",
            Self::OtherKind => "use an X25519 identity, as `cargo xtask escrow keygen` or `age-keygen` makes it",
            Self::Protected => "open it first (`age -d`), and hand it over in a variable of the CI system's secrets",
            Self::Mistyped => "copy the whole line again: it begins with `AGE-SECRET-KEY-1` and has 74 characters",
        }
    }
}

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "is a recipient (`age1…`), which seals and does not open",
            Self::OtherKind => "is a kind of identity that is not used here",
            Self::Protected => "is sealed itself",
            Self::Mistyped => "is no age identity",
        })
    }
}

#[cfg(test)]
mod tests;
