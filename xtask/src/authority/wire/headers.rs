//! The headers of an answer that mean something to us.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use license_core::license::Deprecated;

use super::facts::EPOCH_SECS_MIN;

/// What the headers say, parsed. A header that cannot be read counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Headers {
    /// The authority's time when the answer was sent: `Date`, and the `Age` of an answer from a cache (RFC 9111 §5.1).
    pub(crate) sent_at: Option<Timestamp>,
    /// `Retry-After` (RFC 9110 §10.2.3).
    pub(crate) retry_after: Option<Moment>,
    /// `X-RateLimit-Remaining`: how many requests are left.
    pub(crate) rate_remaining: Option<u64>,
    /// `X-RateLimit-Reset`: when there will be more.
    pub(crate) rate_reset: Option<Moment>,
    /// `Sunset` (RFC 8594): the end of the grace of a key that has been rotated away.
    pub(crate) sunset: Option<Timestamp>,
    /// `Deprecation` (RFC 9745, and the drafts before it): the same mark, without an end.
    pub(crate) deprecation: Option<Deprecated>,
    /// Whether `Link` (RFC 8288) names a next page.
    pub(crate) next_page: bool,
    /// `Location`, as it was sent: where a redirect leads.
    pub(crate) location: Option<String>,
    /// Whether `Content-Type` says HTML.
    pub(crate) html: bool,
}

/// A point in time, as headers give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long after the answer.
    In(Duration),
    /// At this time of the authority's clock.
    At(Timestamp),
}

impl Headers {
    /// Reads the headers; the lookup ignores the case of names.
    pub(crate) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let age = header("age").and_then(digits).and_then(|secs| i64::try_from(secs).ok());
        Self {
            sent_at: header("date")
                .and_then(http_date)
                .and_then(|date| date.checked_add(SignedDuration::from_secs(age.unwrap_or(0))).ok()),
            retry_after: header("retry-after").and_then(retry_after),
            rate_remaining: header("x-ratelimit-remaining").and_then(digits),
            rate_reset: header("x-ratelimit-reset").and_then(rate_reset),
            sunset: header("sunset").and_then(http_date),
            deprecation: header("deprecation").and_then(deprecation),
            next_page: header("link").is_some_and(names_a_next_page),
            location: header("location").map(str::to_owned),
            html: header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("html")),
        }
    }

    /// How far the clock of whoever answered is ahead of ours, where it told its time. Good to about a second.
    pub(crate) fn ahead(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(self.sent_at?.duration_since(now))
    }

    /// How long to wait before the same request is worth sending again, after an answer that brought no verdict.
    pub(crate) fn wait_after_failure(&self, now: Timestamp) -> Option<Duration> {
        self.retry_after.or(self.rate_reset).map(|moment| self.until(moment, now))
    }

    /// How long to wait after an answer that used up the last request of a rate limit.
    pub(crate) fn wait_after_answer(&self, now: Timestamp) -> Option<Duration> {
        match self.rate_remaining {
            Some(0) => self.rate_reset.map(|moment| self.until(moment, now)),
            Some(1..) | None => None,
        }
    }

    /// The authority's times are compared with its own clock where it told it, so that a skew does not count.
    fn until(&self, moment: Moment, now: Timestamp) -> Duration {
        match moment {
            Moment::In(time) => time,
            Moment::At(at) => at.duration_since(self.sent_at.unwrap_or(now)).try_into().unwrap_or(Duration::ZERO),
        }
    }
}

/// An HTTP date, as RFC 9110 §5.6.7 has it.
fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text.trim()).ok()?).ok()
}

/// A date of structured fields, `@1688169599`; the drafts had an HTTP date or `true`.
fn deprecation(text: &str) -> Option<Deprecated> {
    let text = text.trim();
    if text == "true" || text == "?1" {
        return Some(Deprecated::Undated);
    }
    let secs = text.strip_prefix('@').and_then(digits).and_then(|secs| i64::try_from(secs).ok());
    secs.and_then(|secs| Timestamp::from_second(secs).ok()).or_else(|| http_date(text)).map(Deprecated::Since)
}

