//! Killed for real before every single call that changes a file: each write, fsync and rename of a rotation of two lines
//! in files and one sealed file. A reader of a store finds the old file or the new one, and the next run goes on.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::Mutex,
    thread,
};

use license_tests::{
    Rotating,
    rotating::IDENTITY,
    sealed,
    strace::{self, Call},
};

use crate::rotate_kills::{KILLED, VISIBLE, counts, is_over, later, rotating, settles};

/// A sealed file as a third place that deploys read.
const SEALED_STORE: &str = "[stores.sealed]\nkind = \"age\"\nfile = \"key.age\"\n";

/// The files that deploys read, and who may read them.
const FILES: [&str; 3] = [".env", ".env.second", "key.age"];
const MODE: u32 = 0o640;

/// How many rotations are under way at once: most of the time they wait for the disk.
const WORKERS: usize = 4;

/// A run makes at least this many calls that change something; far fewer would mean that they are not seen.
const CALLS_MIN: usize = 60;

fn with_sealed_store() -> Rotating {
    let rotating = rotating(&[], VISIBLE);
    let key = sealed::seal(IDENTITY, &format!("{}\n", rotating.license.key));
    let rotating = rotating.with(|project| {
        let project = project.line("stores", r#"["second", "sealed"]"#).tables(SEALED_STORE);
        project.write("key.age", &key)
    });
    for file in FILES {
        fs::set_permissions(rotating.project.path(file), Permissions::from_mode(MODE)).unwrap();
    }
    rotating
}

/// Every store is a whole file with the old key or the new one, and nothing else of it has changed.
#[track_caller]
fn files_are_whole(rotating: &Rotating, point: &str) {
    let keys = rotating.keys();
    for (file, name) in [(".env", "LICENSE_KEY"), (".env.second", "SECOND_KEY")] {
        let text = fs::read_to_string(rotating.project.path(file)).unwrap();
        let whole = |key: &String| text == format!("# of {file}\n{name}={key}\nOTHER=1\n");
        assert!(keys.iter().any(whole), "{point}: {file} is neither the old file nor the new one:\n{text}");
    }
    for file in FILES {
        let mode = fs::metadata(rotating.project.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE, "{point}: {file} has other readers than before");
    }
    let text = sealed::open(IDENTITY, &fs::read(rotating.project.path("key.age")).unwrap());
    let text = text.unwrap_or_else(|why| panic!("{point}: key.age cannot be opened: {why}"));
    assert!(keys.iter().any(|key| text == format!("{key}\n")), "{point}: key.age holds neither key");
    assert!(rotating.accepts(text.trim_end()), "{point}: key.age holds a dead key");
}

/// What must be true in the end, besides.
#[track_caller]
fn files_are_new(rotating: &Rotating, point: &str) {
    files_are_whole(rotating, point);
    let armor = fs::read(rotating.project.path("key.age")).unwrap();
    assert_eq!(sealed::open(IDENTITY, &armor).unwrap().trim_end(), rotating.newest_key(), "{point}");
    let names = fs::read_dir(rotating.project.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with("-new")).collect();
    assert!(left.is_empty(), "{point}: {left:?}");
    let ignored = fs::read_to_string(rotating.project.path(".license/.gitignore")).unwrap_or_default();
    assert_eq!(ignored, "*\n", "{point}: what is below .license is kept out of version control");
}

/// The new key is nowhere but at the authority.
fn is_lost(rotating: &Rotating) -> bool {
    let is_sealed = rotating.project.escrowed().iter().any(|name| name.ends_with(".answer.age"));
    rotating.rotations() > 0 && !is_sealed
}

fn tried(call: &Call) {
    let point = &call.to_string();
    let rotating = with_sealed_store();
    let ran = rotating.project.killed_before(call, &["rotate", "production"]).named(point);
    ran.exits(KILLED);
    // Where a store was being written, its new file is still there: the next run removes it.
    counts(&rotating, point);
    files_are_whole(&rotating, point);
    let loses = is_lost(&rotating);

    let rotating = rotating.with(later);
    let lost = settles(&rotating, point);
    assert_eq!(lost, loses, "{point}: {:?}", rotating.project.facts());
    if lost {
        rotating.project.adopt(&rotating.newest_key()).named(point).exits(0);
    }
    is_over(&rotating, point);
    files_are_new(&rotating, point);
    assert_eq!(rotating.calls(), 1, "{point}");
}

#[test]
fn a_rotation_that_is_killed_before_any_write_settles_and_leaves_whole_files() {
    if let Some(why) = strace::missing() {
        std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes()).unwrap();
        return;
    }
    let rotating = with_sealed_store();
    let (ran, calls) = rotating.project.traced(&["rotate", "production"]);
    ran.exits(0);
    assert!(calls.len() >= CALLS_MIN, "{calls:?}");
    for name in ["write", "fsync", "rename"] {
        assert!(calls.iter().any(|call| call.name.starts_with(name)), "no {name}: {calls:?}");
    }
    let left = Mutex::new(calls);
    let work = || {
        while let Some(call) = { left.lock().unwrap().pop() } {
            tried(&call);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
