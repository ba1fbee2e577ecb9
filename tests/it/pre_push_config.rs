//! How a push reads `license.toml` and the secrets that it names: what cannot be understood never reads as clean.

use std::{fs, os::unix::fs::symlink};

use license_tests::{Pushing, sealed};

use crate::{BINARY, pre_push::secret};

/// What is done to a repository before it pushes.
type Prepare = fn(&Pushing);

/// A file that names the key's variable, with more lines for production.
fn toml(lines: &str) -> String {
    "version = 1\n[authority.local]\nkind = \"embedded\"\n[environments.production]\nauthority = \"local\"\n\
     domain = \"app.com\"\nkey = { env = \"LICENSE_KEY\" }\n"
        .to_owned()
        + lines
}

/// The same, with the key in a dotenv file that git ignores.
fn dotenv_toml() -> String {
    toml("").replace("{ env = \"LICENSE_KEY\" }", "{ dotenv = \".env\", name = \"LICENSE_KEY\" }")
}

/// A repository whose remote has this file, on a machine that agreed to what it names.
fn pushing(text: &str) -> Pushing {
    let pushing = Pushing::new(BINARY);
    pushing.agree(&[], &["LICENSE_KEY"], &[".license/authority", ".env"]);
    pushing.write(".gitignore", ".env\n");
    pushing.commit("license.toml", text);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing
}

fn with_key(text: &str) -> Pushing {
    pushing(text).var("LICENSE_KEY", &secret())
}

/// Commits a file on a branch, and leaves the work tree with that of `main`.
fn on_a_branch(pushing: &Pushing, text: &str) {
    pushing.git(&["switch", "--quiet", "--force-create", "work", "main"]);
    pushing.commit("license.toml", text);
    pushing.git(&["switch", "--quiet", "main"]);
}

#[test]
fn a_field_that_nobody_knows_is_a_mistake_and_no_newer_file() {
    for (line, says) in [
        ("branchs = [\"main\"]\n", "did you mean `branches`?"),
        ("reminder = \"soon\"\n", "has no field `reminder`"),
        ("on_push = \"blok\"\n", "has an unknown value"),
    ] {
        let pushing = with_key(&toml(""));
        on_a_branch(&pushing, &toml(line));
        pushing.push(&["origin", "work"]).stops(3).says(says).says("cargo xtask hook install");
        // The same file in the work tree is the same mistake, told once.
        pushing.git(&["switch", "--quiet", "work"]);
        let pushed = pushing.push(&["origin", "work"]);
        pushed.stops(3).says(says).says_nothing_of("not scanned");
    }
}

#[test]
fn a_file_of_the_work_tree_that_cannot_be_understood_leaves_the_scan_incomplete() {
    let breaks: [(&str, Prepare); 5] = [
        ("has no field `reminder`", |p| p.write("license.toml", toml("reminder = \"soon\"\n"))),
        ("cargo xtask hook install", |p| p.write("license.toml", toml("").replace("version = 1", "version = 2"))),
        ("line 1, column", |p| p.write("license.toml", "version =\n")),
        ("it is a directory", |p| {
            fs::remove_file(p.path("work/license.toml")).unwrap();
            fs::create_dir(p.path("work/license.toml")).unwrap();
        }),
        ("there is no such file", |p| {
            fs::remove_file(p.path("work/license.toml")).unwrap();
            symlink("nowhere.toml", p.path("work/license.toml")).unwrap();
        }),
    ];
    for (says, breaking) in breaks {
        let pushing = with_key(&toml(""));
        pushing.commit("a", "1");
        breaking(&pushing);
        let pushed = pushing.push(&["origin", "main"]);
        pushed.stops(31).says("not scanned: ").says("work/license.toml").says(says);
        // A push that only deletes sends nothing that could leak.
        pushing.git(&["push", "--quiet", "--no-verify", "origin", "main:gone"]);
        pushing.push(&["origin", ":gone"]).goes();
    }
}

#[test]
fn a_file_of_certificates_that_is_not_here_is_no_matter_of_the_scan() {
    let authority = "[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"https://to.example.com/api/v1\"\nca_file = \"gone.pem\"\n";
    let pushing = with_key(&toml(authority));
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).goes();
    pushing.commit("a", secret());
    pushing.push(&["origin", "main"]).stops(30).says("the key of `production`");
}

