//! What a push sends is looked at, in every form that a push has; what could not be looked at never reads as clean.
//!
//! Keys are made here at run time, so that no file of this repository holds one.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use license_tests::Pushing;

use crate::BINARY;

/// A key of no form that anybody knows: it is found because it is configured.
pub(crate) fn secret() -> String {
    ["Zq7", "marker", "K3y4", "T5sts"].join("/")
}

/// A file that names the key's variable, and maps nothing.
fn license_toml() -> String {
    "version = 1\n[authority.local]\nkind = \"embedded\"\n[environments.production]\nauthority = \"local\"\n\
     domain = \"app.com\"\nkey = { env = \"LICENSE_KEY\" }\n"
        .to_owned()
}

/// A repository on a machine that has a key, with a `license.toml` that is on the remote.
fn pushing() -> Pushing {
    configured(Pushing::new(BINARY))
}

fn configured(pushing: Pushing) -> Pushing {
    let pushing = pushing.var("LICENSE_KEY", &secret());
    pushing.agree(&[], &["LICENSE_KEY"], &[".license/authority"]);
    pushing.commit("license.toml", license_toml());
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing
}

/// Commits the key.
fn leak(pushing: &Pushing) {
    pushing.commit("src/config.txt", format!("first\nkey = {}\n", secret()));
}

/// The refs of the remote.
fn remote_refs(pushing: &Pushing) -> String {
    pushing.git_in("hub.git", &["for-each-ref"])
}

/// Stops in a dry run and in earnest, and nothing reaches the remote.
#[track_caller]
fn stops(pushing: &Pushing, name: &str, arguments: &[&str], exit: i32) {
    let before = remote_refs(pushing);
    for dry in [&["--dry-run"][..], &[]] {
        let pushed = pushing.push(&[dry, arguments].concat());
        let ran = pushed.stops(exit);
        for text in [ran.stderr(), ran.stdout()] {
            assert!(!text.contains(&secret()), "{name}: the key is shown: {text}");
        }
    }
    assert_eq!(remote_refs(pushing), before, "{name}");
}

#[test]
fn a_key_is_found_in_every_form_of_a_push() {
    type Prepare = fn(&Pushing);
    let rows: [(&str, Prepare, &[&str]); 12] = [
        ("an update", leak, &["origin", "main"]),
        (
            "a new branch",
            |p| {
                p.git(&["switch", "--quiet", "--create", "new"]);
                leak(p);
            },
            &["origin", "new"],
        ),
        (
            "a forced push",
            |p| {
                p.git(&["commit", "--quiet", "--amend", "--message", "again"]);
                leak(p);
            },
            &["--force", "origin", "main"],
        ),
        (
            "a commit that a later one undoes",
            |p| {
                leak(p);
                p.commit("src/config.txt", "nothing\n");
            },
            &["origin", "main"],
        ),
        (
            "the last of several refs",
            |p| {
                for name in ["a", "b"] {
                    p.git(&["switch", "--quiet", "--create", name, "main"]);
                    p.commit(name, name);
                }
                p.git(&["switch", "--quiet", "--create", "z", "main"]);
                leak(p);
            },
            &["origin", "a", "b", "z"],
        ),
        (
            "all branches",
            |p| {
                p.git(&["branch", "clean"]);
                p.git(&["switch", "--quiet", "--create", "work"]);
                leak(p);
                p.git(&["switch", "--quiet", "main"]);
            },
            &["--all", "origin"],
        ),
        (
            "all tags",
            |p| {
                p.git(&["tag", "clean"]);
                p.git(&["switch", "--quiet", "--detach"]);
                leak(p);
                p.git(&["tag", "leaky"]);
                p.git(&["switch", "--quiet", "main"]);
            },
            &["--tags", "origin"],
        ),
        (
            "a mirror",
            |p| {
                p.git(&["switch", "--quiet", "--detach"]);
                leak(p);
                p.git(&["update-ref", "refs/elsewhere/one", "HEAD"]);
                p.git(&["switch", "--quiet", "main"]);
            },
            &["--mirror", "origin"],
        ),
        (
            "the message of an annotated tag",
            |p| drop(p.git(&["tag", "--annotate", "--message", &format!("see {}", secret()), "v1"])),
            &["origin", "v1"],
        ),
        (
            "a tag of a blob",
            |p| {
                p.write("blob", format!("{}\n", secret()));
                let blob = p.git(&["hash-object", "-w", "blob"]);
                fs::remove_file(p.path("work/blob")).unwrap();
                p.git(&["tag", "blob", &blob]);
            },
            &["origin", "blob"],
        ),
        (
            "the message of a commit",
            |p| drop(p.git(&["commit", "--quiet", "--allow-empty", "--message", &secret()])),
            &["origin", "main"],
        ),
        ("a revision", leak, &["origin", "HEAD~0:refs/heads/elsewhere"]),
    ];
    for (name, prepare, arguments) in rows {
        let pushing = pushing();
        prepare(&pushing);
        stops(&pushing, name, arguments, 30);
    }
}

#[test]
fn a_clean_push_of_every_form_goes_out_without_a_word() {
    let pushing = pushing();
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).goes();
    pushing.git(&["branch", "new"]);
    pushing.push(&["origin", "new"]).goes();
    pushing.push(&["origin", "--delete", "new"]).goes();
    pushing.git(&["tag", "--annotate", "--message", "one", "v1"]);
    let blob = pushing.git(&["hash-object", "-w", "a"]);
    pushing.git(&["tag", "blob", &blob]);
    let tree = pushing.git(&["rev-parse", "HEAD^{tree}"]);
    pushing.git(&["tag", "tree", &tree]);
    pushing.push(&["--tags", "origin"]).goes();
    pushing.git(&["commit", "--quiet", "--amend", "--message", "again"]);
    pushing.push(&["--force", "origin", "main"]).goes();
    pushing.commit("b", "2");
    pushing.push(&["--all", "origin"]).goes();
    pushing.push(&["--mirror", "origin"]).goes();
    let porcelain = pushing.push(&["--porcelain", "origin", "HEAD:refs/heads/more"]);
    assert!(porcelain.goes().stdout().starts_with("To "), "{}", porcelain.ran);
}

#[test]
fn a_finding_says_where_it_is_and_what_to_do() {
    let pushing = pushing();
    leak(&pushing);
    let commit = pushing.git(&["rev-parse", "--short=12", "HEAD"]);
    let pushed = pushing.push(&["origin", "main"]);
    let ran = pushed.stops(30);
    ran.says("src/config.txt:2")
        .says(&commit)
        .says("the key of `production`")
        .says("git rebase -i")
        .says("rotate production");
}

