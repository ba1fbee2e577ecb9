//! Masks secrets in the output of children, whatever the chunks in which it comes.

/// The texts to mask: each secret with its base64 (three alignments, both alphabets) and percent-encoded forms.
#[derive(Clone, Default)]
pub(crate) struct Masks {}

impl Masks {
    /// Masks for these secrets. Secrets shorter than [`SECRET_BYTES_MIN`] are left out: masking them would destroy the output.
    pub(crate) fn of<'a>(_secrets: impl IntoIterator<Item = &'a str>) -> Self {
        unimplemented!()
    }

    /// Masks a whole text.
    pub(crate) fn text(&self, _text: &str) -> String {
        unimplemented!()
    }

    /// A stream that masks across chunk borders.
    pub(crate) fn stream(&self) -> MaskedStream {
        unimplemented!()
    }
}

/// Shorter secrets are not masked, in bytes.
pub(crate) const SECRET_BYTES_MIN: usize = 6;

/// Masks a stream of bytes: holds back what may be the beginning of a secret.
#[derive(Debug)]
pub(crate) struct MaskedStream {}

impl MaskedStream {
    /// Takes a chunk, and gives what can be shown by now.
    pub(crate) fn push(&mut self, _chunk: &[u8]) -> Vec<u8> {
        unimplemented!()
    }

    /// The stream ended: gives the rest.
    pub(crate) fn finish(self) -> Vec<u8> {
        unimplemented!()
    }
}
