//! What lies over a text: escapes, line breaks in base64, lists of numbers, UTF-16.
//!
//! Each layer is looked for on its own, so that what looks like the escape of another one hides nothing. Around every place at which
//! there is something to decode the text is decoded, once, and looked at like any other; so the work for each byte has a bound.

use alloc::vec::Vec;
use core::ops::Range;

use fearless_simd::{Simd, prelude::*};
use memchr::{memchr, memchr_iter, memchr2_iter, memchr3_iter};

use super::{
    bits::{self, Answer, BEFORE_BYTES, BLOCK_BYTES, Bytes, Question, places},
    known::KNOWN_BYTES_MIN,
    leak::Encoding,
    needle::{base64_digit, hex_digit, is_odd},
    view::View,
    work,
};

/// What is read of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// `%2D`.
    Percent,
    /// `\u002d`, `\x2d`, `\055`, `\/` and what else begins with a backslash.
    Backslash,
    /// `&#45;`, `&#x2d;`, `&amp;`.
    Entity,
    /// All of the three above, where they stand side by side.
    Mixed,
    /// `=2D`, and lines that break behind a `=`.
    QuotedPrintable,
    /// Base64, or hex, in lines.
    Lines,
    /// `0x2d, 0x2d`, `45, 45`.
    Numbers,
    /// Both orders.
    Utf16,
}

/// The shortest line that is joined with the next, in bytes.
const LINE_BYTES_MIN: usize = 20;

/// The longest escape of a character, in bytes: `&#x0000002d;`.
const ESCAPE_BYTES_MAX: usize = 12;

/// How far before the place that is looked at a view begins, so that what stands before that place is seen, in bytes.
const CONTEXT_BYTES: usize = 64;

/// The part of a text that is looked at.
#[derive(Debug, Clone)]
pub(super) struct Part<'h> {
    pub(super) hay: &'h [u8],
    /// The offset of `hay` in its object.
    pub(super) base: u64,
    /// What begins here is looked for.
    pub(super) own: Range<usize>,
    /// The longest text that is looked for where it may be escaped, in bytes.
    pub(super) longest: usize,
    /// The shortest, in bytes; eight at least.
    pub(super) shortest: usize,
    /// The signs that are in secrets.
    pub(super) signs: Signs,
    pub(super) lines: Lines,
}

/// What was done to the lines of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Apart,
    /// Words that stood on two lines may have become one, which looks as if it was drawn: only base64 and hex are looked into.
    Joined,
}

/// A set of ASCII characters; the last stands for all that are none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs(u128);

impl Signs {
    /// Those of a text that are neither letters nor digits.
    pub(super) fn of(texts: impl Iterator<Item = u8>) -> Self {
        let signs = texts.filter(|byte| !byte.is_ascii_alphanumeric());
        Self(signs.fold(0, |signs, byte| signs | 1 << byte.min(LAST)))
    }

    fn contains(self, byte: u8) -> bool {
        self.0 >> byte.min(LAST) & 1 != 0
    }

    /// Whether there are none but these.
    pub(super) fn is_within(self, signs: &[u8]) -> bool {
        self.0 & !Self::of(signs.iter().copied()).0 == 0
    }
}

const LAST: u8 = 127;

impl Part<'_> {
    /// The bytes that something that begins in it may have if it reaches so far, and the few before it.
    fn whole(&self, reach: usize) -> Range<usize> {
        self.own.start.saturating_sub(CONTEXT_BYTES)..self.hay.len().min(self.own.end.saturating_add(reach))
    }
}

