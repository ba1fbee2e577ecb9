//! Text that was decoded, and where in its source each byte of it comes from.

use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroize;

use super::leak::Encoding;

/// A decoded text.
pub(super) struct View {
    pub(super) text: Vec<u8>,
    /// Where in the source the text begins.
    from: usize,
    origin: Origin,
}

/// Where the bytes of a text come from.
enum Origin {
    /// All of them as they are, but for some, in their order.
    Steps(Vec<Step>),
    /// Every `text` bytes from `source` bytes.
    Scaled { source: usize, text: usize, encoding: Encoding },
}

/// A place at which the text is not what stands in the source.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Where in the text, and how many bytes of it; none where something was left out.
    at: u32,
    count: u8,
    encoding: Encoding,
    /// Where in the source, counted from the beginning of the text.
    from: u32,
    to: u32,
}

impl Step {
    fn at(&self) -> usize {
        self.at as usize
    }

    fn end(&self) -> usize {
        self.at as usize + usize::from(self.count)
    }
}

impl View {
    /// An empty text, for what a range of the source stands for, and that is not longer.
    pub(super) fn start(source: Range<usize>) -> Self {
        Self { text: Vec::with_capacity(source.len()), from: source.start, origin: Origin::Steps(Vec::new()) }
    }

    /// A text of which every `text` bytes stand for `source` bytes.
    pub(super) fn scaled(decoded: Vec<u8>, from: usize, source: usize, text: usize, encoding: Encoding) -> Self {
        Self { text: decoded, from, origin: Origin::Scaled { source, text, encoding } }
    }

    /// Adds text that stands in the source as it is.
    pub(super) fn copy(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// Takes back so many of the bytes that were copied last.
    pub(super) fn take_back(&mut self, bytes: usize) {
        let kept = self.text.len().saturating_sub(bytes);
        self.text.truncate(kept);
    }

    /// Adds what a range of the source stands for.
    pub(super) fn decode(&mut self, source: Range<usize>, bytes: &[u8], encoding: Encoding) {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if let Origin::Steps(steps) = &mut self.origin {
            steps.push(Step {
                at: place(self.text.len()),
                count: u8::try_from(bytes.len()).unwrap_or(u8::MAX),
                encoding,
                from: place(source.start.saturating_sub(self.from)),
                to: place(source.end.saturating_sub(self.from)),
            });
        }
        self.text.extend_from_slice(bytes);
    }

    /// Where in the source a piece of the text is. None if nothing in it or beside it was decoded, so that it is the same there.
    pub(super) fn source(&self, range: &Range<usize>) -> Option<(Range<usize>, Encoding)> {
        match &self.origin {
            Origin::Steps(steps) => {
                let touching = before(steps, range.end).filter(|step| step.end() >= range.start);
                let first = steps.get(steps.partition_point(|step| step.end() <= range.start));
                let encoding = first.filter(|step| step.at() < range.end).map_or(Encoding::Plain, |step| step.encoding);
                let start = source_of(steps, range.start).start;
                // What ends where something was left out ends before that.
                let end = source_of(steps, range.end.saturating_sub(1)).end;
                touching.map(|_| (self.from + start..self.from + end, encoding))
            }
            &Origin::Scaled { source, text, encoding } => {
                let start = range.start * source / text;
                let end = (range.end * source).div_ceil(text);
                Some((self.from + start..self.from + end, encoding))
            }
        }
    }
}

/// As with every text that may hold a secret. The text is cleared first: what is spare is wiped at once, and not byte by byte.
impl Drop for View {
    fn drop(&mut self) {
        self.text.clear();
        self.text.spare_capacity_mut().zeroize();
    }
}

/// The last step that begins at a place of the text, or before it.
fn before(steps: &[Step], at: usize) -> Option<&Step> {
    steps.partition_point(|step| step.at() <= at).checked_sub(1).and_then(|step| steps.get(step))
}

/// Where in the source a byte of the text is, counted from the beginning of the text.
fn source_of(steps: &[Step], at: usize) -> Range<usize> {
    match before(steps, at) {
        Some(step) if at < step.end() => step.from as usize..step.to as usize,
        Some(step) => {
            let start = step.to as usize + at - step.end();
            start..start + 1
        }
        None => at..at + 1,
    }
}