#[test]
fn a_leak_that_is_on_the_remote_already_stops_nothing() {
    let pushing = pushing();
    leak(&pushing);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing.commit("a", "1");
    pushing.push(&["origin", "main"]).goes();
    pushing.git(&["switch", "--quiet", "--create", "new"]);
    pushing.commit("b", "2");
    pushing.push(&["origin", "new"]).goes();
}

#[test]
fn nothing_to_push_costs_no_git_and_no_file() {
    let pushing = pushing();
    let pushed = pushing.push(&["origin", "main"]);
    assert_eq!((pushed.exits.as_slice(), pushed.hooks.len()), (&[0][..], 1), "the hook runs, and has nothing to do");
    pushed.goes();
    let pushing = pushing.var("PATH", "/nowhere");
    pushing.write("license.toml", "broken =");
    let ran = pushing.pre_push("home", &["origin", "url"], "");
    assert_eq!((ran.exits(0).stdout(), ran.stderr()), ("", ""));
}

#[test]
fn a_remote_that_is_ahead_is_no_reason_to_pass_over_anything() {
    let pushing = pushing();
    pushing.git_in("", &["clone", "--quiet", "hub.git", "other"]);
    fs::write(pushing.path("other/theirs"), "theirs\n").unwrap();
    pushing.git_in("other", &["add", "theirs"]);
    pushing.git_in("other", &["commit", "--quiet", "--message", "theirs"]);
    pushing.git_in("other", &["push", "--quiet", "origin", "main"]);
    pushing.commit("ours", "ours\n");
    pushing.push(&["--dry-run", "--force", "origin", "main"]).goes();
    leak(&pushing);
    stops(&pushing, "an unknown remote object", &["--force", "origin", "main"], 30);
}

#[test]
fn every_push_address_is_looked_at_for_itself() {
    let pushing = pushing();
    leak(&pushing);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing.git_in("", &["init", "--quiet", "--bare", "second.git"]);
    let (hub, second) = (pushing.path("hub.git"), pushing.path("second.git"));
    for url in [&hub, &second] {
        pushing.git(&["remote", "set-url", "--push", "--add", "origin", url.to_str().unwrap()]);
    }
    pushing.commit("a", "1");
    let pushed = pushing.push(&["origin", "main"]);
    assert_eq!(pushed.hooks.len(), 2, "once for every address");
    assert_eq!(pushed.exits, [0, 30], "what `origin` has, the second one does not");
    pushed.stops(30);
    let by_address = pushing.push(&[second.to_str().unwrap(), "main"]);
    by_address.stops(30);
}

/// A branch `old` with the key that the remote has, and that git saw there; the work tree is on `main`.
fn with_old_leak(pushing: &Pushing) {
    pushing.git(&["switch", "--quiet", "--create", "old"]);
    leak(pushing);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "old"]);
    pushing.git(&["branch", "new"]);
    pushing.git(&["switch", "--quiet", "main"]);
}

fn second_remote(pushing: &Pushing) -> String {
    pushing.git_in("", &["init", "--quiet", "--bare", "second.git"]);
    pushing.path("second.git").to_str().unwrap().to_owned()
}

#[test]
fn what_was_seen_at_one_address_is_not_left_out_at_another_one() {
    type Change = fn(&Pushing, &str);
    let set_url: Change = |pushing, second| drop(pushing.git(&["remote", "set-url", "origin", second]));
    let instead: Change = |pushing, second| {
        let hub = pushing.git(&["config", "remote.origin.url"]);
        pushing.git(&["config", &format!("url.{second}.insteadOf"), &hub]);
    };
    // Whether the hook was installed, whether it ran before, and how the address changed.
    for (name, installed, ran, change) in [
        ("never seen before", false, false, set_url),
        ("seen before", false, true, set_url),
        ("installed", true, false, set_url),
        ("rewritten", false, true, instead),
        ("installed and rewritten", true, true, instead),
    ] {
        let pushing = pushing();
        let second = second_remote(&pushing);
        if installed {
            pushing.xtask(&["hook", "install"]).exits(0);
            pushing.hook("work/.git");
        }
        with_old_leak(&pushing);
        if ran {
            pushing.commit("a", "1");
            pushing.push(&["origin", "main"]).goes();
        }
        change(&pushing, &second);
        stops(&pushing, name, &["origin", "new"], 30);
        // What the second one gets is known, and the rest is doubted as before.
        pushing.push(&["origin", "main"]).goes();
        stops(&pushing, name, &["origin", "new"], 30);
        pushing.git(&["push", "--quiet", "--no-verify", "origin", "new"]);
        pushing.git(&["branch", "newer", "new"]);
        pushing.push(&["origin", "newer"]).goes();
    }
}

#[test]
fn a_leak_that_the_remote_of_a_clone_or_an_installed_hook_has_stops_nothing() {
    let pushing = pushing();
    with_old_leak(&pushing);
    let hub = pushing.path("hub.git");
    pushing.git_in("", &["clone", "--quiet", hub.to_str().unwrap(), "clone"]);
    pushing.hook("clone/.git");
    pushing.push_in("clone", &["origin", "origin/old:refs/heads/elsewhere"]).goes();
    // Of this one git does not know where it is from.
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    pushing.push(&["origin", "new"]).goes();
}

#[test]
fn a_remote_that_denies_what_git_saw_there_is_not_believed_to_have_the_rest() {
    let installed = || {
        let pushing = pushing();
        pushing.xtask(&["hook", "install"]).exits(0);
        pushing.hook("work/.git");
        with_old_leak(&pushing);
        pushing
    };
    // It was made anew.
    let pushing = installed();
    fs::rename(pushing.path("hub.git"), pushing.path("gone.git")).unwrap();
    pushing.git_in("", &["init", "--quiet", "--bare", "hub.git"]);
    pushing.push(&["origin", "main"]).goes();
    stops(&pushing, "another branch of a new remote", &["origin", "new"], 30);
    stops(&pushing, "the same branch of a new remote", &["origin", "old"], 30);
    // It was rewound, to an object that is known here and to one that is not.
    let pushing = installed();
    let first = pushing.git(&["rev-parse", "main"]);
    pushing.git_in("hub.git", &["update-ref", "refs/heads/old", &first]);
    stops(&pushing, "a rewound branch", &["origin", "old"], 30);
    let tree = pushing.git_in("hub.git", &["rev-parse", "main^{tree}"]);
    let unknown = pushing.git_in("hub.git", &["commit-tree", &tree, "-m", "unknown"]);
    pushing.git_in("hub.git", &["update-ref", "refs/heads/old", &unknown]);
    stops(&pushing, "a rewritten branch", &["--force", "origin", "old"], 30);
}

