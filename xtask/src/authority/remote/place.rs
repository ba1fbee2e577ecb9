//! Where the API is, and which proxy leads there.

use std::{fmt, net::IpAddr};

use ureq::{
    Proxy, ProxyProtocol,
    http::{Uri, uri::Authority},
};

use super::super::AskError;
use crate::vars::Vars;

/// The API's base address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// The address, without a trailing slash.
    pub(crate) url: String,
    host: String,
    port: u16,
    /// Whether it is on this machine.
    pub(crate) reach: Reach,
}

/// How far away the API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On this machine: plain http is allowed, and no proxy is in between.
    Loopback,
    /// Anywhere else: https only.
    Network,
}

impl Base {
    /// Parses an address. Only an address that is literally this machine's may go without TLS: what a name under
    /// `localhost` resolves to is up to the resolver.
    pub(crate) fn parse(url: &str) -> Result<Self, AskError> {
        let wrong = |what: &str| AskError::Setup {
            why: format!("`url` {what}"),
            next: "write it in license.toml as `https://HOST/PATH`, without a user name and a query".to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is not an address"))?;
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() || url.contains('#') {
            return Err(wrong("has a user name, a query or a fragment"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("has no host"));
        }
        let reach = reach(&host);
        let default_port = match (uri.scheme_str(), reach) {
            (Some("https"), _) => 443,
            (Some("http"), Reach::Loopback) => 80,
            (Some("http"), Reach::Network) => {
                return Err(wrong("is plain http, and the key would travel in the open"));
            }
            (Some(_) | None, _) => return Err(wrong("is not an https address")),
        };
        let port = stated_port(authority).map_err(|NotAPort| wrong("has a port that is no number up to 65535"))?;
        let port = port.unwrap_or(default_port);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), host, port, reach })
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_https(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// The host's name or address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// The port that an address states, if it states one.
pub(crate) fn stated_port(authority: &Authority) -> Result<Option<u16>, NotAPort> {
    match (authority.as_str().strip_prefix(authority.host()), authority.port_u16()) {
        (_, Some(port)) => Ok(Some(port)),
        (Some("" | ":"), None) => Ok(None),
        (_, None) => Err(NotAPort),
    }
}

/// What stands there is no port; a client would leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAPort;

fn reach(host: &str) -> Reach {
    let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if loopback { Reach::Loopback } else { Reach::Network }
}

/// A proxy on the way, and the variable that names it.
#[derive(Debug, Clone)]
pub(crate) struct Via {
    /// The proxy. Its user name and password stay inside.
    pub(crate) proxy: Proxy,
    variable: &'static str,
}

impl Via {
    /// The proxy for the address, if the variables name one. None for loopback, where a proxy would be asked for
    /// itself. `HTTP_PROXY` is for plain http, which goes to loopback only: it never matters here.
    pub(crate) fn from(vars: &Vars, base: &Base) -> Result<Option<Self>, AskError> {
        const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let no_proxy = ["NO_PROXY", "no_proxy"].iter().find_map(|name| vars.text(name)).unwrap_or_default();
        if base.reach == Reach::Loopback || is_excepted(no_proxy, base) {
            return Ok(None);
        }
        let named = |variable| Some((variable, vars.text(variable)?.trim())).filter(|(_, value)| !value.is_empty());
        let Some((variable, value)) = VARIABLES.into_iter().find_map(named) else { return Ok(None) };
        let proxy =
            Proxy::new(value).ok().filter(|proxy| is_http(proxy.protocol())).ok_or_else(|| unusable(variable))?;
        Ok(Some(Self { proxy, variable }))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy `{}:{}` of `{}`", self.proxy.host(), self.proxy.port(), self.variable)
    }
}

/// The client panics on a SOCKS proxy, so that one must not get there.
fn is_http(protocol: ProxyProtocol) -> bool {
    matches!(protocol, ProxyProtocol::Http | ProxyProtocol::Https)
}

/// The value is not shown: it may hold a password.
fn unusable(variable: &str) -> AskError {
    AskError::Setup {
        why: format!("`{variable}` does not name an http or https proxy"),
        next: format!("set `{variable}` to `http://HOST:PORT`, or name the authority's host in `NO_PROXY`"),
    }
}

/// Whether `NO_PROXY` names the host: itself, a domain above it (with or without a leading dot or `*.`), with an
/// optional port, or `*` for all. Ranges of addresses are not read.
fn is_excepted(no_proxy: &str, base: &Base) -> bool {
    no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            Some(_) | None => (entry, None),
        };
        let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
        let domain = name.trim_start_matches('*').trim_start_matches('.');
        let covers = name == "*" || base.host == domain || is_below(&base.host, domain);
        covers && port.is_none_or(|port: u16| port == base.port)
    })
}

