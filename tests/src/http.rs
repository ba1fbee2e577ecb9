//! A small client, to talk to authorities in the tests.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;
use ureq::{Agent, http};

/// No call takes longer.
const CALL_SECS_MAX: u64 = 60;

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A client: redirects are not followed, and a status is never an error.
pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(CALL_SECS_MAX)))
        .proxy(None)
        .build()
        .into()
}

/// One request; `None` when no whole answer came.
pub fn send(agent: &Agent, method: &str, url: &str, token: Option<&str>, body: Option<&Value>) -> Option<Reply> {
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = match body {
        None => agent.run(request.body(()).unwrap()),
        Some(body) => {
            let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
            agent.run(agent.configure_request(request).allow_non_standard_methods(true).build())
        }
    };
    let mut answer = answer.ok()?;
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string().ok()?;
    Some(Reply { status, headers, body })
}

/// Sends bytes as they are to the host of a URL, and gives whatever comes back until the other side closes.
pub fn send_bytes(url: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(host(url)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(CALL_SECS_MAX))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The `host:port` of a URL.
pub fn host(url: &str) -> &str {
    url.split("://").nth(1).unwrap().split('/').next().unwrap()
}

/// The path of a URL.
pub fn path(url: &str) -> &str {
    url.split("://").nth(1).unwrap().split_once('/').map_or("", |(_, path)| path)
}