#[test]
fn what_a_file_with_a_mistake_names_is_looked_for_all_the_same() {
    let pushing = with_key(&toml(""));
    pushing.agree(&[], &[], &[]);
    pushing.commit("a", secret());
    // Neither the pushed file nor the record may read the variable: only the work tree's file names it.
    for broken in [toml("reminder = \"soon\"\n"), toml("").replace("version = 1", "version = 2")] {
        pushing.write("license.toml", broken);
        pushing.push(&["origin", "main"]).stops(30).says("a:1").says("the scan is incomplete");
    }
}

#[test]
fn a_file_of_a_newer_format_is_not_checked_and_blocks_where_it_says_so() {
    let newer = |lines: &str| toml(lines).replace("version = 1", "version = 2\nreminder = 3");
    for (lines, refs, blocks) in [
        ("", "work:main", false),
        ("branches = [\"main\"]\n", "work:main", false),
        ("branches = [\"main\"]\non_push = \"warn\"\n", "work:main", false),
        ("branches = [\"main\"]\non_push = \"block\"\n", "work:main", true),
        ("branches = [\"main\"]\non_push = \"block\"\n", "work:elsewhere", false),
        ("branches = [\"main\"]\non_push = { ask = \"nobody\" }\n", "work:main", true),
        ("branches = { only = \"main\" }\non_push = \"block\"\n", "work:elsewhere", true),
        ("on_push = \"block\"\n", "work:elsewhere", true),
    ] {
        let pushing = with_key(&toml(""));
        on_a_branch(&pushing, &newer(lines));
        let pushed = pushing.push(&["origin", refs]);
        let says = "says more than this hook understands";
        let ran = if blocks { pushed.stops(11).says("`production` must be known") } else { pushed.goes_with(says) };
        ran.says(says).says("version 2").says("cargo xtask hook install");
    }
}

#[test]
fn a_file_of_a_newer_format_is_no_reason_not_to_scan() {
    let pushing = with_key(&toml(""));
    on_a_branch(&pushing, &toml("").replace("version = 1", "version = 2"));
    pushing.git(&["switch", "--quiet", "work"]);
    pushing.commit("leak", secret());
    pushing.git(&["switch", "--quiet", "main"]);
    pushing.push(&["origin", "work"]).stops(30).says("leak:1");
}

/// The one line of a push that is not checked for every secret.
const NOT_LOOKED_FOR: &str = "1 secret of license.toml is not looked for on this machine";

#[test]
fn a_secret_that_is_not_here_is_told_once() {
    let absent: [(&str, String, Prepare); 4] = [
        ("a variable", toml(""), |_| ()),
        ("a file", dotenv_toml(), |_| ()),
        ("an entry", dotenv_toml(), |p| p.write(".env", "OTHER=1\n")),
        ("a text", dotenv_toml(), |p| p.write(".env", "LICENSE_KEY=\n")),
    ];
    for (name, text, prepare) in absent {
        let pushing = pushing(&text);
        pushing.agree(&[], if name == "a variable" { &["LICENSE_KEY"] } else { &[] }, &[".license/authority", ".env"]);
        prepare(&pushing);
        pushing.commit("a", "1");
        let pushed = pushing.push(&["--dry-run", "origin", "main"]);
        let ran = pushed.goes_with(NOT_LOOKED_FOR).says("`cargo xtask leaks` says which");
        assert_eq!(ran.stderr().matches("license:").count(), 1, "{name}: {ran}");
        pushing.push(&["--dry-run", "origin", "main"]).goes();
        // It is here for a while, and then it is not: that is news.
        let here = pushing.var("LICENSE_KEY", &secret());
        here.write(".env", format!("LICENSE_KEY={}\n", secret()));
        here.push(&["--dry-run", "origin", "main"]).goes();
        fs::remove_file(here.path("work/.env")).unwrap();
        let gone = here.unset("LICENSE_KEY");
        gone.push(&["origin", "main"]).goes_with(NOT_LOOKED_FOR);
    }
}