#[test]
fn the_refs_of_another_remote_are_not_those_of_this_one() {
    let pushing = pushing();
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    let second = second_remote(&pushing);
    let fetch = |name: &str| format!("remote.{name}.fetch");
    for (name, into) in [("origin/priv", "origin/priv"), ("other", "origin")] {
        pushing.git(&["config", &format!("remote.{name}.url"), &second]);
        pushing.git(&["config", &fetch(name), &format!("+refs/heads/*:refs/remotes/{into}/*")]);
        pushing.git(&["switch", "--quiet", "--create", "secret", "main"]);
        leak(&pushing);
        pushing.git(&["push", "--quiet", "--no-verify", "--force", name, "secret"]);
        assert!(pushing.git(&["for-each-ref", "--format=%(refname)"]).contains(&format!("refs/remotes/{into}/secret")));
        stops(&pushing, name, &["origin", "secret:new"], 30);
        pushing.git(&["switch", "--quiet", "main"]);
        pushing.git(&["branch", "--quiet", "-D", "secret"]);
        pushing.git(&["config", "--remove-section", &format!("remote.{name}")]);
        pushing.git(&["update-ref", "-d", &format!("refs/remotes/{into}/secret")]);
    }
    // What this one is fetched into counts, and what only has its name does not.
    with_old_leak(&pushing);
    pushing.git(&["config", &fetch("origin"), "+refs/heads/*:refs/remotes/upstream/*"]);
    stops(&pushing, "its name", &["origin", "new"], 30);
    pushing.git(&["fetch", "--quiet", "origin"]);
    pushing.push(&["origin", "new"]).goes();
}

#[test]
fn what_a_push_to_several_addresses_left_behind_is_not_believed() {
    let pushing = pushing();
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    let (hub, second) = (pushing.path("hub.git"), second_remote(&pushing));
    for url in [hub.to_str().unwrap(), &second] {
        pushing.git(&["remote", "set-url", "--push", "--add", "origin", url]);
    }
    pushing.git(&["switch", "--quiet", "--create", "old"]);
    leak(&pushing);
    // Only the second one takes it.
    pushing.git(&["push", "--quiet", "--no-verify", &second, "old"]);
    pushing.git(&["update-ref", "refs/remotes/origin/old", "old"]);
    let pushed = pushing.push(&["origin", "old:new"]);
    assert_eq!(pushed.exits.first(), Some(&30), "{pushed:?}");
}

#[test]
fn a_linked_worktree_and_a_submodule_are_looked_at_like_any_other() {
    let pushing = pushing();
    pushing.git(&["worktree", "add", "--quiet", "../linked", "-b", "linked"]);
    fs::write(pushing.path("linked/key"), secret()).unwrap();
    pushing.git_in("linked", &["add", "key"]);
    pushing.git_in("linked", &["commit", "--quiet", "--message", "key"]);
    pushing.push_in("linked", &["origin", "linked"]).stops(30).says("key:1");

    let hub = pushing.path("hub.git");
    let allow = "protocol.file.allow=always";
    pushing.git_in("", &["init", "--quiet", "--initial-branch=main", "above"]);
    pushing.git_in("above", &["-c", allow, "submodule", "--quiet", "add", hub.to_str().unwrap(), "below"]);
    pushing.hook("above/.git/modules/below");
    let file = pushing.path("above/below/license.toml");
    assert!(file.exists());
    pushing.push_in("above/below", &["origin", "HEAD:refs/heads/clean"]).goes();
    fs::write(pushing.path("above/below/key"), secret()).unwrap();
    pushing.git_in("above/below", &["add", "key"]);
    pushing.git_in("above/below", &["commit", "--quiet", "--message", "key"]);
    pushing.push_in("above/below", &["origin", "HEAD:refs/heads/leaky"]).stops(30);
}

#[test]
fn a_push_with_the_directories_named_is_about_those() {
    let pushing = pushing();
    leak(&pushing);
    let (git, tree) = (pushing.path("work/.git"), pushing.path("work"));
    let variables = pushing.var("GIT_DIR", git.to_str().unwrap()).var("GIT_WORK_TREE", tree.to_str().unwrap());
    variables.push_in("home", &["origin", "main"]).stops(30);
}

#[test]
fn a_shallow_clone_is_looked_at() {
    let pushing = pushing();
    pushing.commit("a", "1");
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    let address = format!("file://{}", pushing.path("hub.git").display());
    pushing.git_in("", &["clone", "--quiet", "--depth=1", &address, "shallow"]);
    pushing.hook("shallow/.git");
    fs::write(pushing.path("shallow/b"), "2").unwrap();
    pushing.git_in("shallow", &["add", "b"]);
    pushing.git_in("shallow", &["commit", "--quiet", "--message", "b"]);
    pushing.push_in("shallow", &["origin", "HEAD:refs/heads/clean"]).goes();
    fs::write(pushing.path("shallow/key"), secret()).unwrap();
    pushing.git_in("shallow", &["add", "key"]);
    pushing.git_in("shallow", &["commit", "--quiet", "--message", "key"]);
    pushing.push_in("shallow", &["origin", "HEAD:refs/heads/leaky"]).stops(30);
}

#[test]
fn a_partial_clone_is_looked_at_and_nothing_is_fetched_for_that() {
    let pushing = pushing();
    pushing.commit("old", "1");
    pushing.commit("old", "2");
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing.git_in("hub.git", &["config", "uploadpack.allowFilter", "true"]);
    let address = format!("file://{}", pushing.path("hub.git").display());
    pushing.git_in("", &["clone", "--quiet", "--filter=blob:none", &address, "partial"]);
    pushing.hook("partial/.git");
    fs::write(pushing.path("partial/new"), "3").unwrap();
    pushing.git_in("partial", &["add", "new"]);
    pushing.git_in("partial", &["commit", "--quiet", "--message", "new"]);
    pushing.push_in("partial", &["--dry-run", "origin", "HEAD:refs/heads/clean"]).goes();

    // The same, with the remote gone: whoever fetched would notice.
    let head = pushing.git_in("partial", &["rev-parse", "HEAD"]);
    let zeros = "0".repeat(head.len());
    fs::rename(pushing.path("hub.git"), pushing.path("gone.git")).unwrap();
    let line = format!("HEAD {head} refs/heads/new {zeros}\n");
    let ran = pushing.pre_push("partial", &["origin", address.as_str()], &line);
    assert_eq!((ran.exits(0).stdout(), ran.stderr()), ("", ""));
    fs::write(pushing.path("partial/key"), secret()).unwrap();
    pushing.git_in("partial", &["add", "key"]);
    pushing.git_in("partial", &["commit", "--quiet", "--message", "key"]);
    let head = pushing.git_in("partial", &["rev-parse", "HEAD"]);
    let line = format!("HEAD {head} refs/heads/new {zeros}\n");
    pushing.pre_push("partial", &["origin", address.as_str()], &line).exits(30).says("key:1");
}

