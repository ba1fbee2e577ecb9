//! Neither the old key nor the new one, nor a token, nor the identity appears anywhere when a key is rotated.

use std::fs;

use license_tests::{
    Answer, GithubApi, Hub, Project, RawServer, Request, VaultApi, failpoints, forms,
    github_api::{GITHUB_TOKEN, On, Trouble},
    rotating::IDENTITY,
    sealed, strace,
    vault_api::{Engine, VAULT_TOKEN, VaultOn, VaultTrouble, errors},
};
use serde_json::json;

use crate::{
    BINARY, good,
    store::{GIVES_AND_TAKES, MINE, with_helper},
};

/// The API token. What is searched for in the arguments of all processes is no other test's.
const TOKEN: &str = "to_live_R0tat3+7/Marker=never5hown";

/// The key that is rotated away.
const KEY: &str = "TO-PRD-2Jb/5+Older=W8s3Tests";

/// The key that takes the marker's place; it is a marker too.
const NEW_KEY: &str = "TO-PRD-4Fd/8+Newer=M6r1Tests";

/// The path of a rotation.
const ROTATE: &str = "/api/v1/licenses/rotate";

/// A server that accepts every key, and answers every rotation so.
fn rotating_server(answer: Answer) -> RawServer {
    RawServer::answering(move |request: &Request| match request.path.as_str() {
        ROTATE => answer.clone(),
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({ "message": format!("{:?}", request.header("authorization")) })),
    })
}

/// A project that can be rotated, with markers everywhere, and that waits little.
fn rotatable(server: &RawServer) -> Project {
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url()).var("TO_API_KEY", TOKEN);
    project.line("license", r#""lic_1""#).rotatable(KEY).impatient()
}

#[test]
fn no_secret_is_shown_by_a_rotation_whatever_the_authority_does() {
    let all = json!({ "code": NEW_KEY, "message": format!("{KEY} {TOKEN}"), "error": TOKEN });
    let location = format!("http://127.0.0.1:9/?{}", forms::percent(&format!("{NEW_KEY}&{TOKEN}")));
    let rows = [
        ("yes", 0, Answer::json(200, &json!({ "newKey": NEW_KEY, "licenseId": KEY, "expiresAt": NEW_KEY }))),
        (
            "yes, and the token",
            0,
            Answer::json(200, &json!({ "newKey": NEW_KEY, "licenseId": TOKEN, "expiresAt": KEY })),
        ),
        ("an unknown shape", 23, Answer::json(200, &json!({ "fresh": NEW_KEY, "old": KEY, "token": TOKEN }))),
        ("a page", 23, Answer::text(200, "text/html", &format!("<html>{NEW_KEY} {KEY} {TOKEN}</html>"))),
        ("half of an answer", 21, Answer::Half { body: format!("{{\"newKey\":\"{NEW_KEY}"), of: 200 }),
        ("a refusal", 20, Answer::json(403, &all)),
        ("an error", 21, Answer::json(500, &all)),
        ("a redirect", 21, Answer::with_headers(302, &[("location", &location)], KEY)),
    ];
    for (name, exit, answer) in rows {
        for format in ["human", "json"] {
            let server = rotating_server(answer.clone());
            let project = rotatable(&server);
            let look = |arguments: &[&str]| {
                let ran = project.run(arguments).named(name);
                for secret in [KEY, NEW_KEY, TOKEN, IDENTITY] {
                    ran.never_shows(secret);
                }
                ran
            };
            look(&["rotate", "production", "--format", format]).exits(exit);
            look(&["rotate", "production", "--plan", "--format", format]).exits(0);
            look(&["rotate", "production", "--resume", "--format", format]);
            look(&["audit", "show", "production"]).exits(0);
            look(&["audit", "verify", "production"]).exits(0);
            look(&["escrow", "show"]).exits(0);
            look(&["store", "list"]).exits(0);
            look(&["deploy", "production", "--format", format]).exits(0);
        }
    }
}