/// One of the relations of one of the links is `next`.
fn names_a_next_page(links: &str) -> bool {
    links.split(';').any(|parameter| {
        let parameter = parameter.split(',').next().unwrap_or("").trim();
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let relations = value.trim().trim_matches('"').to_ascii_lowercase();
        name.trim().eq_ignore_ascii_case("rel") && relations.split_whitespace().any(|relation| relation == "next")
    })
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Moment> {
    match digits(text) {
        Some(secs) => Some(Moment::In(Duration::from_secs(secs))),
        None => http_date(text).map(Moment::At),
    }
}

/// Seconds from now, or since 1970: both are in use, and no limit lasts for years.
fn rate_reset(text: &str) -> Option<Moment> {
    let secs = digits(text)?;
    let signed = i64::try_from(secs).ok()?;
    if signed < EPOCH_SECS_MIN {
        return Some(Moment::In(Duration::from_secs(secs)));
    }
    Timestamp::from_second(signed).ok().map(Moment::At)
}

fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    // `parse` would take a plus sign as well.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &'static str)]) -> Headers {
        Headers::read(|name| all.iter().find(|(other, _)| *other == name).map(|(_, value)| *value))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const DATE: (&str, &str) = ("date", "Fri, 01 Jan 2027 00:00:10 GMT");

    #[test]
    fn the_clocks_are_compared_by_the_date() {
        let ahead = headers(&[DATE]).ahead(at("2027-01-01T00:00:00Z"));
        assert_eq!(ahead, Some(SignedDuration::from_secs(10)));
        let behind = headers(&[DATE]).ahead(at("2027-01-02T00:00:10Z"));
        assert_eq!(behind, Some(SignedDuration::from_hours(-24)));
    }

    #[test]
    fn an_answer_from_a_cache_is_not_a_slow_clock() {
        let ahead = headers(&[DATE, ("age", "290")]).ahead(at("2027-01-01T00:05:00Z"));
        assert_eq!(ahead, Some(SignedDuration::ZERO));
    }

    #[test]
    fn an_authority_that_does_not_tell_its_time_is_neither_ahead_nor_behind() {
        assert_eq!(headers(&[("date", "yesterday")]).ahead(Timestamp::UNIX_EPOCH), None);
        assert_eq!(headers(&[DATE, ("age", "18446744073709551615")]).sent_at, headers(&[DATE]).sent_at);
        assert_eq!(headers(&[DATE, ("age", "9223372036854775807")]).sent_at, None);
    }

    #[test]
    fn how_long_to_wait() {
        // We are a day behind the authority: its own clock counts.
        let now = at("2026-12-31T00:00:00Z");
        let wait = |all: &[(&str, &'static str)]| headers(all).wait_after_failure(now).map(|wait| wait.as_secs());
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(wait(&[("retry-after", " 7 ")]), Some(7));
        assert_eq!(wait(&[("retry-after", "+7")]), None);
        assert_eq!(wait(&[("retry-after", "-1")]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[("retry-after", "")]), None);
        assert_eq!(wait(&[("retry-after", "99999999999999999999")]), None);
        assert_eq!(wait(&[DATE, ("retry-after", "Fri, 01 Jan 2027 00:00:15 GMT")]), Some(5));
        assert_eq!(wait(&[("retry-after", "Thu, 31 Dec 2026 00:01:00 GMT")]), Some(60));
        assert_eq!(wait(&[DATE, ("retry-after", "Fri, 01 Jan 2016 00:00:15 GMT")]), Some(0));
        assert_eq!(wait(&[("x-ratelimit-reset", "30")]), Some(30));
        assert_eq!(wait(&[DATE, ("x-ratelimit-reset", "1798761630")]), Some(20));
        assert_eq!(wait(&[("retry-after", "1"), ("x-ratelimit-reset", "30")]), Some(1));
    }

    #[test]
    fn a_deprecation_is_read_in_its_form_and_in_the_drafts_forms() {
        let since = |text| Some(Deprecated::Since(at(text)));
        for (value, read) in [
            ("@1688169599", since("2023-06-30T23:59:59Z")),
            (" @1688169599 ", since("2023-06-30T23:59:59Z")),
            ("Fri, 01 Jan 2027 00:00:10 GMT", since("2027-01-01T00:00:10Z")),
            ("true", Some(Deprecated::Undated)),
            ("?1", Some(Deprecated::Undated)),
            ("false", None),
            ("?0", None),
            ("@soon", None),
            ("@99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(headers(&[("deprecation", value)]).deprecation, read, "{value}");
        }
        assert_eq!(headers(&[]).deprecation, None);
    }

    #[test]
    fn a_link_to_a_next_page_is_found_among_others() {
        let next = |value| headers(&[("link", value)]).next_page;
        assert!(next("</licenses?page=2>; rel=next"));
        assert!(next("</l?a=1>; rel=\"prev\", </l?a=3>; title=\"x\"; rel=\"last NEXT\""));
        assert!(!next("</l?rel=next>; rel=\"prev\""));
        assert!(!next("</next>"));
        assert!(!headers(&[]).next_page);
    }

    #[test]
    fn only_a_used_up_limit_makes_the_next_request_wait() {
        let wait = |remaining| {
            headers(&[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", "30")])
                .wait_after_answer(Timestamp::UNIX_EPOCH)
        };
        assert_eq!(wait("0"), Some(Duration::from_secs(30)));
        assert_eq!(wait("1"), None);
        assert_eq!(wait("none"), None);
        assert_eq!(headers(&[("x-ratelimit-remaining", "0")]).wait_after_answer(Timestamp::UNIX_EPOCH), None);
    }
}