#[test]
fn what_a_partial_clone_would_fetch_to_send_it_elsewhere_is_not_clean() {
    let pushing = pushing();
    with_old_leak(&pushing);
    pushing.commit("a", "1");
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    pushing.git_in("hub.git", &["config", "uploadpack.allowFilter", "true"]);
    let (address, fork) = (format!("file://{}", pushing.path("hub.git").display()), second_remote(&pushing));
    for filter in ["blob:none", "tree:0"] {
        let clone = filter.replace(':', "-");
        pushing.git_in("", &["clone", "--quiet", &format!("--filter={filter}"), &address, &clone]);
        pushing.hook(&format!("{clone}/.git"));
        let git = |arguments: &[&str]| pushing.git_in(&clone, arguments);
        git(&["remote", "add", "fork", &fork]);
        // What is not here is not told to be absent.
        let before = pushing.push_in(&clone, &["--dry-run", "origin", "origin/old:refs/heads/before"]);
        match filter {
            "tree:0" => before.goes_with("a directory that leads to it is not in this partial clone"),
            _ => before.goes(),
        };
        let pushed = pushing.push_in(&clone, &["fork", "origin/old:refs/heads/old"]);
        pushed.stops(31).says("are with `origin` and not here").says("--refetch").says("--no-verify");
        // What the fork has is not sent.
        git(&["push", "--quiet", "--no-verify", "fork", "main"]);
        fs::write(pushing.path(&format!("{clone}/new")), filter).unwrap();
        git(&["add", "new"]);
        git(&["commit", "--quiet", "--message", "new"]);
        pushing.push_in(&clone, &["fork", "main"]).goes();
        // Nor what a fetch saw there, however it came to have it.
        git(&["remote", "add", "second", &fork]);
        git(&["fetch", "--quiet", "second"]);
        pushing.push_in(&clone, &["second", "HEAD:refs/heads/more"]).goes();
        pushing.push_in(&clone, &["second", "origin/old:refs/heads/old"]).stops(31);
        git(&["push", "--quiet", "second", ":more"]);
        git(&["remote", "remove", "second"]);
        // Nor is anything new to the one that it was left with.
        assert_eq!(pushing.push_in(&clone, &["origin", "origin/old:refs/heads/again"]).exits, [0], "{filter}");
        git(&["push", "--quiet", "origin", ":again"]);
        git(&["push", "--quiet", "fork", ":main"]);
    }
}

#[test]
fn grafts_change_what_git_sends_and_stop_a_push() {
    let pushing = pushing();
    let main = pushing.git(&["rev-parse", "main"]);
    pushing.git(&["switch", "--quiet", "--orphan", "old"]);
    leak(&pushing);
    let old = pushing.git(&["rev-parse", "old"]);
    pushing.git(&["switch", "--quiet", "main"]);
    pushing.commit("a", "1");
    let grafts = |text: &str| {
        fs::create_dir_all(pushing.path("work/.git/info")).unwrap();
        fs::write(pushing.path("work/.git/info/grafts"), text).unwrap();
    };
    grafts(&format!("{} {main} {old}\n", pushing.git(&["rev-parse", "main"])));
    stops(&pushing, "grafts", &["origin", "main"], 31);
    pushing.push(&["origin", "main"]).stops(31).says("info/grafts").says("git replace --convert-graft-file");
    pushing.git(&["replace", "--convert-graft-file"]);
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    grafts("# none\n\n \r\n");
    pushing.push(&["--dry-run", "origin", "main"]).goes();
    grafts(&format!("{main}\n"));
    let mut pushing = pushing;
    for nothing in ["", "/dev/null"] {
        pushing = pushing.var("GIT_GRAFT_FILE", nothing);
        pushing.push(&["--dry-run", "origin", "main"]).goes();
    }
}

#[test]
fn what_another_program_writes_below_the_refs_of_a_remote_was_not_seen_there() {
    for settings in [
        &[("svn-remote.svn.fetch", "trunk:refs/remotes/origin/trunk")][..],
        &[("svn-remote.svn.branches", "branches/*:refs/remotes/origin/*")],
    ] {
        let pushing = pushing();
        for (key, value) in settings {
            pushing.git(&["config", key, value]);
        }
        pushing.xtask(&["hook", "install"]).exits(0);
        pushing.hook("work/.git");
        leak(&pushing);
        pushing.git(&["update-ref", "refs/remotes/origin/trunk", "main"]);
        stops(&pushing, settings[0].0, &["origin", "main:refs/heads/new"], 30);
    }
}

#[test]
fn what_is_fetched_by_https_and_pushed_by_ssh_is_one_place() {
    let pushing = pushing();
    with_old_leak(&pushing);
    pushing.git(&["remote", "set-url", "origin", "https://host.example/a/b.git"]);
    pushing.xtask(&["hook", "install"]).exits(0);
    let line = format!("new {} refs/heads/new {}\n", pushing.git(&["rev-parse", "new"]), "0".repeat(40));
    for (url, exit) in [
        ("https://host.example/a/b.git", 0),
        ("git@host.example:a/b.git", 0),
        ("ssh://git@host.example/a/b.git", 0),
        ("ssh://git@host.example:2222/a/b.git", 30),
        ("me@host.example:a/b.git", 30),
        ("git@other.example:a/b.git", 30),
    ] {
        pushing.git(&["remote", "set-url", "--push", "origin", url]);
        pushing.pre_push("work", &["origin", url], &line).named(url).exits(exit);
    }
}

#[test]
fn a_path_of_a_remote_leads_elsewhere_from_elsewhere() {
    let pushing = pushing();
    pushing.git(&["remote", "set-url", "origin", "../hub.git"]);
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    with_old_leak(&pushing);
    pushing.push(&["--dry-run", "origin", "new"]).goes();
    fs::create_dir(pushing.path("elsewhere")).unwrap();
    pushing.git_in("", &["init", "--quiet", "--bare", "elsewhere/hub.git"]);
    pushing.git(&["worktree", "add", "--quiet", "../elsewhere/linked", "-b", "linked", "new"]);
    pushing.push_in("elsewhere/linked", &["origin", "linked"]).stops(30);
    fs::rename(pushing.path("work"), pushing.path("elsewhere/work")).unwrap();
    pushing.push_in("elsewhere/work", &["origin", "new"]).stops(30);
}