impl Layer {
    /// What is looked for below this layer.
    pub(super) fn below(self) -> &'static [Pass] {
        match self {
            Self::Percent | Self::Backslash | Self::Entity | Self::Mixed | Self::QuotedPrintable => &[Pass::Lines],
            Self::Lines | Self::Numbers => &[],
            Self::Utf16 => &[Pass::Text],
        }
    }

    /// How many bytes a byte becomes at most, the digits of base64 in between included.
    fn factor(self) -> usize {
        match self {
            Self::Percent | Self::QuotedPrintable => 4,
            Self::Backslash | Self::Entity | Self::Mixed => 8,
            Self::Lines => 3,
            Self::Numbers | Self::Utf16 => 16,
        }
    }

    /// How far around an escape of this layer something may be that it is a part of, in bytes.
    fn reach(self, part: &Part<'_>) -> usize {
        self.factor() * part.longest + CONTEXT_BYTES
    }

    /// The places at which an escape of this layer may be.
    fn leads(self, hay: &[u8], each: impl FnMut(usize)) {
        match self {
            Self::Percent => memchr_iter(b'%', hay).for_each(each),
            Self::Backslash => memchr_iter(b'\\', hay).for_each(each),
            Self::Entity => memchr_iter(b'&', hay).for_each(each),
            Self::Mixed => memchr3_iter(b'%', b'\\', b'&', hay).for_each(each),
            Self::QuotedPrintable => memchr_iter(b'=', hay).for_each(each),
            Self::Lines => memchr2_iter(b'\n', b'\\', hay).for_each(each),
            Self::Numbers | Self::Utf16 => {}
        }
    }

    fn decode(self, hay: &[u8], region: Range<usize>, each: &mut dyn FnMut(Self, View)) {
        work::step(region.len());
        let hay = &hay[..region.end];
        let mut view = View::start(region.clone());
        let mut done = region.start;
        self.leads(&hay[region.start..], |at| {
            let at = region.start + at;
            if at < done {
                return;
            }
            let Some(escape) = self.read(hay, at) else { return };
            view.copy(&hay[done..at]);
            view.take_back(at.saturating_sub(escape.source.start));
            done = escape.source.end;
            view.decode(escape.source, &escape.bytes[..escape.count], escape.encoding);
        });
        view.copy(&hay[done..]);
        each(self, view);
    }

    /// The escape at a place where one may begin.
    #[inline]
    fn read(self, hay: &[u8], at: usize) -> Option<Escape> {
        match self {
            Self::Percent => percent(hay, at),
            Self::Backslash => backslash(hay, at),
            Self::Entity => entity(hay, at),
            Self::Mixed => percent(hay, at).or_else(|| backslash(hay, at)).or_else(|| entity(hay, at)),
            Self::QuotedPrintable => quoted_printable(hay, at),
            Self::Lines => line_break(hay, at),
            Self::Numbers | Self::Utf16 => None,
        }
    }

    /// Whether an escape may hide something: it stands for what is in keys, or for what stands beside one. The line breaks and quotes of
    /// strings stand everywhere, and in few secrets.
    fn is_worth_it(part: &Part<'_>, escape: &Escape) -> bool {
        let source = &escape.source;
        let byte = escape.bytes[0];
        let is_digit = |byte: Option<&u8>| byte.is_some_and(|&byte| base64_digit(byte).is_some());
        let is_behind_key = || is_digit(source.start.checked_sub(1).and_then(|at| part.hay.get(at)));
        let next = part.hay.get(source.end);
        let is_of_secret = part.signs.contains(byte);
        let is_of_key = is_of_secret || base64_digit(byte).is_some() || b".=".contains(&byte);
        match escape.encoding {
            Encoding::QuotedPrintable if escape.count == 0 => is_behind_key() && is_digit(next),
            Encoding::QuotedPrintable => is_of_key && is_behind_key() && (is_digit(next) || next == Some(&b'=')),
            Encoding::JsonEscape if source.len() == 2 => {
                let is_in_base64 = || base64_digit(byte).is_some() && is_behind_key() && is_digit(next);
                !byte.is_ascii_control() && (is_of_secret || is_in_base64())
            }
            Encoding::HtmlEntity => is_of_key,
            Encoding::Percent | Encoding::JsonEscape => is_of_key || (byte.is_ascii() && is_digit(next)),
            Encoding::Plain
            | Encoding::Base64
            | Encoding::Base64Url
            | Encoding::Hex
            | Encoding::Bytes
            | Encoding::Utf16Le
            | Encoding::Utf16Be => true,
        }
    }
}

/// What is looked for in one go over a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// All layers of escapes, base64 and hex in lines, and lists of numbers.
    Text,
    Lines,
    Utf16,
}

impl Pass {
    /// What may lie over the bytes of an object.
    pub(super) const OF_BYTES: &'static [Self] = &[Self::Text, Self::Utf16];
}

/// Calls `each` with every piece of the part that lies under a layer of these passes, decoded.
pub(super) fn views(part: &Part<'_>, passes: &[Pass], each: &mut dyn FnMut(Layer, View)) {
    for pass in passes {
        match pass {
            Pass::Text => text(part, each),
            Pass::Lines => lines(part, each),
            Pass::Utf16 => utf16(part, each),
        }
    }
}

