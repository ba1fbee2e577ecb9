//! Domains: what a deploy serves, and what a license covers.
//!
//! Both are parsed once. Matching is on label boundaries, never by substring or suffix: `app.com` covers
//! neither `notapp.com` nor `app.com.evil.example`.

use alloc::{
    borrow::ToOwned,
    string::{String, ToString},
};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

/// A host with an optional port, in canonical form: lower case, ASCII (IDNA), no trailing dot; an address as
/// RFC 5952 writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Domain {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Name(String),
    Address { address: IpAddr, text: String },
}

impl Domain {
    /// The longest text that is looked at, in bytes. A name in another script is longer than its ASCII form.
    pub const BYTES_MAX: usize = 1024;

    /// Parses `host[:port]`: a name, an IPv4 address or an IPv6 address, the latter in brackets when a port follows.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        reject_other_things(text)?;
        if text.contains('*') {
            return Err(DomainError::Wildcard);
        }
        let (host, port) = split_port(text)?;
        Ok(Self { host, port })
    }

    /// The host without its port; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        match &self.host {
            Host::Name(name) => name,
            Host::Address { text, .. } => text,
        }
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the host is this machine: `localhost`, a name under it, or a loopback address.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address { address, .. } => address.to_canonical().is_loopback(),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Name(host) | Host::Address { text: host, .. }, None) => f.write_str(host),
            (Host::Address { address: IpAddr::V6(address), .. }, Some(port)) => write!(f, "[{address}]:{port}"),
            (Host::Name(host) | Host::Address { text: host, .. }, Some(port)) => write!(f, "{host}:{port}"),
        }
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.to_string()
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        Self::parse(&text)
    }
}

/// What a license says it covers: a domain, or `*.` and a domain for exactly one more label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    /// This domain.
    Exactly(Domain),
    /// Every name with one label before this domain, and not the domain itself.
    OneLabelUnder(Domain),
}

impl DomainPattern {
    /// Parses `host[:port]` or `*.host[:port]`.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let Some(base) = text.strip_prefix("*.") else {
            return Domain::parse(text).map(Self::Exactly);
        };
        let base = Domain::parse(base)?;
        match base.host {
            Host::Name(_) => Ok(Self::OneLabelUnder(base)),
            Host::Address { .. } => Err(DomainError::WildcardAddress),
        }
    }

    /// Whether the license covers the domain. A port in the demand is compared only if the pattern states one.
    pub fn covers(&self, domain: &Domain) -> bool {
        let (stated, host_matches) = match self {
            Self::Exactly(stated) => (stated, stated.host == domain.host),
            Self::OneLabelUnder(base) => (base, is_one_label_under(&domain.host, base.host())),
        };
        host_matches && (stated.port.is_none() || stated.port == domain.port)
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(domain) => domain.fmt(f),
            Self::OneLabelUnder(base) => write!(f, "*.{base}"),
        }
    }
}

fn is_one_label_under(host: &Host, base: &str) -> bool {
    match host {
        Host::Name(name) => name.split_once('.').is_some_and(|(_, rest)| rest == base),
        Host::Address { .. } => false,
    }
}

/// Tells what a text is when it is something else than a host and a port, so that the error can say so.
fn reject_other_things(text: &str) -> Result<(), DomainError> {
    if text.is_empty() {
        return Err(DomainError::Empty);
    }
    if text.len() > Domain::BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(DomainError::Space);
    }
    if text.contains("://") {
        return Err(DomainError::Scheme);
    }
    if text.contains('@') {
        return Err(DomainError::User);
    }
    if text.contains(['/', '\\', '?', '#']) {
        return Err(DomainError::Path);
    }
    Ok(())
}