#[test]
fn a_push_is_as_shallow_as_it_is_told_to_be() {
    let pushing = pushing();
    leak(&pushing);
    pushing.git(&["rm", "--quiet", "src/config.txt"]);
    pushing.git(&["commit", "--quiet", "--message", "gone"]);
    fs::write(pushing.path("work/.git/shallow"), pushing.git(&["rev-parse", "HEAD"]) + "\n").unwrap();
    fs::write(pushing.path("whole"), "").unwrap();
    let whole = pushing.path("whole").to_str().unwrap().to_owned();
    let pushing = pushing.var("GIT_SHALLOW_FILE", &whole);
    stops(&pushing, "GIT_SHALLOW_FILE", &["origin", "main:refs/heads/new"], 30);
}

#[test]
fn a_repository_that_hashes_with_sha_256_is_looked_at() {
    let pushing = configured(Pushing::with_format(BINARY, "sha256"));
    pushing.git(&["branch", "new"]);
    pushing.push(&["origin", "new"]).goes();
    pushing.push(&["origin", "--delete", "new"]).goes();
    leak(&pushing);
    stops(&pushing, "SHA-256", &["origin", "main"], 30);
}

/// Whoever reads `.git/HEAD` or `.git/refs` by himself finds nothing there.
#[test]
fn a_repository_with_its_refs_in_tables_is_looked_at() {
    let pushing = configured(Pushing::new(BINARY));
    if !pushing.can_git(&["refs", "migrate", "--ref-format=reftable"]) {
        let why = "skipped: git before 2.46 cannot turn refs into tables\n";
        return std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes()).unwrap();
    }
    assert!(pushing.path("work/.git/reftable").exists());
    pushing.git(&["branch", "new"]);
    pushing.push(&["origin", "new"]).goes();
    leak(&pushing);
    stops(&pushing, "tables", &["origin", "main"], 30);
    pushing.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    pushing.push(&["origin", "main"]).goes();
    pushing.push(&["origin", "--delete", "new"]).goes();
}

#[test]
fn a_bare_repository_is_looked_at() {
    let pushing = pushing();
    leak(&pushing);
    pushing.git_in("", &["clone", "--quiet", "--bare", "work", "bare.git"]);
    pushing.hook("bare.git");
    let hub = pushing.path("hub.git");
    fs::create_dir_all(pushing.path("bare.git/license")).unwrap();
    fs::copy(pushing.path("work/.git/license/trust.json"), pushing.path("bare.git/license/trust.json")).unwrap();
    pushing.push_in("bare.git", &[hub.to_str().unwrap(), "main"]).stops(30);
}

#[test]
fn the_name_of_a_branch_is_looked_at_and_may_be_taken_back() {
    let pushing = pushing();
    let name = format!("refs/heads/{}", secret());
    stops(&pushing, "a name", &["origin", &format!("main:{name}")], 30);
    pushing.push(&["origin", &format!("main:{name}")]).stops(30).says("push it under another name");
    pushing.git(&["push", "--quiet", "--no-verify", "origin", &format!("main:{name}")]);
    pushing.push(&["origin", &format!(":{name}")]).goes();
}

#[test]
fn records_of_the_fleet_are_only_ever_added_to() {
    let pushing = pushing();
    let trail = "refs/license/trail/production";
    pushing.git(&["push", "--quiet", "--no-verify", "origin", &format!("main:{trail}")]);
    pushing.commit("a", "1");
    pushing.push(&["origin", &format!("main:{trail}")]).goes();
    let older = format!("+main~1:{trail}");
    let pushed = pushing.push(&["origin", &older]);
    pushed.stops(10).says(trail).says("takes entries out of it");
    let pushed = pushing.push(&["origin", &format!(":{trail}")]);
    pushed.stops(10).says("deletes it");
    assert!(remote_refs(&pushing).contains(trail));
    // What the remote has and this machine does not cannot be shown to be kept.
    pushing.git(&["switch", "--quiet", "--orphan", "unrelated"]);
    pushing.commit("b", "2");
    pushing.push(&["origin", &format!("+HEAD:{trail}")]).stops(10);
    // Everything else may be deleted and forced.
    pushing.push(&["--force", "origin", "HEAD:main"]).goes();
}

#[test]
fn the_installed_hook_guards_every_push() {
    let pushing = pushing();
    fs::remove_file(pushing.path("work/.git/hooks/pre-push")).unwrap();
    fs::remove_dir_all(pushing.path("work/.git/license")).unwrap();
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.commit("a", "1");
    let pushed = pushing.push(&["origin", "main"]);
    assert_eq!((pushed.ran.exits(0).stdout(), pushed.ran.stderr().contains("license:")), ("", false), "{}", pushed.ran);
    leak(&pushing);
    pushing.push(&["origin", "main"]).ran.exits(1).says("it holds secrets").says("git push --no-verify");
    pushing.push(&["--no-verify", "origin", "main"]).ran.exits(0).says_nothing_of("license:");
}

#[test]
fn the_guard_can_be_turned_off_and_says_so() {
    let pushing = pushing();
    leak(&pushing);
    let pushing = pushing.var("LICENSE_HOOK", "0");
    pushing.push(&["--dry-run", "origin", "main"]).goes_with("this push is not checked");
    let pushing = pushing.var("LICENSE_HOOK", "1");
    pushing.push(&["origin", "main"]).stops(30);
}

#[test]
fn a_framework_that_passes_on_one_ref_is_understood() {
    let pushing = pushing();
    let hub = pushing.path("hub.git").to_str().unwrap().to_owned();
    let remote = |pushing: Pushing| pushing.var("PRE_COMMIT_REMOTE_NAME", "origin").var("PRE_COMMIT_REMOTE_URL", &hub);
    let old = pushing.git(&["rev-parse", "HEAD"]);
    leak(&pushing);
    let new = pushing.git(&["rev-parse", "HEAD"]);
    let pushing = remote(pushing)
        .var("PRE_COMMIT_FROM_REF", &old)
        .var("PRE_COMMIT_TO_REF", &new)
        .var("PRE_COMMIT_LOCAL_BRANCH", "refs/heads/main")
        .var("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/main");
    for arguments in [&[][..], &["", ""], &["origin", hub.as_str()]] {
        pushing.pre_push("work", arguments, "").exits(30).says("src/config.txt:2");
    }
    // What is named there and is not here is no reason to say yes.
    let pushing = pushing.var("PRE_COMMIT_TO_REF", "refs/heads/gone");
    pushing.pre_push("work", &[], "").exits(31).says("refs/heads/gone").says("--no-verify");
    // A first push has no range.
    let pushing = pushing.var("PRE_COMMIT_TO_REF", "").var("PRE_COMMIT_FROM_REF", "");
    pushing.pre_push("work", &[], "").exits(30);
}

