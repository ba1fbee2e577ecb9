//! `pre-push`: what the installed hook runs. It says whether a push may go out, on stderr alone, and asks nobody.
//!
//! Nothing is recorded in the trail. What could not be looked at never reads as clean.

use std::{
    collections::BTreeSet,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use license_core::{finding::clean, leaks::Watch};
use miette::Diagnostic;

use crate::{
    cli::PrePushArgs,
    console::{self, Input},
    context::Context,
    exit::Exit,
    files,
    git::Contains,
    hook::{
        self, told_once,
        trust::{Agreed, TrustRecord},
    },
    mask::Masks,
    push::{
        ahead::Ahead,
        error::PushError,
        file::{self, FilePlace, PushedFile, Says},
        framework,
        licenses::{self, Answer, Checked, Consequence, consequence},
        lines::{self, LINES_BYTES_MAX, Update},
        repository::{Repository, Whereabouts},
        sending::{self, Asked, Promised, Sending, Teller},
        watched::watched,
    },
    report::{github, human},
    scan::{
        ScanFault, Scanned, Unscanned,
        allowed::{self, Allowance},
        archive::Weight,
        objects::{self, Begun, Range},
        place::{self, Located},
        repository::Repository as Scanning,
        told,
        watch::Watched,
    },
};

/// Looks at a push, says what is wrong with it, and whether it may go out.
pub(crate) fn run(ctx: &Arc<Context>, config: Option<&Path>, args: &PrePushArgs) -> Exit {
    let mut verdict = Verdict { ctx, masks: Masks::default(), told: BTreeSet::new(), stops: Vec::new() };
    let told = match told(ctx, args) {
        // Everything is up to date: this is the most frequent push, and costs nothing.
        Ok(push) if push.updates.is_empty() => return Exit::Done,
        told => told,
    };
    if let Some(skipped) = hook::skipped(ctx) {
        verdict.tell(&format!("{skipped}\n"));
        return Exit::Done;
    }
    match told.and_then(|push| look(ctx, config, &push, &mut verdict)) {
        Ok(()) => verdict.end(),
        Err(error) => verdict.broken(&error),
    }
}

/// A push, as the hook is told about it.
struct Push {
    updates: Vec<Update>,
    /// The remote's name and its address, where there are both.
    remote: Option<(String, String)>,
    teller: Teller,
}

impl Push {
    /// Whether it does more than delete.
    fn sends(&self) -> bool {
        self.updates.iter().any(|update| update.new.is_some())
    }
}

/// Reads what git says, or else what a framework for hooks passes on.
fn told(ctx: &Context, args: &PrePushArgs) -> Result<Push, PushError> {
    let framework = framework::told(&ctx.vars);
    let input = match (&framework, console::input()) {
        (None, Input::Terminal) => return Err(PushError::Terminal),
        // git itself opens a pipe, also where everything is up to date: silence is no answer for anybody else.
        (None, Input::Device) => return Err(PushError::NotPassed),
        (Some(_), Input::Terminal | Input::Device) => Vec::new(),
        (_, Input::Passed) => console::read_input(LINES_BYTES_MAX).map_err(not_read)?,
    };
    let input = match &args.first_line {
        Some(line) => [line.as_bytes(), b"\n", &input].concat(),
        None => input,
    };
    let updates = lines::parse(&input)?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let remote = given(&args.remote).zip(given(&args.url));
    let Some(framework) = framework.filter(|_| updates.is_empty()) else {
        return Ok(Push { updates, remote, teller: Teller::Remote });
    };
    let repository = Repository::of_hook(&ctx.directory, &ctx.vars);
    let pushed = repository.resolve(&framework.pushed)?;
    let not_here = || PushError::NotHere { name: clean(&framework.pushed) };
    let had = framework.had.as_deref().map(|name| repository.resolve(name)).transpose()?.flatten();
    let update = Update {
        local_name: framework.pushed.clone().into_bytes(),
        new: Some(pushed.ok_or_else(not_here)?),
        remote_ref: framework.remote_ref.unwrap_or_default().into_bytes(),
        old: had,
    };
    let remote = remote.or(framework.remote);
    // Without a remote it was run by hand, and a person named the range.
    let teller = if remote.is_some() { Teller::Framework } else { Teller::Remote };
    Ok(Push { updates: vec![update], remote, teller })
}

fn not_read(source: io::Error) -> PushError {
    if source.kind() == io::ErrorKind::FileTooLarge { PushError::TooMuch } else { PushError::Input { source } }
}

/// The story: where we are, what is pushed, whose license it needs, what leaks.
fn look(ctx: &Arc<Context>, config: Option<&Path>, push: &Push, verdict: &mut Verdict<'_>) -> Result<(), PushError> {
    let repository = Repository::of_hook(&ctx.directory, &ctx.vars);
    let scanning = repository.scanning();
    let asked = Asked {
        repository: &repository,
        scanning: &scanning,
        directory: &ctx.directory,
        config,
        updates: &push.updates,
        remote: push.remote.as_ref(),
        teller: push.teller,
    };
    let mut ahead = Ahead::default();
    let Sending { whereabouts: Whereabouts { common, .. }, place, stored, range, begun, promised } =
        sending::begin(asked, || ahead = Ahead::of(&ctx.directory, &push.updates, &ctx.vars))?;
    refuse_grafts(ctx, &common, push, verdict);
    let record = TrustRecord::read(&common)?;
    let agreed = Agreed::here(record.as_ref(), &ctx.vars)?;
    let mut files = file::understand(stored, &place, &push.updates, &mut ahead, &ctx.vars);
    let watched = watched(ctx, &place, &files, &agreed, record.as_ref());
    verdict.masks = watched.masks();
    keep_trails(&repository, push, verdict)?;
    licenses::refuse_shared(ctx, &mut files, &agreed);
    tell_files(&place, &files, verdict);
    if !place.is_in_tree() && push.sends() && record.as_ref().is_some_and(TrustRecord::lacks_secrets) {
        verdict.line(OLD_RECORD);
    }
    let asking = licenses::ask(ctx, files, &agreed);
    let once = Once { passed_over: watched.places_passed_over(&place.root), common };
    leaks(ctx, push, Scan { repository: &scanning, range, begun, promised, ahead }, watched, &once, verdict);
    for answer in asking.wait() {
        tell_license(&answer, verdict);
    }
    Ok(())
}

/// git sends history as its file of grafts tells it, and lists it so for nobody who asks for the objects themselves.
fn refuse_grafts(ctx: &Context, common: &Path, push: &Push, verdict: &mut Verdict<'_>) {
    if !push.sends() {
        return;
    }
    let named = ctx.vars.raw("GIT_GRAFT_FILE");
    let file = named.map_or_else(|| common.join("info/grafts"), |file| ctx.directory.join(file));
    let is_graft = |line: &[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    let has_any = match files::read_limited(&file, GRAFTS_BYTES_MAX) {
        // With these names git is told that there is none.
        _ if named.is_some_and(|name| name.is_empty() || name == "/dev/null") => false,
        Ok(text) => text.split(|&byte| byte == b'\n').any(is_graft),
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    };
    if has_any {
        verdict.line(&format!(
            "`{}` changes what git sends, and no scan sees that: `git replace --convert-graft-file` keeps the view without \
             it",
            clean(&file.display().to_string())
        ));
        verdict.stop(Exit::Incomplete, "git would send history that was not looked at");
    }
}

/// The longest file of grafts that is looked at, in bytes: a longer one has some.
const GRAFTS_BYTES_MAX: u64 = 64 * 1024;

/// The trails and the escrow of the fleet are only ever added to, by this program itself.
fn keep_trails(repository: &Repository, push: &Push, verdict: &mut Verdict<'_>) -> Result<(), PushError> {
    for update in push.updates.iter().filter(|update| update.remote_ref.starts_with(b"refs/license/")) {
        let why = match (&update.old, &update.new) {
            (None, _) => continue,
            (Some(_), None) => "deletes it",
            (Some(old), Some(new)) => match repository.moves_on(old, new)? {
                Contains::Yes => continue,
                Contains::No => "takes entries out of it",
            },
        };
        let name = update.shown_ref();
        verdict.line(&format!("`{name}` is a record that is only ever added to, and this push {why}"));
        verdict.stop(Exit::Refused, "a record would be lost");
    }
    Ok(())
}

fn tell_files(place: &FilePlace, files: &[PushedFile], verdict: &mut Verdict<'_>) {
    for file in files {
        match &file.says {
            Says::Good(_) => {}
            Says::LeftOut(why) => {
                verdict.line(&format!("`{}` was not read, and no license was checked: {why}", file.shown));
            }
            Says::Newer { format, blocking } => {
                verdict.line(&format!(
                    "`{}` says more than this hook understands, and no license was checked: {format}; {RENEW}",
                    file.shown
                ));
                for one in blocking.iter().filter(|one| one.may_be_meant_by(&file.refs)) {
                    let why = format!(
                        "the license of `{}` must be known: its `on_push` is not \"warn\"",
                        clean(&one.environment)
                    );
                    verdict.stop(Exit::Unknown, &why);
                }
            }
            Says::Broken(error) => {
                verdict.picture(&**error);
                if error.may_be_of_a_newer_program() {
                    verdict.line(&format!("if a newer version of this program reads it, {RENEW}"));
                }
                verdict.stop(Exit::Config, &format!("`{}` is broken", file.shown));
            }
            Says::Nothing => {
                let is_branch = |name: &Vec<u8>| name.starts_with(b"refs/heads/");
                if place.is_in_tree() && file.refs.iter().any(is_branch) {
                    verdict.line(&format!(
                        "`{}` is in the work tree and not in what is pushed, so that no license was checked",
                        place.in_commit
                    ));
                }
            }
        }
    }
}

fn tell_license(answer: &Answer, verdict: &mut Verdict<'_>) {
    let Some(environment) = answer.environment() else { return };
    let name = &answer.environment;
    match &answer.outcome {
        Checked::Good(warnings) => {
            for warning in warnings {
                verdict.line(&format!("`{name}`: {}", clean(warning)));
            }
        }
        Checked::Refused(judged) => {
            let look = verdict.ctx.console.err_look;
            verdict.tell(&human::gate(environment, judged, &look));
            if let Some(picture) = human::refusal(&answer.config, environment, judged, &look) {
                verdict.tell(&picture);
            }
        }
        Checked::NotKnown(why) | Checked::NotHere(why) => {
            verdict.line(&format!("the license of `{name}` was not checked: {}", clean(why)));
        }
        Checked::NotAgreed(why) => verdict.line(&format!(
            "the license of `{name}` was not checked: {why}; look at `{}`, then run `cargo xtask hook install`",
            answer.shown
        )),
    }
    match consequence(&answer.outcome, environment.on_push) {
        Consequence::Goes => {}
        Consequence::Refused => verdict.stop(Exit::Refused, &format!("the license of `{name}` is refused")),
        Consequence::Unknown => {
            verdict
                .stop(Exit::Unknown, &format!("the license of `{name}` must be known: it has `on_push = \"block\"`"));
        }
    }
}

/// What to do about a file that the installed program is too old for.
const RENEW: &str = "`cargo xtask hook install` renews the hook";

/// What is told where neither `license.toml` nor the record says which secrets the recorded files hold.
const OLD_RECORD: &str = "the secrets in files were not looked for: no license.toml is in the work tree, and the record of \
                          the hook is of an older version; `cargo xtask hook install` writes it anew, where license.toml is";

/// Scans everything that the push sends, and tells what was found.
fn leaks(ctx: &Context, push: &Push, begun: Scan<'_>, watched: Watched, once: &Once, verdict: &mut Verdict<'_>) {
    if !push.sends() {
        // What only deletes sends nothing, and takes the names along.
        return;
    }
    let notes = watched.notes();
    let Watched { watch, environments, patterns, unscanned, incomplete, .. } = watched;
    let mut told = match scan(push, begun, watch, &unscanned) {
        Ok((scanned, located)) => told::Report {
            asked: told::Asked::Range { range: "push".to_owned() },
            scanned,
            located,
            environments,
            patterns,
        },
        Err(fault) => {
            verdict.picture(&fault);
            return verdict.stop(fault.exit(), "it could not be scanned");
        }
    };
    for one in incomplete {
        told.scanned.miss(one.what, one.why);
    }
    allowed::settle(&mut told.scanned, &unscanned);
    if told.scanned.leaks() > 0 {
        verdict.stop(Exit::Leaked, "it holds secrets");
    }
    if !told.scanned.incomplete.is_empty() {
        verdict.stop(Exit::Incomplete, "it could not be scanned to the end");
    }
    if told.exit() == Exit::Done {
        if told_once::is_news(&once.common, &once.passed_over) {
            verdict.line(&not_looked_for(once.passed_over.len()));
        }
        return tell_left_out(&told.scanned, verdict);
    }
    for note in &notes {
        verdict.line(note);
    }
    verdict.tell(&told::human(&told, &ctx.console.err_look));
}

/// The secrets that are not looked for, and where it is remembered that it was told.
struct Once {
    /// Their places.
    passed_over: BTreeSet<String>,
    /// The directory that all worktrees share.
    common: PathBuf,
}

fn not_looked_for(secrets: usize) -> String {
    let (secrets, are) = match secrets {
        1 => ("1 secret".to_owned(), "is"),
        more => (format!("{more} secrets"), "are"),
    };
    format!("{secrets} of license.toml {are} not looked for on this machine; `cargo xtask leaks` says which and why")
}

/// What was not looked into, stops nothing, and was allowed by nobody.
fn tell_left_out(scanned: &Scanned, verdict: &mut Verdict<'_>) {
    const TOLD_MAX: usize = 5;
    let told = |one: &&Unscanned| one.weight == Weight::Told && one.allowed.is_none();
    for one in scanned.unscanned.iter().filter(told).take(TOLD_MAX) {
        let name = one.place.path.clone().unwrap_or_else(|| one.place.words());
        verdict.line(&format!("`{name}` was not looked into: {}", one.why));
    }
    let more = scanned.unscanned.iter().filter(told).count().saturating_sub(TOLD_MAX);
    if more > 0 {
        verdict.line(&format!("{more} more were not looked into"));
    }
}

/// Why a push of what a partial clone does not have is stopped, and what to do.
const NOT_HERE: &str = "git may fetch them to send them on, and nobody has looked at them: `git fetch` from the remote \
                        that you push to says what it has; where it has one address to push to and another to fetch from, \
                        give each a remote; else `git fetch --refetch --no-filter` brings them here";

/// A scan that git has begun with.
struct Scan<'r> {
    repository: &'r Scanning,
    range: Range,
    /// None where nothing is sent.
    begun: Option<Begun>,
    promised: Promised,
    ahead: Ahead,
}

fn scan(push: &Push, scan: Scan<'_>, watch: Watch, unscanned: &[Allowance]) -> Result<(Scanned, Located), ScanFault> {
    let Scan { repository, range, begun, promised, ahead } = scan;
    let scanner = ahead.scanner(watch)?;
    let mut whole = Scanned::default();
    let Some(begun) = begun else { return Ok((whole, Located::Everything)) };
    // A ref that is deleted takes its name with it.
    for update in push.updates.iter().filter(|update| update.new.is_some()) {
        whole.add(objects::pushed_name(&update.remote_ref, &scanner));
    }
    whole.add(begun.scan(repository, &scanner, &mut |_| ())?);
    match promised {
        Promised::Stay => {}
        Promised::MayBeSent { from } => match objects::promised(repository, &range)? {
            0 => {}
            count => whole.miss(format!("{count} objects that are with {from} and not here"), NOT_HERE),
        },
    }
    if whole.findings.is_empty() && whole.unscanned.is_empty() {
        return Ok((whole, Located::Everything));
    }
    let located = place::locate(repository, &range, &scanner, unscanned, &mut whole).unwrap_or(Located::NotEverything);
    Ok((whole, located))
}

/// What is told, and what stops the push.
struct Verdict<'a> {
    ctx: &'a Context,
    /// What hides secrets in whatever is told: names and files of a push may hold one.
    masks: Masks,
    /// What was told: two pushed files may say the same.
    told: BTreeSet<String>,
    stops: Vec<(Exit, String)>,
}