/// Whether the host is a name below the domain, on a label's border.
fn is_below(host: &str, domain: &str) -> bool {
    !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(vars: &[(&str, &str)], url: &str) -> Result<Option<String>, AskError> {
        let vars = vars.iter().copied().collect();
        Ok(Via::from(&vars, &Base::parse(url)?)?.map(|via| via.to_string()))
    }

    #[test]
    fn only_this_machine_may_be_reached_without_tls() {
        for url in ["http://localhost:80/api", "http://127.0.0.1:1/api", "http://127.9.9.9", "http://[::1]:8080/api/v1"]
        {
            assert_eq!(Base::parse(url).unwrap().reach, Reach::Loopback, "{url}");
        }
        for url in [
            "http://app.com",
            "http://localhost.evil.example",
            "http://a.localhost",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://app.com",
            "app.com/api",
            "/api",
            "https://",
            "https:///api",
            "https://user@app.com",
            "https://localhost@app.com",
            "https://app.com/?a=b",
            "https://app.com/#a",
            "",
            "http://\u{0}",
        ] {
            assert_eq!(Base::parse(url).map_err(|e| e.stable_code()), Err("setup"), "{url}");
        }
        assert_eq!(Base::parse("HTTPS://App.com/").map(|base| base.is_https()).ok(), Some(true));
    }

    /// The variables, and the proxy that they lead to.
    type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

    #[test]
    fn the_proxy_is_taken_from_the_variables() {
        let https = "https://api.app.com/api/v1";
        let rows: [Row<'_>; 9] = [
            (&[], None),
            (&[("HTTPS_PROXY", "http://p:1")], Some("the proxy `p:1` of `HTTPS_PROXY`")),
            (&[("https_proxy", "p:1")], Some("the proxy `p:1` of `https_proxy`")),
            (&[("ALL_PROXY", "http://user:pw@p:1")], Some("the proxy `p:1` of `ALL_PROXY`")),
            (&[("HTTPS_PROXY", ""), ("all_proxy", "https://p")], Some("the proxy `p:443` of `all_proxy`")),
            (&[("HTTPS_PROXY", "http://p:1"), ("ALL_PROXY", "http://q:1")], Some("the proxy `p:1` of `HTTPS_PROXY`")),
            (&[("HTTP_PROXY", "http://p:1")], None),
            (&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "localhost, app.com")], None),
            (&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "other.com")], Some("the proxy `p:1` of `HTTPS_PROXY`")),
        ];
        for (vars, expected) in rows {
            assert_eq!(via(vars, https).unwrap().as_deref(), expected, "{vars:?}");
        }
    }

    #[test]
    fn this_machine_is_never_asked_through_a_proxy() {
        let vars = [("HTTPS_PROXY", "http://p:1"), ("ALL_PROXY", "http://p:1"), ("HTTP_PROXY", "http://p:1")];
        for url in ["http://127.0.0.1:1", "https://localhost", "http://[::1]:1"] {
            assert_eq!(via(&vars, url).unwrap(), None, "{url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_said_without_its_password() {
        for value in ["socks5://user:hunter2@p:1", "gopher://hunter2", "http://", "hunter2:hunter2:hunter2"] {
            let error = via(&[("ALL_PROXY", value)], "https://app.com").unwrap_err();
            assert!(matches!(error, AskError::Setup { .. }), "{value}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn no_proxy_matches_on_the_borders_of_labels() {
        let base = Base::parse("https://api.app.com:8443").unwrap();
        for entry in ["*", "app.com", ".app.com", "*.app.com", "API.app.com", "x, app.com", "app.com:8443"] {
            assert!(is_excepted(entry, &base), "{entry}");
        }
        for entry in ["", ",", ".", "pp.com", "com.app", "app.com:443", "api.app.com.evil.example", "10.0.0.0/8"] {
            assert!(!is_excepted(entry, &base), "{entry}");
        }
        let six = Base::parse("https://[2001:db8::1]").unwrap();
        assert!(is_excepted("2001:db8::1", &six) && is_excepted("[2001:db8::1]:443", &six));
    }
}