#[test]
fn what_a_framework_takes_from_refs_that_are_doubted_is_doubted_too() {
    let pushing = pushing();
    let (hub, second) = (pushing.path("hub.git").to_str().unwrap().to_owned(), second_remote(&pushing));
    pushing.xtask(&["hook", "install"]).exits(0);
    pushing.hook("work/.git");
    leak(&pushing);
    pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
    let seen = pushing.git(&["rev-parse", "HEAD"]);
    pushing.commit("a", "1");
    let new = pushing.git(&["rev-parse", "HEAD"]);
    let told = |pushing: Pushing, url: &str| {
        pushing
            .var("PRE_COMMIT_REMOTE_NAME", "origin")
            .var("PRE_COMMIT_REMOTE_URL", url)
            .var("PRE_COMMIT_FROM_REF", &seen)
            .var("PRE_COMMIT_TO_REF", &new)
            .var("PRE_COMMIT_LOCAL_BRANCH", "refs/heads/main")
            .var("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/main")
    };
    // As with pre-commit for a branch that the remote does not have: it takes an ancestor from `refs/remotes/origin`.
    let pushing = told(pushing, &hub);
    pushing.pre_push("work", &[], "").exits(0);
    pushing.git(&["remote", "set-url", "origin", &second]);
    let pushing = told(pushing, &second);
    for again in ["once", "twice"] {
        pushing.pre_push("work", &[], "").named(again).exits(30);
    }
    // Another address to push to is another remote.
    pushing.git(&["remote", "set-url", "origin", &hub]);
    pushing.git(&["remote", "set-url", "--push", "origin", &second]);
    pushing.pre_push("work", &[], "").exits(30);
    // Where nothing is here that it could be taken from, the remote said it.
    pushing.git(&["config", "--remove-section", "remote.origin"]);
    pushing.git(&["remote", "add", "other", &second]);
    let pushing = pushing.var("PRE_COMMIT_REMOTE_NAME", "other");
    for again in ["once", "twice"] {
        pushing.pre_push("work", &[], "").named(again).exits(0);
    }
}

