//! The table of results.

use std::time::Duration;

/// One line: a ratio and what it should be, or the reason why it was not measured.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    found: Found,
}

#[derive(Debug)]
enum Found {
    Measured { ours: String, theirs: String, value: String, target: String, met: Met },
    Skipped { why: String },
}

/// Whether the target is met.
#[derive(Debug, Clone, Copy)]
enum Met {
    Yes,
    No,
    NoTarget,
}

impl Met {
    fn words(self) -> &'static str {
        match self {
            Self::Yes => "met",
            Self::No => "NOT MET",
            Self::NoTarget => "",
        }
    }
}

impl Row {
    /// Two times, of which ours may be at most `most` of theirs.
    pub(crate) fn slower_at_most(name: &str, ours: Duration, theirs: Duration, most: f64) -> Self {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        Self::new(name, (shown(ours), shown(theirs)), format!("{ratio:.2}"), format!("≤ {most:?}"), ratio <= most)
    }

    /// Two times without a target.
    pub(crate) fn told(name: &str, ours: Duration, theirs: Duration) -> Self {
        let value = format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64());
        let (ours, theirs, target) = (shown(ours), shown(theirs), "-".to_owned());
        Self { name: name.to_owned(), found: Found::Measured { ours, theirs, value, target, met: Met::NoTarget } }
    }

    /// Two times, of which theirs must be at least `least` of ours.
    pub(crate) fn faster_at_least(name: &str, ours: Duration, theirs: Duration, least: f64) -> Self {
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        let target = format!("≥ {least:.0} times faster");
        Self::new(name, (shown(ours), shown(theirs)), format!("{ratio:.1}"), target, ratio >= least)
    }

    /// Two rates, of which ours must be at least `least` of theirs.
    pub(crate) fn rate_at_least(name: &str, ours: f64, theirs: f64, least: f64) -> Self {
        let ratio = ours / theirs;
        let sides = (format!("{ours:.0}/s"), format!("{theirs:.0}/s"));
        Self::new(name, sides, format!("{ratio:.2}"), format!("≥ {least:.1}"), ratio >= least)
    }

    /// An amount of ours alone that must not pass a limit.
    pub(crate) fn amount_at_most(name: &str, amount: u64, most: u64, unit: &str) -> Self {
        let sides = (format!("{amount} {unit}"), "-".to_owned());
        Self::new(name, sides, "-".to_owned(), format!("≤ {most} {unit}"), amount <= most)
    }

    /// A time of ours alone that must not pass a limit.
    pub(crate) fn time_at_most(name: &str, time: Duration, most: Duration) -> Self {
        let target = format!("≤ {} ms", most.as_millis());
        Self::new(name, (shown(time), "-".to_owned()), "-".to_owned(), target, time <= most)
    }

    /// An amount of ours alone without a target.
    pub(crate) fn amount(name: &str, amount: u64, unit: &str) -> Self {
        let (ours, none) = (format!("{amount} {unit}"), || "-".to_owned());
        let found = Found::Measured { ours, theirs: none(), value: none(), target: none(), met: Met::NoTarget };
        Self { name: name.to_owned(), found }
    }

    /// Two amounts without a target.
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^52 of anything")]
    pub(crate) fn amounts(name: &str, ours: u64, theirs: u64, unit: &str) -> Self {
        let value = format!("{:.2}", ours as f64 / theirs as f64);
        let (ours, theirs, target) = (format!("{ours} {unit}"), format!("{theirs} {unit}"), "-".to_owned());
        Self { name: name.to_owned(), found: Found::Measured { ours, theirs, value, target, met: Met::NoTarget } }
    }

    /// An amount that must be the other one.
    pub(crate) fn same(name: &str, ours: u64, theirs: u64) -> Self {
        let sides = (ours.to_string(), theirs.to_string());
        Self::new(name, sides, "-".to_owned(), "the same".to_owned(), ours == theirs)
    }

    /// What was not measured, and why.
    pub(crate) fn skipped(name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), found: Found::Skipped { why: why.to_owned() } }
    }

    fn text(&self) -> String {
        let Self { name, found } = self;
        match found {
            Found::Measured { ours, theirs, value, target, met } => {
                format!("| {name} | {ours} | {theirs} | {value} | {target} | {} |\n", met.words())
            }
            Found::Skipped { why } => format!("| {name} | | | | | skipped: {why} |\n"),
        }
    }

    fn new(name: &str, (ours, theirs): (String, String), value: String, target: String, met: bool) -> Self {
        let met = if met { Met::Yes } else { Met::No };
        Self { name: name.to_owned(), found: Found::Measured { ours, theirs, value, target, met } }
    }
}

/// A Markdown table.
pub(crate) fn text(rows: &[Row]) -> String {
    let head = "| measured | ours | theirs | ratio | target | |\n| --- | ---: | ---: | ---: | ---: | --- |\n";
    head.to_owned() + &rows.iter().map(Row::text).collect::<String>()
}

/// The middle one.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|one, other| one.partial_cmp(other).unwrap());
    sorted[sorted.len() / 2]
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