#[test]
fn what_was_told_goes_with_the_hook() {
    let pushing = pushing(&toml(""));
    fs::remove_file(pushing.path("work/.git/hooks/pre-push")).unwrap();
    fs::remove_dir_all(pushing.path("work/.git/license")).unwrap();
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).ran.exits(0).says(NOT_LOOKED_FOR);
    assert!(pushing.path("work/.git/license/passed-over").exists());
    pushing.xtask(&["hook", "uninstall"]).exits(0);
    assert!(!pushing.path("work/.git/license").exists());
}

#[test]
fn a_recorded_variable_that_is_not_set_and_a_bare_clone_are_told_too() {
    let unset = with_key(&toml(""));
    unset.agree(&[], &["LICENSE_KEY", "OTHER_KEY"], &[".license/authority"]);
    unset.commit("a", "1");
    unset.push(&["origin", "main"]).goes_with(NOT_LOOKED_FOR);
    let bare = pushing(&dotenv_toml());
    bare.write(".env", format!("LICENSE_KEY={}\n", secret()));
    bare.git_in("", &["clone", "--quiet", "--bare", "work", "bare.git"]);
    bare.hook("bare.git");
    fs::create_dir_all(bare.path("bare.git/license")).unwrap();
    bare.agree(&[], &[], &[".license/authority", ".env"]);
    fs::copy(bare.path("work/.git/license/trust.json"), bare.path("bare.git/license/trust.json")).unwrap();
    bare.push_in("bare.git", &[bare.path("hub.git").to_str().unwrap(), "main:new"]).goes_with(NOT_LOOKED_FOR);
}

#[test]
fn without_a_license_toml_nothing_is_missing() {
    let pushing = Pushing::new(BINARY);
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).goes();
}

#[test]
fn a_secret_that_is_here_and_cannot_be_read_leaves_the_scan_incomplete() {
    let breaks: [(&str, Prepare); 3] = [
        ("line 1", |p| p.write(".env", "LICENSE_KEY = 'no end\n")),
        ("not UTF-8", |p| p.write(".env", b"LICENSE_KEY=\xff\n")),
        ("it is a directory", |p| fs::create_dir(p.path("work/.env")).unwrap()),
    ];
    for (says, breaking) in breaks {
        let pushing = pushing(&dotenv_toml());
        breaking(&pushing);
        pushing.commit("a", "1");
        let pushed = pushing.push(&["origin", "main"]);
        pushed.stops(31).says("not scanned: the key of `production`").says("work/.env").says(says);
        // The pushed file alone names it, too.
        fs::remove_file(pushing.path("work/license.toml")).unwrap();
        pushing.push(&["origin", "main"]).stops(31).says("not scanned: the key of `production`").says(says);
        pushing.git(&["checkout", "--quiet", "license.toml"]);
        pushing.xtask(&["leaks"]).exits(31).says("not scanned: the key of `production`").says(says);
    }
}

#[test]
fn an_identity_that_does_not_open_its_file_leaves_the_scan_incomplete() {
    let text =
        toml("").replace("{ env = \"LICENSE_KEY\" }", "{ age = \"key.age\", identity = { env = \"AGE_IDENTITY\" } }");
    let pushing = pushing(&text);
    pushing.agree(&[], &["AGE_IDENTITY"], &[".license/authority", "key.age"]);
    pushing.commit("key.age", sealed::seal(&sealed::identity(), &secret()));
    pushing.push(&["--dry-run", "origin", "main"]).goes_with("2 secrets of license.toml are not looked for");
    let pushing = pushing.var("AGE_IDENTITY", &sealed::identity());
    pushing.push(&["--dry-run", "origin", "main"]).stops(31).says("work/key.age").says("does not open it");
}

