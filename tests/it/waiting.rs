//! What is shown on a terminal while something is waited for.

use std::sync::{Mutex, mpsc};

use license_tests::{
    Answer, Project, RawServer,
    terminal::{Modes, Terminal},
};

use crate::{asking, good};

/// An authority that answers when it is told to.
fn holding() -> (RawServer, mpsc::Sender<()>) {
    let (tell, told) = mpsc::channel();
    let told = Mutex::new(told);
    let server = RawServer::answering(move |_| {
        // A test that failed tells nobody any more.
        let _ = told.lock().unwrap().recv();
        Answer::json(200, &good())
    });
    (server, tell)
}

fn started(project: Project, arguments: &[&str], columns: u16) -> (Project, Terminal) {
    let project = project.var("TERM", "xterm-256color").unset("CI").unset("NO_COLOR");
    let terminal = Terminal::start(&project.command(&project.path("."), arguments), columns, 30);
    (project, terminal)
}

#[test]
fn who_is_asked_is_shown_until_the_answer_is_there_and_then_nothing_is_left_of_it() {
    let (server, tell) = holding();
    let (_project, mut terminal) = started(asking(&server), &["check", "production"], 100);
    terminal.until("who is asked", |page| page.shows("asking the authorities (0s)"));
    terminal.until("time goes by", |page| page.shows("asking the authorities (1s)"));
    assert!(terminal.page().has_cursor);
    tell.send(()).unwrap();
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
    let page = terminal.page();
    assert!(page.shows("production") && !page.shows("asking the authorities"), "{page:#?}");
    assert!(!page.lines[0].is_empty(), "the findings stand where the line was: {page:#?}");
}

#[test]
fn on_a_narrow_terminal_it_stays_on_one_line() {
    let (server, tell) = holding();
    let (_project, mut terminal) = started(asking(&server), &["check", "production"], 14);
    terminal.until("who is asked", |page| page.shows("asking the"));
    terminal.until("more turns", |_| terminal.written().matches('\r').count() >= 5);
    let shown = terminal.page().lines.iter().filter(|line| !line.is_empty()).count();
    assert_eq!(shown, 1, "{:#?}", terminal.page());
    tell.send(()).unwrap();
    assert_eq!(terminal.wait(), (0, Modes::AsBefore));
}

#[test]
fn a_signal_while_it_is_shown_ends_the_run_and_leaves_the_modes_of_the_terminal() {
    let (server, tell) = holding();
    let (_project, mut terminal) = started(asking(&server), &["check", "production"], 100);
    terminal.until("who is asked", |page| page.shows("asking the authorities"));
    terminal.press("\u{3}");
    let (code, modes) = terminal.wait();
    assert_eq!((code, modes), (130, Modes::AsBefore), "{:#?}", terminal.page());
    drop(tell);
}