/// What of a layer is decoded next: it grows as long as there is more that is worth it in its reach.
#[derive(Debug, Clone)]
struct Regions {
    layer: Layer,
    /// What is looked at.
    whole: Range<usize>,
    reach: usize,
    /// No escape begins before this place that was not looked at.
    next: usize,
    range: Range<usize>,
    /// The last escape, and where it ends.
    last: Option<(Encoding, usize)>,
    /// Whether there are escapes of more than one kind, as far as it matters.
    mixed: bool,
}

impl Regions {
    fn of(layer: Layer, part: &Part<'_>, whole: Range<usize>) -> Self {
        let mixed = layer != Layer::Mixed;
        Self { layer, whole, reach: layer.reach(part), next: 0, range: 0..0, last: None, mixed }
    }

    /// Looks at a place where an escape may begin, and returns the escape.
    fn lead(&mut self, part: &Part<'_>, at: usize, each: &mut dyn FnMut(Layer, View)) -> Option<Escape> {
        if at < self.next {
            return None;
        }
        let escape = self.layer.read(part.hay, at)?;
        self.extend(part, at, &escape, each);
        Some(escape)
    }

    /// Takes in an escape at a place, if it is worth it.
    fn extend(&mut self, part: &Part<'_>, at: usize, escape: &Escape, each: &mut dyn FnMut(Layer, View)) {
        if at < self.next {
            return;
        }
        self.next = escape.source.end;
        if !Layer::is_worth_it(part, escape) {
            return;
        }
        let around = at.saturating_sub(self.reach).max(self.whole.start)..self.whole.end.min(self.next + self.reach);
        if self.last.is_some() && around.start <= self.range.end {
            let is_other = |(before, end): (Encoding, usize)| before != escape.encoding && at <= end + self.reach;
            self.mixed |= self.last.is_some_and(is_other);
            self.range.end = around.end;
        } else {
            self.decode(part, each);
            self.range = around;
            self.mixed = self.layer != Layer::Mixed;
        }
        self.last = Some((escape.encoding, self.next));
    }

    fn decode(&mut self, part: &Part<'_>, each: &mut dyn FnMut(Layer, View)) {
        if self.last.take().is_some() && self.mixed {
            self.layer.decode(part.hay, self.range.clone(), each);
        }
    }
}

/// All layers of escapes, lines and lists. The text is looked at in blocks, and of these at the few bytes that may begin or end
/// something.
fn text(part: &Part<'_>, each: &mut dyn FnMut(Layer, View)) {
    /// How many blocks are asked at once.
    const BLOCKS: usize = 32;

    let (mut leads, mut lists) = (Leads::of(part), Lists::of(part));
    let text = &part.hay[..leads.whole.end.max(lists.whole.end)];
    let question = (leads.usual, OfLists);
    let mut answers = [Answer::default(); BLOCKS];
    let mut at = leads.whole.start;
    while at < text.len() {
        let answers = &mut answers[..(text.len() - at).div_ceil(BLOCK_BYTES).min(BLOCKS)];
        bits::ask(question, text, at, answers);
        for &[marks, of_lists, begins] in &*answers {
            let [marks, of_lists, begins] =
                [u64::from_le_bytes(marks), u64::from_le_bytes(of_lists), u64::from_le_bytes(begins)];
            places(marks, at).for_each(|at| leads.look(at, each));
            places(in_rows(of_lists) & begins, at).for_each(|at| lists.look(at, each));
            at += BLOCK_BYTES;
        }
    }
    leads.decode(each);
}

impl Question<3> for (Usual, OfLists) {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
    fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; 3] {
        let ([marks], [of_lists, begins]) = (self.0.answer(bytes), self.1.answer(bytes));
        [marks, of_lists, begins]
    }
}

/// What of each layer is decoded next, as the text is looked at.
#[derive(Debug)]
struct Leads<'p, 'h> {
    part: &'p Part<'h>,
    whole: Range<usize>,
    usual: Usual,
    percent: Regions,
    backslash: Regions,
    entity: Regions,
    quoted: Regions,
    mixed: Regions,
    lines: Regions,
}

