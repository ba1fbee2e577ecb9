//! Tells the workflow run that we are a part of.

use license_core::alert::Over;

use super::{Message, Missed, News, Tried, words};
use crate::{console, context::Platform, report::github};

/// Writes an annotation on GitHub Actions, and a line anywhere else. Both go to stderr, as all annotations do: stdout
/// may hold a document.
pub(super) fn tell(platform: Platform, message: &Message) -> Tried {
    let headline = words::headline(message);
    let text = match platform {
        Platform::GithubActions => {
            let next = words::details(message).into_iter().find(|(name, _)| *name == "next");
            let whole = next.map_or_else(|| headline.clone(), |(_, next)| format!("{headline}\nnext: {next}"));
            let title = format!("license of {}", message.environment);
            match message.news {
                News::Stands => github::alert(words::loudness(message), &title, &whole),
                News::Over(Over::Gone | Over::Overtaken) | News::Test => github::notice(&title, &whole),
            }
        }
        Platform::Other => format!("alert: {headline}\n"),
    };
    match console::tell_people(&text) {
        Ok(()) => Tried::Accepted,
        Err(error) => Tried::Refused(Missed::new(
            format!("stderr cannot be written: {error}"),
            "see where the output of this run goes",
        )),
    }
}