fn split_port(text: &str) -> Result<(Host, Option<u16>), DomainError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(DomainError::Address)?;
        let host = parse_v6(address)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(DomainError::Address),
        };
        return Ok((host, port));
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((parse_v6(text)?, None)),
        Some((host, port)) => Ok((parse_host(host)?, Some(parse_port(port)?))),
        None => Ok((parse_host(text)?, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, DomainError> {
    if text.len() > 5 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DomainError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(DomainError::Port)
}

fn parse_v6(text: &str) -> Result<Host, DomainError> {
    let address: Ipv6Addr = text.parse().map_err(|_| DomainError::Address)?;
    Ok(Host::Address { address: address.into(), text: address.to_string() })
}

fn parse_host(text: &str) -> Result<Host, DomainError> {
    // The checks of lengths, characters and hyphens are ours: they tell what is wrong.
    let ascii = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
        .map_err(|_| DomainError::Idna)?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.is_empty() {
        return Err(DomainError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    name.split('.').try_for_each(check_label)?;
    if !ends_in_a_number(name) {
        return Ok(Host::Name(name.to_owned()));
    }
    let address: Ipv4Addr = name.parse().map_err(|_| DomainError::Address)?;
    Ok(Host::Address { address: address.into(), text: address.to_string() })
}

/// The longest name in bytes (RFC 1035, without the length bytes).
const NAME_BYTES_MAX: usize = 253;
/// The longest label in bytes (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;

/// Letters, digits and hyphens (RFC 1123), and the underscore, which private networks use.
fn check_label(label: &str) -> Result<(), DomainError> {
    if label.is_empty() {
        return Err(DomainError::EmptyLabel);
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(DomainError::LabelTooLong);
    }
    if let Some(character) = label.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')) {
        return Err(DomainError::Character { character });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(DomainError::Hyphen);
    }
    Ok(())
}

/// No top-level domain is a number: such a host is an address or a mistake (WHATWG URL, "ends in a number").
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    last.bytes().all(|b| b.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex)
}

/// Why a text is not a domain. It follows the name of what was parsed, as in "`domain`: it is empty".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// There is no text, or no host in it.
    #[error("it is empty: write the bare host, as in `app.example.com`")]
    Empty,
    /// Longer than a name can be.
    #[error("it is longer than a host name can be, which is {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// White space, a line break or a control character.
    #[error("it has a space, a line break or a control character: write the bare host, as in `app.example.com`")]
    Space,
    /// An address of the web.
    #[error("it has a scheme: write the bare host, as in `app.example.com`")]
    Scheme,
    /// A user name before the host.
    #[error("it has a user name: write the bare host, as in `app.example.com`")]
    User,
    /// A path, a query or a fragment after the host.
    #[error("it has a path or a query: write the bare host, as in `app.example.com`")]
    Path,
    /// The part after the colon is not a port.
    #[error("its port is not a number from 1 to 65535: write it as in `localhost:3000`")]
    Port,
    /// A wildcard where one domain is meant, or elsewhere than in front.
    #[error("it has a wildcard: a deploy serves one domain, and a license may say `*.` only in front of a name")]
    Wildcard,
    /// A wildcard in front of an address.
    #[error("it has a wildcard in front of an address: an address has no labels to stand for")]
    WildcardAddress,
    /// Neither an IPv4 nor an IPv6 address, though it looks like one.
    #[error("it looks like an address and is none: write it as in `192.0.2.1:3000` or `[2001:db8::1]:3000`")]
    Address,
    /// Two dots in a row, or one in front.
    #[error("it has an empty part between two dots, or before the first one")]
    EmptyLabel,
    /// A part between dots that is too long.
    #[error("a part between two dots is longer than {LABEL_BYTES_MAX} bytes")]
    LabelTooLong,
    /// A character that no host name has.
    #[error("it has the character {character:?}, which no host name has")]
    Character {
        /// The first such character, as IDNA maps it.
        character: char,
    },
    /// A hyphen at an edge.
    #[error("a part between two dots begins or ends with a hyphen")]
    Hyphen,
    /// A name that IDNA does not allow.
    #[error("it is not an international domain name (UTS 46): write its ASCII form, which begins with `xn--`")]
    Idna,
}

#[cfg(test)]
mod tests {
    use std::format;

    use proptest::prelude::*;

    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_domain_has_one_canonical_form() {
        let table = [
            ("app.com", "app.com"),
            ("App.COM", "app.com"),
            ("app.com.", "app.com"),
            ("app.com.:8443", "app.com:8443"),
            ("localhost:3000", "localhost:3000"),
            ("localhost:03000", "localhost:3000"),
            ("build_1.internal", "build_1.internal"),
            ("r3---sn.example", "r3---sn.example"),
            ("1password.com", "1password.com"),
            ("0xbad.example", "0xbad.example"),
            ("MÜNCHEN.de", "xn--mnchen-3ya.de"),
            ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
            ("bücher。example", "xn--bcher-kva.example"),
            ("ａｐｐ．com", "app.com"),
            ("faß.de", "xn--fa-hia.de"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("192.0.2.1.", "192.0.2.1"),
            ("１２７.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:3000", "[::1]:3000"),
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("[2001:db8::0001]:443", "[2001:db8::1]:443"),
        ];
        for (text, canonical) in table {
            assert_eq!(domain(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_domain_is_told_apart() {
        use DomainError as E;

        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}a", "abcdefg.".repeat(32));
        let endless = "a.".repeat(50_000);
        let table = [
            ("", E::Empty),
            (".", E::Empty),
            (":80", E::Empty),
            ("\u{AD}", E::Empty),
            ("https://app.com", E::Scheme),
            ("HTTPS://app.com/x", E::Scheme),
            ("user@app.com", E::User),
            ("user:secret@app.com", E::User),
            ("app.com/", E::Path),
            ("app.com:80/x", E::Path),
            ("app.com?x", E::Path),
            ("app.com#x", E::Path),
            ("app.com\\x", E::Path),
            (" app.com", E::Space),
            ("app .com", E::Space),
            ("app.com\n", E::Space),
            ("app.com\u{0}", E::Space),
            ("app\u{a0}.com", E::Space),
            ("app.com:0", E::Port),
            ("app.com:65536", E::Port),
            ("app.com:99999999999999999999", E::Port),
            ("app.com:", E::Port),
            ("app.com:+80", E::Port),
            ("app.com:http", E::Port),
            ("app.com:８０", E::Port),
            ("*.app.com", E::Wildcard),
            ("*", E::Wildcard),
            ("a.*.com", E::Wildcard),
            ("1.2.3", E::Address),
            ("1.2.3.4.5", E::Address),
            ("256.0.0.1", E::Address),
            ("01.2.3.4", E::Address),
            ("app.127", E::Address),
            ("0x7f.0x1", E::Address),
            ("2130706433", E::Address),
            ("[::1", E::Address),
            ("[::1]3000", E::Address),
            ("[::1]]:80", E::Address),
            ("[127.0.0.1]", E::Address),
            ("[app.com]", E::Address),
            ("fe80::1%eth0", E::Address),
            ("a:b:c", E::Address),
            ("::1:99999", E::Address),
            (".app.com", E::EmptyLabel),
            ("app..com", E::EmptyLabel),
            ("app.com..", E::EmptyLabel),
            (&long_label, E::LabelTooLong),
            (&long_name, E::TooLong),
            (&endless, E::TooLong),
            ("app%2ecom", E::Character { character: '%' }),
            ("app,com", E::Character { character: ',' }),
            ("ap＊.com", E::Character { character: '*' }),
            ("app.com／evil", E::Character { character: '/' }),
            ("-app.com", E::Hyphen),
            ("app-.com", E::Hyphen),
            ("xn--.com", E::Idna),
            ("xn--zzzzzz9999.com", E::Idna),
        ];
        for (text, error) in table {
            let shown: String = text.chars().take(40).collect();
            assert_eq!(Domain::parse(text), Err(error), "{shown:?}");
        }
    }

    #[test]
    fn the_longest_names_are_accepted() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert_eq!(domain(&longest).host(), longest);
        assert_eq!(domain(&format!("{longest}.:65535")).port(), Some(65535));
        assert_eq!(Domain::parse(&format!("{longest}a")), Err(DomainError::TooLong));
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        let error = Domain::parse("https://app.example.com/x").unwrap_err();
        assert_eq!(error.to_string(), "it has a scheme: write the bare host, as in `app.example.com`");
    }

    #[test]
    fn a_license_covers_what_it_states_and_nothing_beside_it() {
        let table = [
            ("app.com", "app.com", true),
            ("app.com", "APP.com.", true),
            ("app.com", "notapp.com", false),
            ("app.com", "notapp.com.evil.example", false),
            ("app.com", "app.com.evil.example", false),
            ("app.com", "www.app.com", false),
            ("app.com", "app.co", false),
            ("app.com", "pp.com", false),
            ("app.com", "com", false),
            ("www.app.com", "app.com", false),
            ("localhost", "localhost", true),
            ("localhost", "app.localhost", false),
            // ports
            ("app.com", "app.com:8443", true),
            ("app.com:8443", "app.com:8443", true),
            ("app.com:8443", "app.com", false),
            ("app.com:8443", "app.com:8444", false),
            ("localhost:3000", "localhost:3000", true),
            ("localhost:3000", "localhost:30000", false),
            // wildcards
            ("*.app.com", "www.app.com", true),
            ("*.app.com", "WWW.app.com:80", true),
            ("*.app.com", "app.com", false),
            ("*.app.com", "a.b.app.com", false),
            ("*.app.com", "wwwapp.com", false),
            ("*.app.com", "www.app.com.evil.example", false),
            ("*.app.com", "www.notapp.com", false),
            ("*.app.com:8443", "www.app.com:8443", true),
            ("*.app.com:8443", "www.app.com", false),
            ("*.localhost", "app.localhost", true),
            ("*.de", "münchen.de", true),
            // other scripts
            ("münchen.de", "xn--mnchen-3ya.de", true),
            ("*.münchen.de", "www.xn--mnchen-3ya.de", true),
            ("münchen.de", "munchen.de", false),
            ("аpp.com", "app.com", false), // the first letter is Cyrillic
            // addresses
            ("127.0.0.1", "127.0.0.1:3000", true),
            ("127.0.0.1", "localhost", false),
            ("::1", "[::1]:3000", true),
            ("[::1]:3000", "[::1]:3000", true),
            ("[::1]:3000", "::1", false),
            ("2001:db8::1", "2001:DB8:0::1", true),
            ("27.0.0.1", "127.0.0.1", false),
        ];
        for (pattern, demanded, covered) in table {
            let parsed = DomainPattern::parse(pattern).unwrap();
            assert_eq!(parsed.covers(&domain(demanded)), covered, "{pattern} and {demanded}");
        }
    }

    #[test]
    fn a_wildcard_stands_only_in_front_of_a_name() {
        let table = [
            ("*", DomainError::Wildcard),
            ("*.", DomainError::Empty),
            ("*.*.app.com", DomainError::Wildcard),
            ("a.*.com", DomainError::Wildcard),
            ("a*.com", DomainError::Wildcard),
            ("*app.com", DomainError::Wildcard),
            ("*.0.0.1", DomainError::Address),
            ("*.127.0.0.1", DomainError::WildcardAddress),
            ("*.[::1]", DomainError::WildcardAddress),
            ("https://*.app.com", DomainError::Scheme),
        ];
        for (text, error) in table {
            assert_eq!(DomainPattern::parse(text), Err(error), "{text}");
        }
        assert_eq!(DomainPattern::parse("*.App.com.:80").unwrap().to_string(), "*.app.com:80");
    }

    #[test]
    fn loopback_is_this_machine() {
        let this = ["localhost", "LOCALHOST:3000", "app.localhost", "127.0.0.1", "127.9.9.9:1", "::1", "[::1]:80"];
        let other = ["app.com", "notlocalhost", "localhost.com", "128.0.0.1", "::2", "10.0.0.1", "0.0.0.0"];
        for text in this.into_iter().chain(["::ffff:127.0.0.1"]) {
            assert!(domain(text).is_loopback(), "{text}");
        }
        for text in other {
            assert!(!domain(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_domain_is_a_string_in_json_and_is_parsed_there() {
        let read: Domain = serde_json::from_str(r#""App.com:80""#).unwrap();
        assert_eq!((read.host(), read.port()), ("app.com", Some(80)));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#""app.com:80""#);
        assert!(serde_json::from_str::<Domain>(r#""https://app.com""#).is_err());
    }

    /// Texts that are likely to be domains, beside those that are not.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "([a-zA-Z0-9_-]{1,5}\\.){0,3}[a-zA-Z0-9]{1,5}\\.?(:[0-9]{1,5})?",
            "([a-zäßж日\u{301}\u{200d}]{1,4}[.。]){0,2}[a-zé]{1,4}",
            "(xn--[a-z0-9-]{0,8}\\.){1,2}com",
            "\\[?[0-9a-f:.]{2,20}\\]?(:[0-9]{1,5})?",
            "([0-9]{1,3}\\.){3}[0-9]{1,3}",
            ".{0,60}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn parsing_never_panics_and_the_canonical_form_is_a_fixed_point(text in texts()) {
            if let Ok(parsed) = Domain::parse(&text) {
                let canonical = parsed.to_string();
                prop_assert!(canonical.is_ascii());
                prop_assert_eq!(Domain::parse(&canonical), Ok(parsed));
            }
        }

        #[test]
        fn a_domain_covers_itself_and_a_wildcard_does_not_cover_its_base(text in texts()) {
            if let Ok(parsed) = Domain::parse(&text) {
                prop_assert!(DomainPattern::parse(&text).unwrap().covers(&parsed));
                if let Ok(wildcard) = DomainPattern::parse(&format!("*.{text}")) {
                    prop_assert!(!wildcard.covers(&parsed));
                    prop_assert_eq!(DomainPattern::parse(&wildcard.to_string()), Ok(wildcard));
                }
            }
        }

        #[test]
        fn nothing_is_covered_without_a_label_boundary(
            base in "[a-z]{1,6}\\.[a-z]{2,4}",
            before in "[a-z0-9]{1,6}",
            after in "[a-z]{1,6}",
        ) {
            let base_pattern = DomainPattern::parse(&base).unwrap();
            let wildcard = DomainPattern::parse(&format!("*.{base}")).unwrap();
            for host in [format!("{before}{base}"), format!("{base}{after}"), format!("{base}.{after}")] {
                prop_assert!(!base_pattern.covers(&domain(&host)), "{}", host);
                prop_assert!(!wildcard.covers(&domain(&host)) || host.ends_with(&format!(".{base}")), "{}", host);
            }
            let under = domain(&format!("{before}.{base}"));
            prop_assert!(wildcard.covers(&under));
            prop_assert!(!base_pattern.covers(&under));
            let twice = domain(&format!("{after}.{before}.{base}"));
            prop_assert!(!wildcard.covers(&twice));
        }
    }
}
