//! `rotate` and the files that it writes: their readers stay their readers, and what cannot be kept is said before
//! anything changes.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use license_tests::{Rotating, rotating::IDENTITY, sealed};

use crate::{BINARY, authority};

/// Somebody who is not the user of the tests, and a group of that number.
const OTHER: u32 = 1000;

fn rotating() -> Rotating {
    Rotating::start(BINARY, authority(&[]))
}

/// Whether a program can be run here; else a line says that the test is skipped.
fn can(program: &str, arguments: &[&str]) -> bool {
    let ran = Command::new(program).args(arguments).output();
    let why = match ran {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skipped(&format!("`{program} {}`: {why}", arguments.join(" ")));
    false
}

fn skipped(why: &str) {
    io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// Who a file belongs to, and who may read it.
fn access(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
}

#[test]
fn whoever_read_the_old_key_can_read_the_new_one() {
    let sealed_store = "[stores.sealed]\nkind = \"age\"\nfile = \"key.age\"\n";
    let rotating = rotating().with(|project| project.tables(sealed_store).line("stores", r#"["second", "sealed"]"#));
    let sealed = sealed::seal(IDENTITY, &format!("{}\n", rotating.license.key));
    fs::write(rotating.project.path("key.age"), sealed).unwrap();
    let files = [(".env", 0o640), (".env.second", 0o604), ("key.age", 0o644)];
    for (file, mode) in files {
        let path = rotating.project.path(file);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        // Root alone can, and then rotates for others.
        let _ = chown(&path, Some(OTHER), Some(OTHER));
    }
    let before = files.map(|(file, _)| access(&rotating.project.path(file)));
    rotating.project.rotate(&[]).exits(0);
    rotating.stores_hold(&rotating.newest_key());
    assert_eq!(files.map(|(file, _)| access(&rotating.project.path(file))), before);
}

#[test]
fn an_owner_or_a_group_that_cannot_be_kept_is_20_before_anything_changes() {
    // Root that may not give files away, as in many containers.
    const WITHOUT_CHOWN: &str = "--bounding-set=-chown";
    if !can("setpriv", &[WITHOUT_CHOWN, "true"]) {
        return;
    }
    for (uid, gid, says, next) in [
        (OTHER, 0, "its owner (the user 1000) cannot be kept", "run this as the user 1000 or as root"),
        (0, OTHER, "its group (1000) cannot be kept", "run this as a member of the group 1000 or as root"),
    ] {
        let rotating = rotating();
        let file = rotating.project.path(".env.second");
        if let Err(error) = chown(&file, Some(uid), Some(gid)) {
            return skipped(&format!("this user cannot give files away: {error}"));
        }
        let before = (access(&file), rotating.project.stored());
        let ran = rotating.project.run_under("setpriv", &[WITHOUT_CHOWN.to_owned()], &["rotate", "production"]);
        ran.named(says).exits(20).says("store `second` is not ready, and nothing was changed").says(says).says(next);
        assert_eq!((access(&file), rotating.project.stored()), before, "{says}");
        assert_eq!((rotating.rotations(), rotating.project.escrowed().len()), (0, 0), "{says}");
    }
}

/// As `docker run -v ./.env:/app/.env` and a `subPath` of Kubernetes have it.
#[test]
fn a_file_that_is_mounted_alone_is_20_before_anything_changes() {
    let Some(unshare) = may_mount() else { return };
    let rotating = rotating().with(|project| project.may_hold(&["mounted"]));
    fs::copy(rotating.project.path(".env"), rotating.project.path("mounted")).unwrap();
    let before = rotating.project.stored();
    let ran = rotating.project.run_under("unshare", &mounting(unshare), &["rotate", "production"]);
    ran.exits(20).says("store `key` is not ready, and nothing was changed").says("it is mounted as a single file");
    ran.says("help: mount the directory that it is in, instead of the file alone");
    let listed = rotating.project.run_under("unshare", &mounting(unshare), &["store", "list", "--probe"]);
    listed.exits(27).says("it is mounted as a single file").says("next: mount the directory that it is in");
    assert_eq!(rotating.project.stored(), before);
    assert_eq!((rotating.rotations(), rotating.project.escrowed().len()), (0, 0));
}

/// How `unshare` gives this user a place to mount in, which nobody else sees; none where it cannot be had.
fn may_mount() -> Option<&'static [&'static str]> {
    let options: &'static [&'static str] =
        if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let trial = ["sh", "-c", "mount --bind /etc/hostname /etc/hostname"];
    can("unshare", &[options, &trial].concat()).then_some(options)
}

/// What `unshare` runs before the program: `mounted` lies over `.env` then.
fn mounting(options: &[&str]) -> Vec<String> {
    let script = r#"mount --bind mounted .env && exec "$@""#;
    [options, &["sh", "-c", script]].concat().into_iter().map(str::to_owned).collect()
}
