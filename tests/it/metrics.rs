//! `status --metrics`: what Prometheus reads, judged by its own `promtool` where that is there.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use license_tests::{App, process::Running};
use serde_json::json;

use crate::{KEY, asking, good, good_but, in_days, saying};

/// The program that knows what Prometheus accepts, if this machine has it.
fn promtool() -> Option<PathBuf> {
    let promtool = std::env::var_os("LICENSE_TESTS_PROMTOOL").map(PathBuf::from);
    if promtool.is_none() {
        let why = "skipped: `LICENSE_TESTS_PROMTOOL` names no promtool\n";
        std::io::stderr().write_all(why.as_bytes()).unwrap();
    }
    promtool
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn promtool_accepts_the_metrics_of_good_bad_and_hostile_environments() {
    let app = App::reporting(json!({ "valid": true }));
    let yes = saying(&good_but(&json!({ "id": "lic\"1\\\n# x", "expiresAt": in_days(40) })));
    let project = asking(&yes)
        .health(&app, "20s")
        .tables("[environments.broken]\nauthority = \"to\"\ndomain = \"b.app.com\"\nkey = { env = \"MISSING\" }\n");
    let ran = project.run(&["status", "--all", "--metrics", "license.prom"]);
    ran.exits(3);
    let text = fs::read_to_string(project.path("license.prom")).unwrap();
    for line in [
        "license_validate_success{environment=\"production\"} 1",
        "license_validate_success{environment=\"broken\"} 0",
        "license_app_healthy{environment=\"production\"} 1",
        "license_rotation_state{environment=\"production\",state=\"idle\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    ran.never_shows(KEY);
    let Some(promtool) = promtool() else { return };
    let finished = Running::start_with_input(Command::new(promtool).args(["check", "metrics"]), &text).wait();
    assert_eq!((finished.code(), finished.stdout.as_str(), finished.stderr.as_str()), (0, "", ""), "{text}");
}

#[test]
fn promtool_accepts_the_sample_rules_and_they_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    for arguments in
        [["check", "rules", "docs/alerts.rules.yml"], ["test", "rules", "tests/cases/metrics/alerts.test.yml"]]
    {
        let finished = Running::start(Command::new(&promtool).args(arguments).current_dir(root())).wait();
        assert_eq!(finished.code(), 0, "{}{}", finished.stdout, finished.stderr);
    }
}

#[test]
fn every_metric_of_the_rules_is_written_and_documented() {
    let server = saying(&good());
    let project = asking(&server);
    project.run(&["status", "--metrics", "license.prom"]).exits(0);
    let page = fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    let source = fs::read_to_string(root().join("xtask/src/report/prometheus.rs")).unwrap();
    let rules = fs::read_to_string(root().join("docs/alerts.rules.yml")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        let mut names: Vec<_> = words
            .filter(|word| word.starts_with("license_") && *word != "license_id" && *word != "license_core")
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let written: Vec<String> =
        source.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    assert_eq!(written.len(), 10, "{written:?}");
    for name in names(&rules) {
        assert!(written.contains(&name), "{name}");
    }
    for name in written {
        assert!(page.contains(&format!("`{name}")), "{name} is not in docs/monitoring.md");
    }
}

#[test]
fn the_metrics_replace_the_old_ones_whole_and_a_node_exporter_may_read_them() {
    let server = saying(&good());
    let project = asking(&server).write("license.prom", b"old\n");
    project.run(&["status", "--metrics", "license.prom"]).exits(0);
    let path = project.path("license.prom");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# HELP license_") && text.ends_with('\n') && !text.contains("old"), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_hides_nothing() {
    let (good, bad) = (saying(&good()), saying(&json!({ "valid": false })));
    let (yes, no) = (asking(&good), asking(&bad));
    for project in [&yes, &no] {
        symlink("elsewhere", project.path("link.prom")).unwrap();
    }
    for (project, path, exit, why) in [
        (&yes, "missing/license.prom", 1, "there is no such file"),
        (&yes, ".", 1, "it is a directory"),
        (&yes, "link.prom", 1, "name a plain file"),
        (&yes, "/dev/null", 1, "name a plain file"),
        (&no, "missing/license.prom", 10, "there is no such file"),
    ] {
        let ran = project.run(&["status", "--metrics", path]);
        ran.exits(exit).says("the metrics cannot be written").says(why).says(path);
        // What was found is told all the same.
        ran.says("production");
    }
    assert!(fs::symlink_metadata(yes.path("link.prom")).unwrap().is_symlink());
}