/// On GitHub a new key is masked before anything else could show it, and stands nowhere but in its mask.
#[test]
fn on_github_a_new_key_stands_in_its_mask_alone() {
    let server = rotating_server(Answer::json(200, &json!({ "newKey": NEW_KEY })));
    let project = rotatable(&server)
        .top("[trail]\nkind = \"file\"\nephemeral = \"accepted\"\n")
        .var("GITHUB_ACTIONS", "true")
        .var("CI", "true");
    let summary = project.path("summary.md");
    let project = project.var("GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    let ran = project.run(&["rotate", "production"]);
    ran.exits(0);
    assert_eq!(project.stored(), [NEW_KEY, NEW_KEY]);
    let (masks, rest): (Vec<_>, Vec<_>) = ran.stderr().lines().partition(|line| line.starts_with("::add-mask::"));
    let first = ran.stderr().lines().position(|line| line.contains(NEW_KEY)).unwrap();
    assert_eq!(ran.stderr().lines().nth(first).unwrap(), format!("::add-mask::{NEW_KEY}"));
    assert!(masks.contains(&format!("::add-mask::{KEY}").as_str()), "{masks:?}");
    let texts = [ran.stdout().to_owned(), rest.join("\n"), project.trail_text("production")];
    let summary = fs::read_to_string(summary).unwrap_or_default();
    let sealed = project
        .escrowed()
        .into_iter()
        .map(|name| fs::read_to_string(project.path(&format!(".license/escrow/production/{name}"))).unwrap());
    for text in texts.into_iter().chain([summary]).chain(sealed) {
        for (name, form) in [KEY, NEW_KEY, TOKEN, IDENTITY].into_iter().flat_map(forms::of) {
            assert!(!text.contains(&form), "a secret stands {name} in\n{text}");
        }
    }
}

/// A helper gets the key on its stdin. Nobody gets it, or anything else that is secret, in another way.
#[test]
fn a_rotation_puts_no_secret_into_arguments_or_into_the_environment_of_helpers() {
    let server = rotating_server(Answer::json(200, &json!({ "newKey": NEW_KEY })));
    let project = rotatable(&server).may_hold(&["kept"]);
    let seen = project.seen();
    let look = format!(
        "seen='{}'\nenv >> \"$seen/env\"\n\
         for one in /proc/[0-9]*; do tr '\\000' ' ' < \"$one/cmdline\" 2>/dev/null || true; echo; done >> \"$seen/all\"\n",
        seen.display()
    );
    let get = r#"[ -e kept ] || exit 3; read -r key < kept; printf '{"key":"%s"}\n' "$key""#;
    let put = r#"cat | sed 's/.*"key":"\([^"]*\)".*/\1/' > kept; echo '{}'"#;
    let capabilities = r#"echo '{"protocol":1,"get":true,"put":true,"versions":false}'"#;
    fs::create_dir(project.path("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", project.path("bin/license-store-mine")).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("bin").display());
    let project = [("capabilities", capabilities), ("get", get), ("put", put)]
        .into_iter()
        .fold(project, |project, (verb, script)| project.write(verb, format!("{look}{script}\n").as_bytes()))
        .var("PATH", &path)
        .tables("[stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\n")
        .line("stores", r#"["second", "mine"]"#)
        // Of the two ways to give the key this is the one that children could inherit.
        .line("key", r#"{ env = "LICENSE_KEY" }"#)
        .key(KEY);
    let ran = project.run(&["rotate", "production"]);
    ran.exits(0);
    for secret in [KEY, NEW_KEY, TOKEN, IDENTITY] {
        ran.never_shows(secret);
    }
    assert_eq!(fs::read_to_string(project.path("kept")).unwrap().trim(), NEW_KEY, "the helper got the key");
    let (all, env) = (project.trace("all"), project.trace("env"));
    assert!(all.contains("rotate production"), "the processes were not seen");
    assert!(env.contains("PATH="), "the environment was not seen: {env}");
    // Only the line that is wrong is shown: the others are other people's.
    for (name, form) in [KEY, NEW_KEY, TOKEN, IDENTITY].into_iter().flat_map(forms::of) {
        for (place, text) in [("an argument", &all), ("the environment of a helper", &env)] {
            let found = text.lines().find(|line| line.contains(&form));
            assert_eq!(found, None, "a secret stands {name} in {place}");
        }
    }
}

/// A project with a store of every kind that takes keys, each of which fails and repeats what it was given.
struct EveryStore {
    project: Project,
    vault: VaultApi,
    github: GithubApi,
}

const EVERY_SECRET: [&str; 6] = [KEY, NEW_KEY, TOKEN, IDENTITY, VAULT_TOKEN, GITHUB_TOKEN];

impl EveryStore {
    fn of(server: &RawServer) -> Self {
        let (vault, github) = (VaultApi::start(Engine::V2, "secret"), GithubApi::start(&[("acme/app", "production")]));
        let tables = format!(
            "[stores.sealed]\nkind = \"age\"\nfile = \"key.age\"\n\
             [stores.vault]\nkind = \"vault\"\nurl = {:?}\npath = \"app\"\ntoken = {{ env = \"VAULT_TOKEN\" }}\n\
             [stores.github]\nkind = \"github\"\nurl = {:?}\nrepository = \"acme/app\"\nname = \"LICENSE_KEY\"\n\
             token = {{ env = \"GH_SECRETS_TOKEN\" }}\n\
             [stores.mine]\nkind = \"command\"\ncommand = [\"license-store-mine\"]\n",
            vault.url(),
            github.url(),
        );
        let project = rotatable(server).may_hold(&["kept"]);
        fs::create_dir(project.path("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", project.path("bin/license-store-mine")).unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("bin").display());
        let capabilities = r#"echo '{"protocol":1,"get":true,"put":true,"versions":false}'"#;
        let get = r#"[ -e kept ] || exit 3; read -r key < kept; printf '{"key":"%s"}\n' "$key""#;
        let put = r#"sed 's/.*"key":"\([^"]*\)".*/\1/' > kept; cat kept >&2; echo '{}'"#;
        let project = [("capabilities", capabilities), ("get", get), ("put", put)]
            .into_iter()
            .fold(project, |project, (verb, script)| project.write(verb, format!("{script}\n").as_bytes()))
            .write("key.age", &sealed::seal(IDENTITY, &format!("{KEY}\n")))
            .var("PATH", &path)
            .var("VAULT_TOKEN", VAULT_TOKEN)
            .var("GH_SECRETS_TOKEN", GITHUB_TOKEN)
            .tables(&tables)
            .line("stores", r#"["second", "sealed", "vault", "github", "mine"]"#);
        Self { project, vault, github }
    }

    fn fail(&self) {
        // What it holds, what it was given, and by whom.
        let words = |token: &str| format!("{KEY} {NEW_KEY} {token}");
        self.vault.fail(VaultOn::Write, VaultTrouble::Answer(errors(500, &[&words(VAULT_TOKEN)])));
        let no = Answer::json(422, &json!({ "message": words(GITHUB_TOKEN) }));
        self.github.fail(On::Write, Trouble::Answer(no));
    }

    fn heal(&self) {
        self.vault.heal();
        self.github.heal();
    }

    #[track_caller]
    fn all_hold(&self, key: &str) {
        assert_eq!(self.project.stored(), [key, key]);
        let sealed = fs::read(self.project.path("key.age")).unwrap();
        assert_eq!(sealed::open(IDENTITY, &sealed).unwrap().trim_end(), key);
        assert_eq!(self.vault.secret("app").unwrap()["key"], key);
        assert_eq!(self.github.secret("acme/app", "production", "LICENSE_KEY").as_deref(), Some(key));
        assert_eq!(fs::read_to_string(self.project.path("kept")).unwrap().trim(), key);
    }
}

#[track_caller]
fn shows_nothing(ran: &license_tests::Ran) {
    for secret in EVERY_SECRET {
        ran.never_shows(secret);
    }
}

#[test]
fn no_secret_is_shown_by_a_store_of_any_kind_in_any_way_to_rotate() {
    for format in ["human", "json"] {
        let server = rotating_server(Answer::json(200, &json!({ "newKey": NEW_KEY })));
        let every = EveryStore::of(&server);
        let look = |rest: &[&str], exit: i32| {
            shows_nothing(every.project.rotate(&[&["--format", format], rest].concat()).exits(exit));
        };
        every.fail();
        look(&[], 24);
        look(&["--resume"], 24);
        every.heal();
        look(&["--resume"], 0);
        every.all_hold(NEW_KEY);
        every.fail();
        look(&["--rollback"], 24);
        every.heal();
        look(&["--rollback"], 0);
        every.all_hold(KEY);
        look(&["--resume"], 0);
        every.all_hold(NEW_KEY);
        for arguments in [&["store", "list", "--probe"][..], &["escrow", "show"], &["audit", "show", "production"]] {
            shows_nothing(every.project.run(arguments).exits(0));
        }

        let server = rotating_server(Answer::json(500, &json!({ "error": EVERY_SECRET.join(" ") })));
        let every = EveryStore::of(&server);
        shows_nothing(every.project.rotate(&["--format", format]).exits(21));
        shows_nothing(every.project.adopt(&format!("{NEW_KEY} {TOKEN}")).exits(2));
        every.fail();
        shows_nothing(every.project.adopt(NEW_KEY).exits(24));
        every.heal();
        shows_nothing(every.project.rotate(&["--resume", "--format", format]).exits(0));
        every.all_hold(NEW_KEY);
    }
}

/// What the kernel is told of every program that a rotation starts, git and a helper among them: arguments and
/// environment.
#[test]
fn no_program_that_a_rotation_starts_gets_a_secret() {
    if let Some(why) = strace::missing() {
        std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}\n").as_bytes()).unwrap();
        return;
    }
    let server = rotating_server(Answer::json(200, &json!({ "newKey": NEW_KEY })));
    let hub = Hub::new();
    let EveryStore { project, vault: _vault, github: _github } = EveryStore::of(&server);
    // Of the two ways to give the key this is the one that children could inherit.
    let project = hub.shared_by(project).line("key", r#"{ env = "LICENSE_KEY" }"#).key(KEY);
    let directory = tempfile::TempDir::with_prefix("trace-").unwrap();
    let file = directory.path().join("trace");
    let options = ["-f", "-qq", "-v", "-s", "100000", "-e", "trace=execve", "-o", file.to_str().unwrap()];
    let ran = project.run_under("strace", &options.map(str::to_owned), &["rotate", "production"]);
    shows_nothing(ran.exits(0));
    let trace = fs::read_to_string(&file).unwrap();
    // The first is the program itself.
    let started: Vec<&str> = trace.lines().skip(1).collect();
    for name in ["license-store-mine", "/git\""] {
        assert!(started.iter().any(|line| line.contains(name)), "{name} was not seen");
    }
    assert!(trace.lines().next().unwrap().contains(TOKEN), "environments were not seen");
    for (name, form) in EVERY_SECRET.into_iter().flat_map(forms::of) {
        let found = started.iter().find(|line| line.contains(&form));
        assert_eq!(found, None, "a secret stands {name}");
    }
}

/// A helper speaks of the key that it holds while it is given another one.
#[test]
fn no_key_that_a_helper_speaks_of_is_shown_by_a_rotation() {
    // Keys without a form: they are hidden because they are known.
    let (old, new) = ("older-9Zq7+Marker=K3y4Tests", "newer-4Fd8+Marker=M6r1Tests");
    let put = "old=$(cat kept); cat | sed 's/.*\"key\":\"\\([^\"]*\\)\".*/\\1/' > kept; \
               echo \"replacing $old by $(cat kept)\" >&2; echo '{}'";
    let fails = format!("{put}\necho \"lost $old\" >&2; exit 6");
    let get = r#"read -r key < kept; echo "holding $key" >&2; printf '{"key":"%s"}\n' "$key""#;
    for (put, exit) in [(put, 0), (&fails, 0)] {
        for format in ["human", "json"] {
            let server = rotating_server(Answer::json(200, &json!({ "newKey": new })));
            let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url()).var("TO_API_KEY", TOKEN);
            let project = project.line("license", r#""lic_1""#).rotatable(old).impatient().tables(MINE);
            let project = project.line("stores", r#"["second", "mine"]"#).may_hold(&["kept"]);
            let project = project.write("kept", format!("{old}\n").as_bytes());
            let project = with_helper(project, &[("capabilities", GIVES_AND_TAKES), ("get", get), ("put", put)]);
            let ran = project.run(&["rotate", "production", "--format", format]);
            ran.exits(exit).says("mine: replacing *** by ***").never_shows(old).never_shows(new);
        }
    }
}

/// What is not given is not known, and is hidden by its form.
#[test]
fn a_key_that_a_failed_helper_speaks_of_is_not_in_the_error_of_a_rotation() {
    let server = rotating_server(Answer::json(200, &json!({ "newKey": NEW_KEY })));
    let other = "TO-PRD-7Hk/2+Third=B5v9Tests";
    let get = format!("echo 'no connection for {other}' >&2; exit 6");
    let project = rotatable(&server).tables(MINE).line("stores", r#"["second", "mine"]"#).may_hold(&["get"]);
    let project = with_helper(project, &[("capabilities", GIVES_AND_TAKES), ("get", &get)]);
    for format in ["human", "json"] {
        let ran = project.run(&["rotate", "production", "--format", format]);
        ran.says("no connection for ***").never_shows(other);
    }
}