impl<'p, 'h> Leads<'p, 'h> {
    fn of(part: &'p Part<'h>) -> Self {
        // The longest escapes of a secret reach so far behind the text, and each of them leads to the next.
        let whole = part.whole(ESCAPE_BYTES_MAX * part.longest + CONTEXT_BYTES);
        let [percent, backslash, entity, quoted, mixed] =
            [Layer::Percent, Layer::Backslash, Layer::Entity, Layer::QuotedPrintable, Layer::Mixed]
                .map(|layer| Regions::of(layer, part, whole.clone()));
        let lines = Regions::of(Layer::Lines, part, part.whole(Layer::Lines.reach(part)));
        Self { part, whole, usual: Usual::of(part.signs), percent, backslash, entity, quoted, mixed, lines }
    }

    /// Looks at a byte that [`Usual`] has marked. What is further away than escapes reach is not looked at.
    #[inline]
    fn look(&mut self, at: usize, each: &mut dyn FnMut(Layer, View)) {
        let text = &self.part.hay[..self.whole.end];
        if at >= text.len() {
            return;
        }
        let behind = |bytes: usize| text.get(at + bytes).copied().unwrap_or_default();
        let layer = match text[at] {
            b'\n' => {
                self.line(at, each);
                None
            }
            b'\\' => {
                self.line(at, each);
                let is_usual = [b'n', b'r', b't', self.usual.quote].contains(&behind(1));
                Some(&mut self.backslash).filter(|_| !is_usual)
            }
            b'%' => Some(&mut self.percent).filter(|_| matches!(behind(1), b'0'..=b'f')),
            b'&' => {
                let is_name = behind(1).wrapping_sub(b'a') < self.usual.names;
                Some(&mut self.entity).filter(|_| is_name || behind(1) == b'#')
            }
            _ => {
                if matches!((behind(1), behind(2)), (b'2'..=b'7', b'0'..=b'F') | (b'\n' | b'\r', _)) {
                    self.quoted.lead(self.part, at, each);
                }
                None
            }
        };
        if let Some(escape) = layer.and_then(|layer| layer.lead(self.part, at, each)) {
            self.mixed.extend(self.part, at, &escape, each);
        }
    }

    /// A line of base64 may end.
    #[inline]
    fn line(&mut self, at: usize, each: &mut dyn FnMut(Layer, View)) {
        if at < self.lines.whole.end && is_behind_line(self.part.hay, at) {
            self.lines.lead(self.part, at, each);
        }
    }

    fn decode(self, each: &mut dyn FnMut(Layer, View)) {
        for mut regions in [self.percent, self.backslash, self.entity, self.quoted, self.mixed, self.lines] {
            regions.decode(self.part, each);
        }
    }
}

/// What no secret has, so that what stands for it is left out.
#[derive(Debug, Clone, Copy)]
struct Usual {
    /// Which character behind a backslash is left out: the quote, or once more the `n`.
    quote: u8,
    /// How many letters from `a` on may begin the name of an entity: up to `q`, or none.
    names: u8,
}

impl Usual {
    fn of(signs: Signs) -> Self {
        let quote = if signs.contains(b'"') { b'n' } else { b'"' };
        let names = if b"&<>\"'".iter().any(|&sign| signs.contains(sign)) { b'q' - b'a' + 1 } else { 0 };
        Self { quote, names }
    }
}

/// Marks where an escape may begin, or a line of base64 may end. What is rare in any text is told by its first byte alone; digits are only told
/// from what often stands between words, and at the ends of lines.
impl Question<1> for Usual {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
    fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; 1] {
        let (first, second, last) = (bytes.here(), bytes.behind(), bytes.before(1));
        let line = bytes.before(9).min(bytes.before(12)).min(bytes.before(15)).min(bytes.before(18));
        let line = line.min(bytes.before(BEFORE_BYTES));
        // No white space, no quotes, no parentheses: these come before all others.
        let is_line = line.simd_ge(b'*' + 1) & last.simd_le(b'z') & !last.simd_eq(b';');
        let is_break = first.simd_eq(b'\n') & is_line;
        let is_quoted = first.simd_eq(b'=') & ((second & 0xF8).simd_eq(b'0') | second.simd_le(b'\r'));
        let is_entity = first.simd_eq(b'&');
        let is_entity = if self.names == 0 { is_entity & second.simd_eq(b'#') } else { is_entity };
        [(first.simd_eq(b'\\') | first.simd_eq(b'%') | is_break | is_quoted | is_entity).to_bitmask()]
    }
}