/// Whoever may open one environment's key cannot leak another one's.
#[test]
fn an_identity_that_opens_one_file_is_no_wrong_one_for_the_others() {
    let age = |file: &str| format!("{{ age = \"{file}\", identity = {{ env = \"AGE_IDENTITY\" }} }}");
    let more = |name: &str, file: &str| {
        format!("[environments.{name}]\nauthority = \"local\"\ndomain = \"{name}.app.com\"\nkey = {}\n", age(file))
    };
    let mine = sealed::identity();
    // The one that it opens may be the first or the last.
    for (first, last) in [("mine.age", "theirs.age"), ("theirs.age", "mine.age")] {
        let text = toml("").replace("{ env = \"LICENSE_KEY\" }", &age(first)) + "\n" + &more("staging", last);
        let pushing = pushing(&text).var("AGE_IDENTITY", &mine);
        pushing.agree(&[], &["AGE_IDENTITY"], &[".license/authority", "mine.age", "theirs.age"]);
        pushing.commit("mine.age", sealed::seal(&mine, &secret()));
        pushing.commit("theirs.age", sealed::seal(&sealed::identity(), "another-secret-of-others"));
        pushing.push(&["--dry-run", "origin", "main"]).goes_with("1 secret of license.toml is not looked for");
        let leaks = pushing.xtask(&["leaks"]);
        leaks.exits(0).says("not on this machine").says("work/theirs.age").says_nothing_of("not scanned");
        pushing.commit("leak", secret());
        pushing.push(&["origin", "main"]).stops(30).says("leak:1");
    }
}

#[test]
fn a_linked_worktree_looks_for_what_the_main_one_has() {
    let pushing = pushing(&dotenv_toml());
    pushing.agree(&[], &[], &[".license/authority", ".env"]);
    pushing.write(".env", format!("LICENSE_KEY={}\n", secret()));
    pushing.git(&["worktree", "add", "--quiet", "../linked", "-b", "linked"]);
    fs::write(pushing.path("linked/a"), "1\n").unwrap();
    let commit = |name: &str| {
        pushing.git_in("linked", &["add", "--all"]);
        pushing.git_in("linked", &["commit", "--quiet", "--message", name]);
    };
    commit("clean");
    pushing.push_in("linked", &["origin", "linked"]).goes();
    fs::write(pushing.path("linked/a"), secret()).unwrap();
    commit("leak");
    pushing.push_in("linked", &["origin", "linked"]).stops(30).says("a:1");
    let leaks = |directory: &str| pushing.xtask_in(directory, &["leaks"]);
    leaks("linked").exits(30).says("a:1");
    // A file of its own counts alone.
    fs::write(pushing.path("linked/.env"), "LICENSE_KEY=another-secret\n").unwrap();
    leaks("linked").exits(0);
    // What is broken there is not absent here.
    fs::remove_file(pushing.path("linked/.env")).unwrap();
    pushing.write(".env", "LICENSE_KEY='\n");
    leaks("linked").exits(31).says("work/.env");
    fs::remove_file(pushing.path("work/.env")).unwrap();
    leaks("linked").exits(0).says("not on this machine").says("linked/.env");
}

/// The same with the record of an installation, and a hook that tells its exits.
fn installed(text: &str) -> Pushing {
    let pushing = pushing(text);
    fs::remove_file(pushing.path("work/.git/hooks/pre-push")).unwrap();
    fs::remove_dir_all(pushing.path("work/.git/license")).unwrap();
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    pushing
}

/// Leaves a work tree without `license.toml`, where git ignores the same files.
fn on_pages(pushing: &Pushing) {
    pushing.git(&["switch", "--quiet", "--orphan", "pages"]);
    pushing.commit(".gitignore", ".env\n*.age\n");
}

#[test]
fn a_branch_without_a_license_toml_is_looked_at_for_the_secrets_in_files_that_were_recorded() {
    let identity = sealed::identity();
    let of_sealed = "{ age = \"key.age\", identity = { dotenv = \".env\", name = \"IDENTITY\" } }";
    let sealed_toml = toml("").replace("{ env = \"LICENSE_KEY\" }", of_sealed);
    for (text, says) in [(dotenv_toml(), "what the variable `LICENSE_KEY` in"), (sealed_toml, "what the sealed file")] {
        let pushing = installed(&text);
        on_pages(&pushing);
        pushing.write(".env", format!("LICENSE_KEY={}\nIDENTITY={identity}\n", secret()));
        pushing.write("key.age", sealed::seal(&identity, &secret()));
        pushing.commit("index.html", "clean");
        pushing.push(&["--dry-run", "origin", "pages"]).goes();
        pushing.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
        pushing.commit("index.html", secret());
        pushing.push(&["--dry-run", "origin", "pages"]).stops(30).says("index.html:1").says(says);
        // A linked worktree has no such file of its own.
        fs::write(pushing.path("linked/a"), secret()).unwrap();
        pushing.git_in("linked", &["add", "--all"]);
        pushing.git_in("linked", &["commit", "--quiet", "--message", "leak"]);
        pushing.push_in("linked", &["--dry-run", "origin", "HEAD:refs/heads/new"]).stops(30).says("a:1").says(says);
        // What is there and cannot be read never reads as clean.
        pushing.write(".env", "LICENSE_KEY='no end\n");
        pushing.push(&["--dry-run", "origin", "pages"]).stops(31).says("not scanned: what the ").says("line 1");
    }
}

