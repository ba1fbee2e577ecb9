//! A headless Chromium, driven over plain HTTP by the driver that comes with it, where both are installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use crate::{
    http::{self, agent},
    picture::Picture,
    process::Running,
};

/// What Chromium is started with: nothing of a person's, and no network of its own accord.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
];

/// A browser with one page, which is closed with the value.
#[derive(Debug)]
pub struct Browser {
    _driver: Running,
    agent: Agent,
    session: String,
    _profile: TempDir,
}

/// The color scheme that a person prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Its name in CSS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A page is laid out after so many paintings of all of it.
const UNROLLS_MAX: u32 = 8;
/// How high a screen is, in CSS pixels.
const SCREEN_HEIGHT: u32 = 900;
/// A narrower screen is a phone's.
const PHONE_WIDTH_MAX: u32 = 600;

fn screen(width: u32, height: &Value) -> Value {
    json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= PHONE_WIDTH_MAX })
}

/// The browser and its driver, which stands beside it; or why there is none.
fn programs() -> Result<(PathBuf, PathBuf), String> {
    let chromium = std::env::var_os("LICENSE_TESTS_CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let chromium = chromium.ok_or("`LICENSE_TESTS_CHROMIUM` names no Chromium")?;
    let driver = chromium.with_file_name("chromedriver");
    if driver.exists() { Ok((chromium, driver)) } else { Err(format!("there is no `{}`", driver.display())) }
}

/// Why there is no browser here, if so.
pub fn missing() -> Option<String> {
    programs().err()
}

impl Browser {
    /// Starts one with a profile of its own.
    pub fn start() -> Self {
        let (chromium, driver) = programs().unwrap();
        let profile = TempDir::with_prefix("chromium-").unwrap();
        let mut command = Command::new(driver);
        command.arg("--port=0").env("HOME", profile.path()).env("XDG_CONFIG_HOME", profile.path());
        let mut driver = Running::start(&mut command);
        let started = "ChromeDriver was started successfully on port ";
        driver.until("the driver listens", |driver| driver.stdout().contains(started));
        let said = driver.stdout();
        let port = said.split(started).nth(1).unwrap().split('.').next().unwrap().to_owned();
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let options = json!({ "binary": chromium, "args": flags });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let body = json!({ "capabilities": { "alwaysMatch": wanted } });
        let agent = agent();
        let base = format!("http://127.0.0.1:{port}/session");
        let reply = http::send(&agent, "POST", &base, None, Some(&body)).expect("the driver answers").json();
        let id = reply["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {reply}"));
        Self { _driver: driver, agent, session: format!("{base}/{id}"), _profile: profile }
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&self, file: &Path) {
        self.post("url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Sets the width of the screen, in CSS pixels, and the scheme.
    pub fn look(&self, width: u32, scheme: Scheme) {
        self.tell("Emulation.setDeviceMetricsOverride", &screen(width, &json!(SCREEN_HEIGHT)));
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.name() });
        self.tell("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// What a function body returns within the page.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Makes the screen as high as the page, so that all of it is laid out and painted.
    pub fn unroll(&self, width: u32) {
        let mut painted = Vec::new();
        for _ in 0..UNROLLS_MAX {
            let height = self.run("return document.documentElement.scrollHeight");
            self.tell("Emulation.setDeviceMetricsOverride", &screen(width, &height));
            // What comes into view is laid out, higher or lower than it was taken to be, when it is painted.
            let now = self.paint();
            if now == painted {
                return;
            }
            painted = now;
        }
        panic!("the page is another each of {UNROLLS_MAX} times that it is painted");
    }

    /// A picture of what is on the screen, which is kept in the file.
    pub fn picture(&self, file: &Path) -> Picture {
        let bytes = self.paint();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, &bytes).unwrap();
        Picture::of_png(&bytes)
    }

    fn paint(&self) -> Vec<u8> {
        let picture = self.tell("Page.captureScreenshot", &json!({ "format": "png" }));
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// What the console has heard since it was asked last.
    pub fn console(&self) -> Vec<Value> {
        self.post("se/log", &json!({ "type": "browser" })).as_array().unwrap().clone()
    }

    fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let reply = http::send(&self.agent, "POST", &format!("{}/{path}", self.session), None, Some(body));
        let reply = reply.unwrap_or_else(|| panic!("{path}: no answer"));
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        http::send(&self.agent, "DELETE", &self.session, None, None);
    }
}