/// Base64 and hex in lines.
fn lines(part: &Part<'_>, each: &mut dyn FnMut(Layer, View)) {
    let whole = part.whole(Layer::Lines.reach(part));
    let mut regions = Regions::of(Layer::Lines, part, whole.clone());
    Layer::Lines.leads(&part.hay[whole.clone()], |at| {
        regions.lead(part, whole.start + at, each);
    });
    regions.decode(part, each);
}

/// Something in a text that stands for other bytes.
#[derive(Debug)]
struct Escape {
    source: Range<usize>,
    bytes: [u8; 4],
    /// How many of the bytes it stands for.
    count: usize,
    encoding: Encoding,
}

impl Escape {
    fn of_byte(source: Range<usize>, byte: u8, encoding: Encoding) -> Self {
        Self { source, bytes: [byte, 0, 0, 0], count: 1, encoding }
    }

    fn of_nothing(source: Range<usize>, encoding: Encoding) -> Self {
        Self { source, bytes: [0; 4], count: 0, encoding }
    }

    fn of_char(source: Range<usize>, code: u32, encoding: Encoding) -> Option<Self> {
        let mut bytes = [0; 4];
        let count = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Self { source, bytes, count, encoding })
    }
}

fn percent(hay: &[u8], at: usize) -> Option<Escape> {
    let &[b'%', high, low] = hay.get(at..at + 3)? else { return None };
    Some(Escape::of_byte(at..at + 3, hex_digit(high)? << 4 | hex_digit(low)?, Encoding::Percent))
}

/// What a backslash begins in JSON, C, Python, Rust, JavaScript and shells.
fn backslash(hay: &[u8], at: usize) -> Option<Escape> {
    const BRACED_DIGITS_MAX: usize = 6;

    let is = Encoding::JsonEscape;
    let rest = hay.get(at..)?;
    let (b'\\', &second) = (*rest.first()?, rest.get(1)?) else { return None };
    let of_code = |from: usize, digits: usize, end: usize| {
        Escape::of_char(at..at + end, number(rest.get(from..from + digits)?, 16)?, is)
    };
    match second {
        b'u' if rest.get(2) == Some(&b'{') => {
            let digits = rest[3..].iter().take(BRACED_DIGITS_MAX + 1).position(|&byte| byte == b'}')?;
            of_code(3, digits, 4 + digits)
        }
        b'u' => {
            let &[a, b, c, d] = rest.get(2..6)? else { return None };
            let digits =
                [a, b, c, d].into_iter().try_fold(0, |code, digit| Some(code << 4 | u32::from(hex_digit(digit)?)));
            Escape::of_char(at..at + 6, digits?, is)
        }
        b'U' => of_code(2, 8, 10),
        b'x' => {
            let &[high, low] = rest.get(2..4)? else { return None };
            Some(Escape::of_byte(at..at + 4, hex_digit(high)? << 4 | hex_digit(low)?, is))
        }
        b'0'..=b'3' => {
            let byte = u8::try_from(number(rest.get(1..4)?, 8)?).ok()?;
            Some(Escape::of_byte(at..at + 4, byte, is))
        }
        b'n' => Some(Escape::of_byte(at..at + 2, b'\n', is)),
        b'r' => Some(Escape::of_byte(at..at + 2, b'\r', is)),
        b't' => Some(Escape::of_byte(at..at + 2, b'\t', is)),
        _ if second.is_ascii_punctuation() => Some(Escape::of_byte(at..at + 2, second, is)),
        _ => None,
    }
}

fn entity(hay: &[u8], at: usize) -> Option<Escape> {
    const NAMES: [(&[u8], u8); 5] =
        [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
    const DIGITS_MAX: usize = 8;

    let is = Encoding::HtmlEntity;
    let rest = hay.get(at..)?;
    let Some(digits) = rest.strip_prefix(b"&#") else {
        let (name, byte) = NAMES.iter().find(|(name, _)| rest.starts_with(name))?;
        return Some(Escape::of_byte(at..at + name.len(), *byte, is));
    };
    let hex = digits.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'x'));
    let (from, radix) = if hex { (3, 16) } else { (2, 10) };
    let count = rest.get(from..)?.iter().take(DIGITS_MAX + 1).position(|&byte| byte == b';')?;
    Escape::of_char(at..at + from + count + 1, number(&rest[from..from + count], radix)?, is)
}