impl Verdict<'_> {
    /// A line for people. stdout belongs to the push.
    fn line(&mut self, line: &str) {
        self.tell(&format!("license: {line}\n"));
    }

    fn tell(&mut self, text: &str) {
        let text = self.masks.text(text);
        if !self.told.insert(text.clone()) {
            return;
        }
        self.ctx.console.tell(&github::defused_for(self.ctx.runs_on(), &text));
    }

    fn picture(&mut self, diagnostic: &dyn Diagnostic) {
        self.tell(&human::picture(diagnostic, &self.ctx.console.err_look));
    }

    fn stop(&mut self, exit: Exit, why: &str) {
        self.stops.push((exit, why.to_owned()));
    }

    /// The push could not be looked at.
    fn broken(mut self, error: &PushError) -> Exit {
        self.picture(error);
        self.stop(error.exit(), "it could not be looked at");
        self.end()
    }

    /// Whether the push goes out: the exit, and where it does not, why, and the way round.
    fn end(mut self) -> Exit {
        let exits: Vec<Exit> = self.stops.iter().map(|(exit, _)| *exit).collect();
        let exit = worst(&exits);
        if exit != Exit::Done {
            let mut why: Vec<&str> = self.stops.iter().map(|(_, why)| why.as_str()).collect();
            why.dedup();
            let why = why.join("; ");
            self.line(&format!("this push was stopped: {why}; {WAY_ROUND}"));
        }
        exit
    }
}