#[test]
fn a_record_of_an_older_program_says_that_the_secrets_in_files_are_not_looked_for() {
    let pushing = installed(&dotenv_toml());
    pushing.write(".env", format!("LICENSE_KEY={}\n", secret()));
    let file = pushing.path("work/.git/license/trust.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("secrets").unwrap();
    fs::write(&file, record.to_string()).unwrap();
    pushing.commit("a", "1");
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    on_pages(&pushing);
    let says = "the secrets in files were not looked for";
    pushing.push(&["origin", "pages"]).goes_with(says).says("cargo xtask hook install");
    pushing.push(&["origin", ":pages"]).goes();
}

#[test]
fn a_text_that_cannot_be_looked_for_is_told() {
    let pushing = pushing(&toml("")).var("LICENSE_KEY", "short");
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).goes_with(NOT_LOOKED_FOR);
    pushing.xtask(&["leaks"]).exits(0).says("the key of `production` is not looked for: it has 5 bytes");
}

#[test]
fn a_hook_that_is_told_nothing_at_all_says_so_and_git_that_has_nothing_to_push_is_left_alone() {
    let pushing = with_key(&toml(""));
    let hub = pushing.path("hub.git").to_str().unwrap().to_owned();
    for arguments in [&["origin", hub.as_str()][..], &[]] {
        let ran = pushing.pre_push_without_input("work", arguments);
        ran.exits(2).says("does not come through").says("`use_stdin: true`").says("git push --no-verify");
        assert_eq!(ran.stdout(), "");
    }
    // git's own pipe, and an empty file.
    pushing.push(&["origin", "main"]).goes();
    let ran = pushing.pre_push("work", &["origin", &hub], "");
    assert_eq!((ran.exits(0).stdout(), ran.stderr()), ("", ""));
    // pre-commit tells it in variables.
    let told = pushing.var("PRE_COMMIT_TO_REF", "main");
    assert_eq!(told.pre_push_without_input("work", &["origin", &hub]).exits(0).stderr(), "");
    let skipped = told.unset("PRE_COMMIT_TO_REF").var("LICENSE_HOOK", "0");
    skipped.pre_push_without_input("work", &["origin", &hub]).exits(0).says("this push is not checked");
}

#[test]
fn a_hook_that_cannot_begin_names_the_way_round() {
    let pushing = with_key(&toml(""));
    for arguments in [&["a", "b", "c"][..], &["--unknown"], &["--color", "blue"], &["--config"]] {
        let ran = pushing.pre_push("work", arguments, "");
        ran.exits(2).says("this push was stopped").says("git push --no-verify");
        assert_eq!(ran.stdout(), "", "{arguments:?}");
    }
    pushing.xtask(&["--color", "never", "pre-push", "--unknown"]).exits(2).says("git push --no-verify");
    for arguments in [&["leaks", "pre-push"][..], &["pre-pusch"], &["leaks", "--range"]] {
        pushing.xtask(arguments).exits(2).says_nothing_of("--no-verify");
    }
    pushing.xtask(&["pre-push", "--help"]).exits(0).says_nothing_of("this push was stopped");
    pushing.xtask_that_lost_its_directory(&["pre-push"]).exits(2).says("the current directory").says("--no-verify");
    pushing.xtask_that_lost_its_directory(&["leaks"]).exits(2).says_nothing_of("--no-verify");
}