/// Only what may stand in a key, so that a key behind the sign of an assignment stays what it is.
fn quoted_printable(hay: &[u8], at: usize) -> Option<Escape> {
    let is = Encoding::QuotedPrintable;
    let rest = hay.get(at..)?;
    if rest.starts_with(b"=\n") || rest.starts_with(b"=\r\n") {
        let end = if rest[1] == b'\n' { 2 } else { 3 };
        return Some(Escape::of_nothing(at..at + end, is));
    }
    let &[b'=', high, low] = rest.get(..3)? else { return None };
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let byte = hex_digit(high)? << 4 | hex_digit(low)?;
    let is_it = is_digit(high) && is_digit(low) && (byte.is_ascii_graphic() || byte == b' ');
    is_it.then(|| Escape::of_byte(at..at + 3, byte, is))
}

/// How much of what is around a break may stand before it, in bytes.
const BEFORE_BREAK_BYTES_MAX: usize = 8;

/// Whether there are digits of base64 before a place, whatever is around the break. Not all of them are looked at.
#[inline]
fn is_behind_line(hay: &[u8], at: usize) -> bool {
    let line = at.checked_sub(LINE_BYTES_MIN).and_then(|start| hay.get(start..)?.first_chunk::<LINE_BYTES_MIN>());
    line.is_some_and(|line| {
        may_end_line(line[LINE_BYTES_MIN - 1])
            && line[..LINE_BYTES_MIN - BEFORE_BREAK_BYTES_MAX].iter().all(|&byte| base64_digit(byte).is_some())
    })
}

/// Whether it is a digit of base64, or stands around breaks between them.
#[inline]
fn may_end_line(byte: u8) -> bool {
    static ENDS: [bool; 256] = {
        let mut ends = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            let is_digit = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
            ends[byte as usize] = is_digit || is_around_break(byte) || byte == b'\\';
            byte += 1;
        }
        ends
    };
    ENDS[usize::from(byte)]
}

/// Whether it may stand beside a line break.
const fn is_around_break(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b',')
}

/// A line break between digits of base64, with what is around it: white space, quotes, commas; also as strings write it.
fn line_break(hay: &[u8], at: usize) -> Option<Escape> {
    const BREAK_BYTES_MAX: usize = 64;

    if !is_behind_line(hay, at) {
        return None;
    }
    let is_around = |byte: &u8| is_around_break(*byte);
    let before = &hay[at.saturating_sub(BEFORE_BREAK_BYTES_MAX)..at];
    let start = at - before.iter().rev().take_while(|byte| is_around(byte) || **byte == b'\\').count();
    let line = hay.get(start.checked_sub(LINE_BYTES_MIN)?..start)?;
    if !line.iter().rev().all(|&byte| base64_digit(byte).is_some()) {
        return None;
    }
    let mut end = start;
    let mut breaks = false;
    while end < hay.len().min(start + BREAK_BYTES_MAX) {
        let escaped = if hay[end] == b'\\' { hay.get(end + 1) } else { None };
        end += match escaped {
            Some(b'n' | b'r') => {
                breaks = true;
                2
            }
            Some(b't') => 2,
            Some(b'\\' | b'\n' | b'\r' | b'"') => 1,
            None if is_around(&hay[end]) => {
                breaks |= hay[end] == b'\n';
                1
            }
            Some(_) | None => break,
        };
    }
    let goes_on = hay.get(end).is_some_and(|&byte| base64_digit(byte).is_some());
    (breaks && goes_on && end > at).then(|| Escape::of_nothing(start..end, Encoding::Plain))
}

/// The number that all of the digits make.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u32, |number, &digit| number.checked_mul(radix)?.checked_add(char::from(digit).to_digit(radix)?))
}

/// Lists of characters as numbers, with commas between them.
#[derive(Debug)]
struct Lists<'p, 'h> {
    part: &'p Part<'h>,
    whole: Range<usize>,
    /// No list begins before this place that was not looked at.
    done: usize,
}

