//! `status --watch`: the same look again and again, on a terminal.
//!
//! The application and the trail are looked at every time. The authority is asked rarely, for each question spends a
//! validation; only such a look is recorded, and tells anybody. In between the license stands as it was said.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Desk, Source, Status, StatusReport};
use crate::{
    cli::StatusArgs,
    config::Config,
    console::{
        Motion,
        screen::{Screen, Size, Woken, wrapped},
    },
    context::{self, Context},
    exit::Exit,
    failpoint,
    failure::{Failure, stop_exit},
    narrator::Narrator,
    report::status::{Overall, accounts_human, paragraphs},
};

/// How often it is looked where nobody says.
pub(crate) const INTERVAL: &str = "60s";
/// It is not looked more often, in seconds.
const INTERVAL_SECS_MIN: u64 = 2;
/// Nor more rarely: a day.
const INTERVAL_SECS_MAX: u64 = 24 * 60 * 60;
/// After how long an authority is asked again where nobody says, in seconds: a day costs 24 validations.
const ASK_EVERY_SECS: u64 = 60 * 60;
/// After how long one that gave no answer is asked again, in seconds.
const ASK_AGAIN_SECS: u64 = 5 * 60;
/// So many notes of a look are shown.
const NOTES_MAX: usize = 5;

/// A time between two looks, as it stands on the command line.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let time = crate::config::age(text)?;
    if !(INTERVAL_SECS_MIN..=INTERVAL_SECS_MAX).contains(&time.as_secs()) {
        return Err(format!("write a time from `{INTERVAL_SECS_MIN}s` to `{}h`", INTERVAL_SECS_MAX / 3600));
    }
    Ok(time)
}

/// How a watch ended.
pub(crate) struct Watched<'a> {
    /// What was seen last; none where a signal came while it was looked.
    pub(crate) report: Option<StatusReport<'a>>,
    /// That of the last look where somebody ended the watch with `q`; else that of the signal.
    pub(crate) exit: Exit,
}

/// Looks until somebody has seen enough.
pub(crate) fn run<'a>(
    ctx: &Context,
    config: &'a Config,
    args: &StatusArgs,
    every: Duration,
    narrator: &Narrator<'_>,
) -> Result<Watched<'a>, Failure> {
    let not_drawn = |source| Failure::System { what: "the terminal cannot be drawn on", source };
    let desk = Desk::open(ctx, config, args)?;
    // What is told in passing would stand in the middle of the view.
    let notes = ctx.console.hold_people();
    let mut screen = Screen::open(&ctx.console).map_err(not_drawn)?.ok_or(Failure::NotATerminal)?;
    let mut pace = Pace::of(args, every);
    let mut seen: Option<StatusReport<'a>> = None;
    loop {
        let sources = pace.sources(seen.as_ref(), context::now());
        match (&seen, screen.motion()) {
            (Some(report), Motion::Live) => {
                let view = View { report, pace: &pace, notes: &[], doing: Doing::Looking };
                screen.draw(&view.lines(ctx, Size::now(), screen.motion())).map_err(not_drawn)?;
            }
            (None, Motion::Live) => screen.draw(&["looking".to_owned()]).map_err(not_drawn)?,
            // What cannot be drawn over is not drawn before there is something to tell.
            (Some(_) | None, Motion::Still) => {}
        }
        let accounts = seen.take().map(|report| (report.environments, report.accounts));
        let looked = match (sources, accounts) {
            (Ask::Yes, _) | (Ask::No, None) => desk.look(narrator, desk.first(), None),
            (Ask::No, Some((before, accounts))) => {
                let kept = |status: Status<'_>| Source::Before(Box::new(status.license), status.asked_at);
                let kept = before.into_iter().map(kept).collect();
                desk.look(narrator, kept, Some(accounts))
            }
        };
        let report = match (looked, desk.signals.stop()) {
            (_, Some(stop)) => return Ok(Watched { report: None, exit: stop_exit(stop) }),
            (Err(failure), None) => return Err(failure),
            (Ok(report), None) => report,
        };
        pace.looked(&report);
        let told = notes.take();
        let told: Vec<String> = told.lines().map(license_core::finding::clean).collect();
        let told = &told[told.len().saturating_sub(NOTES_MAX)..];
        loop {
            let view = View { report: &report, pace: &pace, notes: told, doing: Doing::Waiting };
            screen.draw(&view.lines(ctx, Size::now(), screen.motion())).map_err(not_drawn)?;
            failpoint::reached(ctx, "watch-waits");
            match screen.wait(pace.left(), &desk.signals).map_err(not_drawn)? {
                Woken::Time => break,
                Woken::Resized => {}
                Woken::Quit => {
                    let exit = report.exit();
                    return Ok(Watched { report: Some(report), exit });
                }
                Woken::Stopped(stop) => return Ok(Watched { report: Some(report), exit: stop_exit(stop) }),
            }
        }
        seen = Some(report);
    }
}

/// Whether the authority is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Yes,
    No,
}