#[test]
fn what_git_does_not_write_is_refused() {
    let pushing = pushing();
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let zeros = "0".repeat(40);
    for input in ["hello\n".to_owned(), format!("HEAD {head} refs/heads/main\n"), format!("{zeros}\n"), "\0".to_owned()]
    {
        let ran = pushing.pre_push("work", &["origin", "url"], &input);
        ran.exits(2).says("line 1 of the hook's input").says("--no-verify");
        assert_eq!(ran.stdout(), "");
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_clean() {
    let pushing = pushing();
    pushing.commit("a", "one\n");
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let zeros = "0".repeat(40);
    let line = |oid: &str| format!("HEAD {oid} refs/heads/new {zeros}\n");
    let refused = |pushing: &Pushing, directory: &str, oid: &str, says: &str| {
        let ran = pushing.pre_push(directory, &["origin", "url"], &line(oid));
        ran.exits(31).says(says).says("git push --no-verify");
        assert_eq!(ran.stdout(), "");
    };
    refused(&pushing, "home", &head, "repository");
    refused(&pushing, "work", &"ab".repeat(20), "not scanned");
    let blob = pushing.git(&["rev-parse", "HEAD:a"]);
    let object = pushing.path("work/.git/objects").join(&blob[..2]).join(&blob[2..]);
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&object, "garbage").unwrap();
    refused(&pushing, "work", &head, "scan");
    fs::remove_file(&object).unwrap();
    refused(&pushing, "work", &head, "scan");
}

/// Puts a program `git` in front of the real one.
fn instead_of_git(pushing: Pushing, script: &str) -> Pushing {
    let directory = pushing.path("bin");
    fs::create_dir_all(&directory).unwrap();
    let path = std::env::var("PATH").unwrap();
    let text = format!("#!/bin/sh\nPATH='{path}'\n{script}\nexec git \"$@\"\n");
    fs::write(directory.join("git"), text).unwrap();
    fs::set_permissions(directory.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{path}", directory.display());
    pushing.var("PATH", &path)
}

#[test]
fn a_git_that_dies_in_the_middle_never_reads_as_clean() {
    for (name, script) in [
        ("the list", "case \"$*\" in *rev-list*) git \"$@\" | head -c 50; kill -KILL $$ ;; esac"),
        (
            "the list, at a line end, without a sign",
            "case \"$*\" in *rev-list*) git \"$@\" | head -n 4; exit 0 ;; esac",
        ),
        ("all of the list but the tip", "case \"$*\" in *rev-list*) git \"$@\" | head -n 1; exit 0 ;; esac"),
        ("the list and what is said", "case \"$*\" in *rev-list*) git \"$@\" 2>&- | head -n 4; exit 0 ;; esac"),
        ("the whole list, without a sign", "case \"$*\" in *rev-list*) exit 0 ;; esac"),
        ("the list, at once", "case \"$*\" in *rev-list*) kill -KILL $$ ;; esac"),
        // These are read without git as far as they are not packed: as far as half of them here.
        ("the objects", "case \"$*\" in *cat-file*) git \"$@\" | head -c 700; kill -KILL $$ ;; esac"),
        ("the objects, without a sign", "case \"$*\" in *cat-file*) git \"$@\" | head -c 700; exit 0 ;; esac"),
        ("the objects, at once", "case \"$*\" in *cat-file*) kill -KILL $$ ;; esac"),
        ("the configuration", "case \"$*\" in *get-regexp*) kill -KILL $$ ;; esac"),
    ] {
        for packed in [10, 20] {
            let pushing = pushing();
            for number in 0..20 {
                if number == packed {
                    pushing.git(&["repack", "-q", "-a", "-d"]);
                }
                pushing.commit("a", format!("{number}\n").repeat(100));
            }
            if packed == 20 {
                pushing.git(&["repack", "-q", "-a", "-d"]);
            }
            let head = pushing.git(&["rev-parse", "HEAD"]);
            let line = format!("HEAD {head} refs/heads/new {}\n", "0".repeat(40));
            let pushing = instead_of_git(pushing, script);
            let ran = pushing.pre_push("work", &["origin", "url"], &line).named(&format!("{name}, {packed} packed"));
            ran.exits(31).says("git push --no-verify");
        }
    }
}

#[test]
fn what_was_made_just_now_is_read_without_git_and_what_is_packed_with_one() {
    // How many commits are packed, how many are not, and how many gits are asked for objects.
    for (packed, loose, gits) in [(0, 3, 0), (3, 0, 1), (3, 3, 1), (0, 100, 1)] {
        for leak in [None, Some(0), Some(packed), Some(packed + loose - 1)] {
            let name = format!("{packed} packed, {loose} not, {leak:?} leaks");
            let pushing = pushing();
            let base = pushing.git(&["rev-parse", "HEAD"]);
            for number in 0..packed + loose {
                let text = if leak == Some(number) { secret() } else { number.to_string() };
                pushing.commit("a", text);
                if number + 1 == packed {
                    pushing.git(&["repack", "-q", "-a", "-d"]);
                }
            }
            let head = pushing.git(&["rev-parse", "HEAD"]);
            let calls = pushing.path("calls");
            let script = format!("case \"$*\" in *cat-file*) echo >> '{}' ;; esac", calls.display());
            let pushing = instead_of_git(pushing, &script);
            let line = format!("HEAD {head} refs/heads/main {base}\n");
            let ran = pushing.pre_push("work", &["url", "url"], &line).named(&name);
            ran.exits(if leak.is_some_and(|leak| leak < packed + loose) { 30 } else { 0 });
            if leak.is_none() {
                assert_eq!(fs::read_to_string(&calls).unwrap_or_default().lines().count(), gits, "{name}");
            }
        }
    }
}

#[test]
fn what_few_commits_change_is_listed_without_a_walk_through_all_that_the_remote_has() {
    // How many commits, whether they are all that there is, and how often everything is listed.
    for (commits, begins, listed) in
        [(1, false, 0), (32, false, 0), (33, false, 1), (1, true, 0), (28, true, 0), (32, true, 1)]
    {
        for leak in [None, Some(0), Some(commits - 1)] {
            let name = format!("{commits} commits, {leak:?} leaks, begins: {begins}");
            let pushing = pushing();
            let base = pushing.git(&["rev-parse", "HEAD"]);
            for number in 0..commits {
                let text = if leak == Some(number) { secret() } else { number.to_string() };
                pushing.commit(&format!("directory-{number}/a"), text);
            }
            let head = pushing.git(&["rev-parse", "HEAD"]);
            let calls = pushing.path("calls");
            let script = format!("case \"$*\" in *'rev-list --objects'*) echo >> '{}' ;; esac", calls.display());
            let pushing = instead_of_git(pushing, &script);
            let old = if begins { "0".repeat(40) } else { base };
            let line = format!("HEAD {head} refs/heads/main {old}\n");
            let ran = pushing.pre_push("work", &["url", "url"], &line).named(&name);
            ran.exits(if leak.is_some() { 30 } else { 0 });
            if leak.is_none() {
                assert_eq!(fs::read_to_string(&calls).unwrap_or_default().lines().count(), listed, "{name}");
            }
        }
    }
}

#[test]
fn what_a_push_moves_or_brings_back_is_not_sent_and_not_its_leak() {
    let pushing = pushing();
    pushing.commit("old", secret());
    pushing.commit("one", "1\n");
    let old = pushing.git(&["rev-parse", "HEAD"]);
    let push = |name: &str, exit: i32| {
        let head = pushing.git(&["rev-parse", "HEAD"]);
        let line = format!("HEAD {head} refs/heads/main {old}\n");
        pushing.pre_push("work", &["url", "url"], &line).named(name).exits(exit);
    };
    pushing.git(&["mv", "old", "new"]);
    pushing.git(&["commit", "-q", "-m", "it is moved"]);
    push("moved", 0);
    pushing.git(&["rm", "-q", "new"]);
    pushing.git(&["commit", "-q", "-m", "it is gone"]);
    pushing.commit("again/there", secret());
    push("moved, removed and brought back", 0);
    pushing.commit("again/there", format!("{}\nchanged\n", secret()));
    push("changed", 30);
}

#[test]
fn a_list_of_changes_that_is_cut_off_never_reads_as_clean() {
    // Commits that lie in files of their own, up to what the remote has, are known; others git looks for.
    for (name, command, packs) in [("known", "diff-tree", false), ("looked for", "log", true)] {
        let pushing = pushing();
        let old = pushing.git(&["rev-parse", "HEAD"]);
        for number in 0..4 {
            if packs && number == 2 {
                pushing.git(&["repack", "-q", "-a", "-d"]);
            }
            pushing.commit(&format!("{number}/a"), number.to_string());
        }
        let head = pushing.git(&["rev-parse", "HEAD"]);
        let line = format!("HEAD {head} refs/heads/main {old}\n");
        // What comes behind the commits of a range, and ends it, is not needed as a whole.
        let shown = ["--format=%m %H %T %P", "-z", "--raw", "-r", "-t", "--no-abbrev", "--root"];
        let of_end = pushing.git(&[&["log"][..], &shown, &["-1", &old]].concat()).len();
        let (asked, listed) = (pushing.path("asked"), pushing.path("listed"));
        let script = format!(
            "case \"$*\" in\n*'{command}'*--raw*) read -r bytes end < '{}'; git \"$@\" > '{}'; head -c \"$bytes\" '{}'\n\
             [ \"$end\" = silent ] && exit 0; kill -KILL $$ ;;\n*'rev-list --objects'*) kill -KILL $$ ;;\nesac",
            asked.display(),
            listed.display(),
            listed.display()
        );
        let pushing = instead_of_git(pushing, &script);
        let cut_off = |bytes: usize, end: &str| {
            fs::write(&asked, format!("{bytes} {end}\n")).unwrap();
            pushing.pre_push("work", &["url", "url"], &line).named(&format!("{name}: {bytes} bytes, {end}"))
        };
        // It shows that it is all, whatever becomes of git then.
        cut_off(1_000_000, "killed").exits(0);
        cut_off(1_000_000, "silent").exits(0);
        let whole = fs::metadata(&listed).unwrap().len().try_into().unwrap_or(0);
        let needed = if packs { whole - of_end } else { whole };
        assert!(needed > 1_000, "{name}: {needed}");
        for end in ["silent", "killed"] {
            for bytes in (0..needed).step_by(97).chain([needed - 1]) {
                cut_off(bytes, end).exits(31).says("git push --no-verify");
            }
        }
    }
}

#[test]
fn what_is_merged_or_moved_is_looked_at_no_further_than_it_costs_nothing() {
    let large = "one more line\n".repeat(400_000);
    let packed = [&b"\x1f\x8b\x08"[..], &[0; 64]].concat();
    for (name, content, listed) in [
        ("small", b"1\n".to_vec(), 0),
        ("more than is looked at first", large.into_bytes(), 1),
        ("an archive that is broken", packed, 1),
    ] {
        let pushing = pushing();
        let name_of = |what: &str| pushing.git(&["rev-parse", what]);
        let old = name_of("HEAD");
        pushing.git(&["switch", "--quiet", "--create", "feature"]);
        pushing.commit("a", "1");
        pushing.git(&["switch", "--quiet", "main"]);
        pushing.commit("file", content);
        let main = name_of("HEAD");
        pushing.commit("b", "2");
        let more = name_of("HEAD");
        pushing.git(&["switch", "--quiet", "feature"]);
        pushing.git(&["merge", "--quiet", "--no-edit", &main]);
        let merged = name_of("HEAD");
        let calls = pushing.path("calls");
        let script = format!("case \"$*\" in *'rev-list --objects'*) echo >> '{}' ;; esac", calls.display());
        let pushing = instead_of_git(pushing, &script);
        // By the second line the remote has what was merged.
        let lines = format!("a {merged} refs/heads/feature {old}\nb {more} refs/heads/main {main}\n");
        pushing.pre_push("work", &["url", "url"], &lines).named(name).exits(0);
        assert_eq!(fs::read_to_string(&calls).unwrap_or_default().lines().count(), listed, "{name}");
    }
}

#[test]
fn much_that_was_made_just_now_is_left_to_git_and_not_held() {
    let pushing = pushing();
    let calls = pushing.path("calls");
    let line = |number: u32| {
        pushing.write("large", format!("{number}\n").repeat(200_000));
        let blob = pushing.git(&["hash-object", "-w", "large"]);
        format!("refs/tags/{number} {blob} refs/tags/{number} {}\n", "0".repeat(40))
    };
    let lines: String = (100..105).map(line).collect();
    let script = format!("case \"$*\" in *cat-file*) echo >> '{}' ;; esac", calls.display());
    let pushing = instead_of_git(pushing, &script);
    pushing.pre_push("work", &["url", "url"], &lines).exits(0);
    assert_eq!(fs::read_to_string(&calls).unwrap_or_default().lines().count(), 1);
}

#[test]
fn a_git_that_was_begun_for_nothing_is_stopped() {
    let pushing = pushing();
    pushing.commit("a", "1");
    pushing.git(&["repack", "-q", "-a", "-d"]);
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let line = format!("HEAD {head} refs/heads/new {}\n", "0".repeat(40));
    let pids = pushing.path("pids");
    // The configuration cannot be read once the objects are being listed and handed out.
    let script = format!(
        "pids='{}'\ncase \"$*\" in\n*rev-list*|*cat-file*) echo $$ >> \"$pids\"; exec sleep 60 ;;\n*get-regexp*) tries=0\n\
         while [ \"$(cat \"$pids\" 2>&- | wc -l)\" -lt 2 ] && [ $tries -lt 400 ]; do sleep 0.05; tries=$((tries + 1)); done\n\
         kill -KILL $$ ;;\nesac",
        pids.display()
    );
    let pushing = instead_of_git(pushing, &script);
    pushing.pre_push("work", &["url", "url"], &line).exits(31);
    let begun = fs::read_to_string(pids).unwrap();
    assert_eq!(begun.lines().count(), 2, "{begun}");
    for pid in begun.lines() {
        let alive = std::process::Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>&-")]).status().unwrap();
        assert!(!alive.success(), "{pid} still runs");
    }
}

#[test]
fn no_program_of_gits_configuration_runs() {
    let pushing = pushing();
    leak(&pushing);
    // An ignored file, a changed one and a staged one: whatever makes git look at the work tree.
    pushing.write("README", "changed\n");
    pushing.write("new", "new\n");
    let marker = pushing.path("marker");
    let program = pushing.path("home/program");
    let text = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\nexit 1\n", marker.display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    for name in [
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.gitProxy",
        "credential.helper",
        "diff.external",
        "diff.one.textconv",
        "diff.one.command",
        "filter.one.clean",
        "filter.one.smudge",
        "filter.one.process",
        "gpg.program",
        "interactive.diffFilter",
        "uploadpack.packObjectsHook",
    ] {
        pushing.git(&["config", name, program]);
    }
    for (name, value) in
        [("log.showSignature", "true"), ("core.fsmonitorHookVersion", "2"), ("core.untrackedCache", "true")]
    {
        pushing.git(&["config", name, value]);
    }
    fs::write(pushing.path("work/.git/info/attributes"), "* diff=one filter=one\n").unwrap();
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let zeros = "0".repeat(40);
    fs::remove_file(&marker).ok();
    pushing.pre_push("work", &["origin", "url"], &format!("HEAD {head} refs/heads/new {zeros}\n")).exits(30);
    for arguments in [&["leaks"][..], &["leaks", "--history"], &["leaks", "--range", "HEAD~1..HEAD"]] {
        pushing.xtask(arguments).exits(30);
    }
    assert_eq!(fs::read_to_string(&marker).unwrap_or_default(), "");
}

#[test]
fn a_git_that_is_missing_or_too_old_is_named() {
    let pushing = pushing();
    pushing.commit("a", "1");
    let head = pushing.git(&["rev-parse", "HEAD"]);
    let line = format!("HEAD {head} refs/heads/new {}\n", "0".repeat(40));
    let pushing = instead_of_git(
        pushing,
        "case \"$*\" in *rev-list*|*diff-tree*) echo 'error: unknown option `missing`' >&2; exit 129 ;; esac",
    );
    let ran = pushing.pre_push("work", &["origin", "url"], &line);
    ran.exits(31).says("too old").says("2.").says("git push --no-verify");
    let pushing = pushing.var("PATH", "/nowhere");
    let ran = pushing.pre_push("work", &["origin", "url"], &line);
    ran.exits(31).says("git").says("PATH").says("git push --no-verify");
}

#[test]
fn a_file_that_cannot_be_read_does_not_keep_the_push_from_being_scanned() {
    let pushing = pushing();
    leak(&pushing);
    for unreadable in ["directory", "garbage"] {
        let file = pushing.path("work/license.toml");
        let _ = fs::remove_file(&file);
        if unreadable == "directory" {
            fs::create_dir(&file).unwrap();
        } else {
            fs::remove_dir(&file).unwrap();
            fs::write(Path::new(&file), [0xff, 0xfe]).unwrap();
        }
        pushing.push(&["--dry-run", "origin", "main"]).stops(30);
    }
}