impl<'p, 'h> Lists<'p, 'h> {
    fn of(part: &'p Part<'h>) -> Self {
        let whole = part.whole(Layer::Numbers.reach(part));
        Self { part, done: whole.start, whole }
    }

    /// Looks at a place that [`OfLists`] has marked. What is further away than lists reach is not looked at.
    #[inline]
    fn look(&mut self, at: usize, each: &mut dyn FnMut(Layer, View)) {
        if at < self.done || at >= self.whole.end {
            return;
        }
        let hay = &self.part.hay[..self.whole.end];
        let Some(here) = number_behind(hay, at) else { return };
        let (after, last) = follow(&here, |number| number_after(hay, number));
        let (before, first) = follow(&here, |number| number_before(hay, self.done, number));
        work::step(last.source.end - first.source.start);
        self.done = last.source.end;
        if before + 1 + after < self.part.shortest {
            return;
        }
        let mut view = View::start(first.source.start..last.source.end);
        let mut add = |number: &Number| view.decode(number.source.clone(), &[number.byte], Encoding::Bytes);
        add(&first);
        follow(&first, |number| {
            let number = number_after(hay, number)?;
            add(&number);
            Some(number)
        });
        each(Layer::Numbers, view);
    }
}

/// Marks what lists are made of and where digits begin that may be a number.
#[derive(Debug, Clone, Copy)]
struct OfLists;

impl Question<2> for OfLists {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "apart, it is compiled for the least of all processors")]
    fn answer<S: Simd>(self, bytes: &Bytes<'_, S>) -> [u64; 2] {
        let (here, before) = (bytes.here(), bytes.before(1));
        let is_digit = |bytes: S::u8s| (bytes - b'0').simd_le(9);
        // Small and capital letters differ in one bit.
        let is_letter = |bytes: S::u8s| ((bytes | 0x20) - b'a').simd_le(b'z' - b'a');
        let small = here | 0x20;
        let is_of_hex = (small - b'a').simd_le(b'f' - b'a') | small.simd_eq(b'x');
        // With two signs that are none: a form feed and a vertical tab.
        let is_between = here.simd_eq(b' ') | here.simd_eq(b',') | (here - b'\t').simd_le(b'\r' - b'\t');
        let digits = is_digit(here);
        let begins = digits & !(is_digit(before) | is_letter(before));
        [(digits | is_of_hex | is_between).to_bitmask(), begins.to_bitmask()]
    }
}

/// Those bits that stand in a row of ten. Nine bytes hold three beginnings of numbers at most, so that of the eight of the
/// shortest list some stand in more than the pieces of it in its first and its last block.
#[inline]
fn in_rows(bits: u64) -> u64 {
    let two = bits & bits >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let ten = eight & two >> 8;
    // The first of each ten is there still; it brings the others back.
    let two = ten | ten << 1;
    let four = two | two << 2;
    let eight = four | four << 4;
    eight | two << 8
}

/// A character as a number.
#[derive(Debug, Clone)]
struct Number {
    source: Range<usize>,
    byte: u8,
}

/// How many numbers follow one, and the last of them.
fn follow(number: &Number, mut next: impl FnMut(&Number) -> Option<Number>) -> (usize, Number) {
    let (mut count, mut last) = (0, number.clone());
    while let Some(number) = next(&last) {
        (count, last) = (count + 1, number);
    }
    (count, last)
}

/// White space as it stands around commas.
#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The most digits of a number, with what stands before hex.
const NUMBER_BYTES_MAX: usize = 4;
/// The widest margin between two numbers, in bytes.
const SPACE_BYTES_MAX: usize = 64;

/// The number behind a number and a comma.
#[inline]
fn number_after(hay: &[u8], before: &Number) -> Option<Number> {
    let comma = spaces(hay, before.source.end);
    if hay.get(comma) == Some(&b',') { number_behind(hay, spaces(hay, comma + 1)) } else { None }
}

/// The end of the white space at a place.
#[inline]
fn spaces(hay: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < at + SPACE_BYTES_MAX && hay.get(end).is_some_and(|&byte| is_space(byte)) {
        end += 1;
    }
    end
}

/// The number that begins at a place, and nothing else before what is between numbers.
#[inline]
fn number_behind(hay: &[u8], start: usize) -> Option<Number> {
    let text = hay.get(start..)?;
    let text = &text[..text.len().min(NUMBER_BYTES_MAX + 1)];
    let length = text.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(text.len());
    let is_whole = !text.get(length).is_some_and(|byte| b"._".contains(byte));
    let byte = char_of(&text[..length]).filter(|_| is_whole)?;
    Some(Number { source: start..start + length, byte })
}