/// When it is looked, and when the authority is asked.
struct Pace {
    every: Duration,
    /// None where nobody is asked.
    ask_every: Option<Duration>,
    looked: Looked,
}

/// When that was last.
#[derive(Clone, Copy)]
struct Looked {
    next: Instant,
    next_at: Timestamp,
    ask_after: Instant,
    ask_after_at: Timestamp,
}

impl Pace {
    fn of(args: &StatusArgs, every: Duration) -> Self {
        let ask_every = args.ask_every.unwrap_or(Duration::from_secs(ASK_EVERY_SECS)).max(every);
        let (now, at) = (Instant::now(), context::now());
        let looked = Looked { next: now, next_at: at, ask_after: now, ask_after_at: at };
        Self { every, ask_every: (!args.cached).then_some(ask_every), looked }
    }

    /// Whether to ask: when it is time, and when a license or a grace has ended since, for then what was said is over.
    fn sources(&self, seen: Option<&StatusReport<'_>>, now: Timestamp) -> Ask {
        let (Some(_), Some(report)) = (self.ask_every, seen) else { return Ask::Yes };
        let has_ended = report
            .environments
            .iter()
            .any(|status| status.license.ends_at().is_some_and(|ends_at| status.asked_at < ends_at && ends_at <= now));
        if has_ended || Instant::now() >= self.looked.ask_after { Ask::Yes } else { Ask::No }
    }

    fn looked(&mut self, report: &StatusReport<'_>) {
        let (now, at) = (Instant::now(), context::now());
        let after = |time: Duration| at.checked_add(time).unwrap_or(at);
        self.looked.next = now + self.every;
        self.looked.next_at = after(self.every);
        let Some(ask_every) = self.ask_every else { return };
        if report.environments.iter().any(|status| status.asked_at >= report.at) {
            let again = Duration::from_secs(ASK_AGAIN_SECS).max(self.every).min(ask_every);
            let answered = report.environments.iter().all(|status| status.license.is_answered());
            let time = if answered { ask_every } else { again };
            (self.looked.ask_after, self.looked.ask_after_at) = (now + time, after(time));
        }
    }

    fn left(&self) -> Duration {
        self.looked.next.saturating_duration_since(Instant::now())
    }
}

/// What the watch is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Looking,
    Waiting,
}

/// What is drawn.
struct View<'v, 'a> {
    report: &'v StatusReport<'a>,
    pace: &'v Pace,
    notes: &'v [String],
    doing: Doing,
}

impl View<'_, '_> {
    /// The lines for a terminal of this size. Where not everything fits, the worst comes first.
    fn lines(&self, ctx: &Context, size: Size, motion: Motion) -> Vec<String> {
        let look = &ctx.console.out_look;
        let head = wrapped(&self.head(), size.columns);
        let mut environments: Vec<(Overall, Vec<String>)> = paragraphs(self.report, look)
            .into_iter()
            .map(|(overall, text)| (overall, wrapped(&text, size.columns)))
            .collect();
        let accounts = wrapped(&accounts_human(self.report, look), size.columns);
        let notes: Vec<String> = self.notes.iter().flat_map(|note| wrapped(note, size.columns)).collect();
        let room = match motion {
            Motion::Live => size.rows,
            Motion::Still => usize::MAX,
        };
        let height = |all: &[(Overall, Vec<String>)]| all.iter().map(|(_, lines)| lines.len() + 1).sum::<usize>();
        if head.len() + height(&environments) + accounts.len() + notes.len() > room {
            environments.sort_by_key(|(overall, _)| *overall);
            // Of what is well, the line that says so is enough.
            environments
                .iter_mut()
                .filter(|(overall, _)| *overall == Overall::Ok)
                .for_each(|(_, lines)| lines.truncate(1));
        }
        let mut lines = head;
        for part in environments.into_iter().map(|(_, lines)| lines).chain([accounts, notes]) {
            if !part.is_empty() {
                lines.push(String::new());
                lines.extend(part);
            }
        }
        if lines.len() > room {
            let more = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(format!("{more} more lines: enlarge the window, or see `cargo xtask status --all`"));
        }
        lines
    }

    fn head(&self) -> String {
        let clock = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
        let next = match self.doing {
            Doing::Looking => "looking again now".to_owned(),
            Doing::Waiting => format!("next at {}", clock(self.pace.looked.next_at)),
        };
        let asked = self.report.environments.iter().map(|status| status.asked_at).min();
        let authority = match (self.pace.ask_every, asked) {
            (None, _) | (_, None) => "the authority is not asked".to_owned(),
            (Some(_), Some(at)) => format!(
                "the authority was asked at {}, and is again after {}",
                clock(at),
                clock(self.pace.looked.ask_after_at)
            ),
        };
        format!("looked at {} UTC, {next}; {authority}; q ends", clock(self.report.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_bounded() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("24h"), Ok(Duration::from_secs(24 * 3600)));
        for text in ["1s", "0s", "25h", "2", "soon", "-5s", ""] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
