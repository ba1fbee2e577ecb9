//! Tells an incoming webhook that takes Slack's messages: Slack, Mattermost, and Discord under `/slack`.

use license_core::alert::Severity;
use serde_json::{Value, json};

use super::{
    Message, Missed, News, Tried,
    http::{Body, Post},
    words,
};
use crate::signals::Signals;

/// Tells it. Accepted is what is answered with 200 and `ok`: a page of somebody in between is not.
pub(super) fn tell(post: &Post, message: &Message, signals: &Signals) -> Tried {
    let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    match post.send(headers, document(message).to_string().into_bytes(), Body::Read, signals) {
        Ok(answer) if answer.status == 200 && answer.text().trim() == "ok" => Tried::Accepted,
        Ok(answer) if answer.is_success() => Tried::Refused(Missed::perhaps(
            format!("{} answered {} without the `ok` of an incoming webhook", post.whom(), answer.status),
            format!("see whether {} holds the address of an incoming webhook", post.from()),
        )),
        Ok(answer) => post.refused(&answer),
        Err(tried) => tried,
    }
}

/// The message: the line for the notification, and an attachment, which every one of them shows.
pub(super) fn document(message: &Message) -> Value {
    let headline = escaped(&words::headline(message));
    let field =
        |(name, text): (&str, String)| json!({ "title": name, "value": escaped(&text), "short": text.len() < 40 });
    json!({
        "text": headline,
        "attachments": [{
            "fallback": headline,
            "color": color(message),
            "fields": words::details(message).into_iter().map(field).collect::<Vec<_>>(),
        }],
    })
}

fn color(message: &Message) -> &'static str {
    match (message.news, words::loudness(message)) {
        (News::Over(_), _) => "#2e7d32",
        (News::Test, _) => "#757575",
        (News::Stands, Severity::Info) => "#1565c0",
        (News::Stands, Severity::Warning) => "#ef6c00",
        (News::Stands, Severity::Critical) => "#c62828",
    }
}

/// Text that is nothing but text: no links, and nobody is called by it. Mattermost and Discord call whoever stands
/// behind an `@`.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{200b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_links_nowhere_and_calls_nobody() {
        assert_eq!(escaped("<!channel> <http://a|b> & @all"), "&lt;!channel&gt; &lt;http://a|b&gt; &amp; @\u{200b}all");
    }
}