/// The number before a number and a comma, that begins at `floor` or behind it.
fn number_before(hay: &[u8], floor: usize, behind: &Number) -> Option<Number> {
    let spaces = |end: usize| {
        let text = &hay[floor.max(end.saturating_sub(SPACE_BYTES_MAX)).min(end)..end];
        end - text.iter().rev().take_while(|&&byte| is_space(byte)).count()
    };
    let comma = spaces(behind.source.start).checked_sub(1).filter(|&comma| comma >= floor && hay[comma] == b',')?;
    let end = spaces(comma);
    let text = &hay[floor.max(end.saturating_sub(NUMBER_BYTES_MAX + 1)).min(end)..end];
    let length = text.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let byte = char_of(&text[text.len() - length..])?;
    Some(Number { source: end - length..end, byte })
}

/// The character that a number of the sources of programs is.
#[inline]
fn char_of(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    let byte = match *text {
        [b'0', b'x' | b'X', high, low] => hex_digit(high)? << 4 | hex_digit(low)?,
        [b'0', b'x' | b'X', low] => hex_digit(low)?,
        [low] => digit(low)?,
        [high, low] | [b'0', high, low] => digit(high)? * 10 + digit(low)?,
        [b'1', high, low] => 100 + digit(high)? * 10 + digit(low)?,
        _ => return None,
    };
    is_char(byte).then_some(byte)
}

/// Whether texts have it.
#[inline]
fn is_char(byte: u8) -> bool {
    byte.is_ascii_graphic() || b" \t\r\n".contains(&byte)
}

/// Runs of ASCII in UTF-16.
fn utf16(part: &Part<'_>, each: &mut dyn FnMut(Layer, View)) {
    /// So far apart are looks at the text: every run that is long enough is seen.
    const STRIDE: usize = 16;
    const LOOK_BYTES: usize = 4;

    let whole = part.whole(Layer::Utf16.reach(part));
    let hay = &part.hay[..whole.end];
    let is_unit = |at: usize| hay.get(at..at + 2).is_some_and(|unit| is_char(unit[0]) && unit[1] == 0);
    let mut at = whole.start;
    while let Some(&[a, b, c, d]) = hay.get(at..).and_then(|look| look.first_chunk::<LOOK_BYTES>()) {
        let first = match [a, b, c, d] {
            [_, 0, _, 0] if is_char(a) && is_char(c) => at,
            [0, _, 0, _] if is_char(b) && is_char(d) => at + 1,
            // Few texts have a zero at all, and where there is none for long nothing is looked at.
            _ if [a, b, c, d].contains(&0) => {
                at += STRIDE;
                continue;
            }
            _ => {
                let Some(zero) = memchr(0, &hay[at..]) else { return };
                at += (zero + 1 - LOOK_BYTES).next_multiple_of(STRIDE);
                continue;
            }
        };
        let mut start = first;
        while start >= whole.start + 2 && is_unit(start - 2) {
            start -= 2;
        }
        let mut end = first;
        while is_unit(end) {
            end += 2;
        }
        // The last character has no zero behind it if the big end comes first. Units stand at even offsets of a file.
        let zero_before = start.checked_sub(1).is_some_and(|before| hay[before] == 0);
        let one_more = hay.get(end).is_some_and(|&byte| is_char(byte));
        let is_big = zero_before && (one_more || is_odd(part.base, start));
        let (encoding, from) = if is_big { (Encoding::Utf16Be, start - 1) } else { (Encoding::Utf16Le, start) };
        at = end + STRIDE;
        if end - start < 2 * KNOWN_BYTES_MIN - 2 {
            continue;
        }
        work::step(end - start);
        let text: Vec<u8> = hay[start..end].iter().step_by(2).copied().collect();
        if one_more {
            // Where both orders fit, that character is seen with and without.
            each(Layer::Utf16, View::scaled([&text[..], &hay[end..=end]].concat(), from, 2, 1, encoding));
        }
        if !(one_more && is_big) {
            each(Layer::Utf16, View::scaled(text, from, 2, 1, encoding));
        }
    }
}
