//! The timeline of the page: what ends, what is in grace and what was rotated, in the last month and the next three.

use jiff::{SignedDuration, Timestamp};
use license_core::rotation::Adoption;
use maud::{Markup, html};

use super::{
    html::{Entry, day, distance},
    status::old_key_ends,
};

/// How far it goes back, in days.
const PAST_DAYS: i64 = 30;
/// How far it goes on, in days.
const NEXT_DAYS: i64 = 90;
/// How many environments are open; the others are folded.
const OPEN_MAX: usize = 12;
/// Seconds in a day.
const DAY_SECS: i64 = 24 * 60 * 60;

/// The days that are shown.
#[derive(Clone, Copy)]
struct Window {
    now: Timestamp,
}

impl Window {
    /// How far from the left something is, in percent; outside of it at the nearer edge.
    fn percent(self, at: Timestamp) -> String {
        let secs = at.duration_since(self.now).as_secs() + PAST_DAYS * DAY_SECS;
        let whole = (PAST_DAYS + NEXT_DAYS) * DAY_SECS;
        let thousandths = (i128::from(secs) * 1000 / i128::from(whole)).clamp(0, 1000);
        format!("{}.{}%", thousandths / 10, thousandths % 10)
    }

    fn has(self, at: Timestamp) -> bool {
        let secs = at.duration_since(self.now).as_secs();
        (-PAST_DAYS * DAY_SECS..=NEXT_DAYS * DAY_SECS).contains(&secs)
    }
}

/// What stands on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    End,
    GraceEnd,
    Rotation,
    NewKey,
}

impl Mark {
    const ALL: [Self; 4] = [Self::End, Self::GraceEnd, Self::Rotation, Self::NewKey];

    fn class(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::GraceEnd => "grace-end",
            Self::Rotation => "rotation",
            Self::NewKey => "new-key",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::End => "license ends",
            Self::GraceEnd => "old key ends",
            Self::Rotation => "rotation began",
            Self::NewKey => "new key seen",
        }
    }
}

/// One environment's line.
struct Line<'a> {
    entry: &'a Entry<'a>,
    marks: Vec<(Timestamp, Mark)>,
    /// From when to when the license is in force, as far as is known.
    life: Option<(Timestamp, Timestamp)>,
    /// From when to when the old key of a rotation works on.
    grace: Option<(Timestamp, Timestamp)>,
}

impl<'a> Line<'a> {
    /// Nothing where nothing happens within the window.
    fn of(entry: &'a Entry<'a>, window: Window) -> Option<Self> {
        let status = entry.status;
        let license = status.license.license();
        let rotation = status.history.rotation();
        let phase = &rotation.phase;
        let end = license.and_then(|license| license.expires_at);
        let old_ends = old_key_ends(phase);
        let unproven = rotation.committed().filter(|(_, adoption)| *adoption == Adoption::Unproven);
        let older = unproven.map(|(keys, _)| rotation.certain_until(keys)).filter(|end| old_ends != Some(*end));
        let began = phase.open().map(|open| open.since);
        let stated = license.and_then(|license| license.grace_ends_at).filter(|at| old_ends != Some(*at));
        // The first key that a trail names is no new one.
        let mut seen: Vec<Timestamp> = status.history.keys().filter_map(|key| status.history.first_seen(key)).collect();
        seen.sort();
        let ends = end.map(|at| (at, Mark::End));
        let graces = older.map(Some).chain([old_ends, stated]).flatten().map(|at| (at, Mark::GraceEnd));
        let rotations = began.map(|at| (at, Mark::Rotation));
        let keys = seen.into_iter().skip(1).map(|at| (at, Mark::NewKey));
        let mut marks: Vec<_> = ends.into_iter().chain(graces).chain(rotations).chain(keys).collect();
        marks.retain(|(at, _)| window.has(*at));
        marks.sort();
        marks.dedup();
        if marks.is_empty() {
            return None;
        }
        let first = window.now - SignedDuration::from_hours(24 * PAST_DAYS);
        let issued = license.and_then(|license| license.issued_at).unwrap_or(first);
        let life = end.map(|end| (issued, end));
        Some(Self { entry, marks, life, grace: began.zip(old_ends) })
    }
}

/// The section.
pub(super) fn timeline(entries: &[Entry<'_>], now: Timestamp) -> Markup {
    let window = Window { now };
    let mut lines: Vec<Line<'_>> = entries.iter().filter_map(|entry| Line::of(entry, window)).collect();
    // What comes next stands first; what is over, last.
    lines.sort_by_key(|line| {
        let next = line.marks.iter().map(|(at, _)| *at).find(|at| *at >= now);
        (next.is_none(), next, line.entry.number)
    });
    let silent = entries.len() - lines.len();
    let (open, folded) = lines.split_at(lines.len().min(OPEN_MAX));
    html! {
        section aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline" }
            @if lines.is_empty() {
                p.quiet { "Nothing ended in the last " (PAST_DAYS) " days, and nothing ends in the next " (NEXT_DAYS) "." }
            } @else {
                ul.legend aria-label="Signs" {
                    @for mark in Mark::ALL { li { i.mark.(mark.class()) aria-hidden="true" {} " " (mark.word()) } }
                }
                div.timeline {
                    div.axis aria-hidden="true" {
                        div {
                            @for days in [-PAST_DAYS, 0, 30, 60, NEXT_DAYS] { (tick(window, days)) }
                        }
                    }
                    ol { @for line in open { (line_of(line, window)) } }
                    @if !folded.is_empty() {
                        details.more {
                            summary { (folded.len()) " more" }
                            ol { @for line in folded { (line_of(line, window)) } }
                        }
                    }
                }
                @if silent > 0 {
                    p.quiet { (silent) @if silent == 1 { " environment has" } @else { " environments have" } " nothing in these days." }
                }
            }
        }
    }
}

fn tick(window: Window, days: i64) -> Markup {
    let at = window.now + SignedDuration::from_hours(24 * days);
    html! {
        span style={ "--x:" (window.percent(at)) } {
            @if days == 0 { b { "today" } } @else { (at.strftime("%b %-d").to_string()) }
        }
    }
}

fn line_of(line: &Line<'_>, window: Window) -> Markup {
    let span = |(from, to): (Timestamp, Timestamp)| format!("--a:{};--b:{}", window.percent(from), window.percent(to));
    html! {
        li {
            a href={ "#" (line.entry.id()) } { (line.entry.name()) }
            div.track aria-hidden="true" {
                @if let Some(life) = line.life { i.life style=(span(life)) {} }
                @if let Some(grace) = line.grace { i.grace style=(span(grace)) {} }
                @for (at, mark) in &line.marks { i.mark.(mark.class()) style={ "--x:" (window.percent(*at)) } {} }
            }
            ul.words {
                @for (at, mark) in &line.marks {
                    li { (mark.word()) " " time datetime=(day(*at)) { (day(*at)) } ", " (distance(*at, window.now)) }
                }
            }
        }
    }
}