/// What stands at the end of every no.
const WAY_ROUND: &str = "`git push --no-verify` pushes without any of these checks";

/// What is said after an error that came before the push could be looked at at all.
pub(crate) fn not_begun() -> String {
    format!("license: this push was stopped: it could not be looked at; {WAY_ROUND}")
}

/// The exit of the whole, the first that applies: what cannot be undone once it is out comes first, then whatever nobody
/// looked at.
fn worst(exits: &[Exit]) -> Exit {
    WORST_FIRST.into_iter().find(|exit| exits.contains(exit)).or(exits.first().copied()).unwrap_or(Exit::Done)
}

const WORST_FIRST: [Exit; 6] =
    [Exit::Leaked, Exit::Incomplete, Exit::Usage, Exit::Config, Exit::Refused, Exit::Unknown];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_is_a_leak_before_anything_that_can_be_mended_later() {
        for (exits, expected) in [
            (&[][..], Exit::Done),
            (&[Exit::Unknown, Exit::Refused], Exit::Refused),
            (&[Exit::Refused, Exit::Config], Exit::Config),
            (&[Exit::Config, Exit::Incomplete], Exit::Incomplete),
            (&[Exit::Incomplete, Exit::Refused, Exit::Leaked, Exit::Config], Exit::Leaked),
            (&[Exit::Bug], Exit::Bug),
        ] {
            assert_eq!(worst(exits), expected, "{exits:?}");
        }
    }
}
