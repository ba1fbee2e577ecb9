//! Which request is meant: the paths of every dialect.

use hyper::http::Method;
use license_core::registry::LicenseId;

use super::{fault::Scope, handle::percent_decoded};

/// A request that the server understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// May this key be used?
    Validate,
    /// Does the server live?
    Health,
    /// A new key, with the id in the body.
    Rotate,
    /// A new key, with the id in the path.
    RotateOne(LicenseId),
    /// One activation more, with the id in the body.
    Activate,
    /// One activation less, with the id in the body.
    Deactivate,
    /// Every license.
    List,
    /// A new license.
    Create,
    /// One license.
    Show(LicenseId),
    /// Suspend or resume.
    Update(LicenseId),
    /// Withdraw for good.
    Revoke(LicenseId),
    /// Cover one more domain.
    AddDomain(LicenseId),
    /// Cover a domain no longer.
    RemoveDomain(LicenseId),
    /// Counters of use.
    Usage,
    /// Everything that happened.
    AuditExport,
    /// A path that exists, with a method that does not; those that do, as `Allow` lists them.
    WrongMethod(&'static str),
    /// A path that does not exist.
    Nowhere,
}

impl Route {
    /// Reads the method and the path. `HEAD` is a `GET` whose body is not sent.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        // The old documentation has its path at the root.
        if path.trim_end_matches('/') == "/license/validate" {
            return Self::post(method, Self::Validate);
        }
        let Some(rest) = path.strip_prefix("/api/v1/") else { return Self::Nowhere };
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        match parts.as_slice() {
            ["validate"] | ["licenses" | "license", "validate"] => Self::post(method, Self::Validate),
            ["health"] => Self::get(method, Self::Health),
            ["licenses", "rotate"] => Self::post(method, Self::Rotate),
            ["licenses", "activate"] => Self::post(method, Self::Activate),
            ["licenses", "deactivate"] => Self::post(method, Self::Deactivate),
            ["portal", "stats" | "usage"] => Self::get(method, Self::Usage),
            ["portal", "audit-logs", "export"] => Self::get(method, Self::AuditExport),
            ["portal", "licenses"] => match *method {
                Method::GET => Self::List,
                Method::POST => Self::Create,
                _ => Self::WrongMethod("GET, HEAD, POST"),
            },
            ["portal", "licenses", id, rest @ ..] => {
                percent_decoded(id).parse().map_or(Self::Nowhere, |id| Self::of_one(method, id, rest))
            }
            _ => Self::Nowhere,
        }
    }

    fn of_one(method: &Method, id: LicenseId, rest: &[&str]) -> Self {
        match (rest, method) {
            ([], &Method::GET) => Self::Show(id),
            ([], &Method::PATCH) => Self::Update(id),
            ([], &Method::DELETE) => Self::Revoke(id),
            (["rotate"], &Method::POST) => Self::RotateOne(id),
            (["domains"], &Method::POST) => Self::AddDomain(id),
            (["domains"], &Method::DELETE) => Self::RemoveDomain(id),
            ([], _) => Self::WrongMethod("GET, HEAD, PATCH, DELETE"),
            (["rotate"], _) => Self::WrongMethod("POST"),
            (["domains"], _) => Self::WrongMethod("POST, DELETE"),
            _ => Self::Nowhere,
        }
    }

    fn get(method: &Method, route: Self) -> Self {
        if method == Method::GET { route } else { Self::WrongMethod("GET, HEAD") }
    }

    fn post(method: &Method, route: Self) -> Self {
        if method == Method::POST { route } else { Self::WrongMethod("POST") }
    }

    /// Whether it asks about a key.
    pub(super) fn is_validation(&self) -> bool {
        *self == Self::Validate
    }

    /// Whether it may be asked without a token.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Self::Validate | Self::Health)
    }

    /// Which faults it can meet.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Self::Validate => Some(Scope::Validate),
            Self::Rotate | Self::RotateOne(_) => Some(Scope::Rotate),
            Self::List | Self::Show(_) => Some(Scope::List),
            Self::Health
            | Self::Activate
            | Self::Deactivate
            | Self::Create
            | Self::Update(_)
            | Self::Revoke(_)
            | Self::AddDomain(_)
            | Self::RemoveDomain(_)
            | Self::Usage
            | Self::AuditExport
            | Self::WrongMethod(_)
            | Self::Nowhere => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_path_is_understood() {
        let id: LicenseId = "lic_abc123".parse().unwrap();
        for (method, path, route) in [
            (Method::POST, "/api/v1/validate", Route::Validate),
            (Method::POST, "/api/v1/validate/", Route::Validate),
            (Method::POST, "/api/v1/licenses/validate", Route::Validate),
            (Method::POST, "/api/v1/license/validate", Route::Validate),
            (Method::POST, "/license/validate", Route::Validate),
            (Method::POST, "/license/validate/", Route::Validate),
            (Method::GET, "/api/v1/validate", Route::WrongMethod("POST")),
            (Method::OPTIONS, "/api/v1/health", Route::WrongMethod("GET, HEAD")),
            (Method::HEAD, "/api/v1/health", Route::Health),
            (Method::GET, "/api/v1/health", Route::Health),
            (Method::POST, "/api/v1/licenses/rotate", Route::Rotate),
            (Method::POST, "/api/v1/portal/licenses/lic_abc123/rotate", Route::RotateOne(id.clone())),
            (Method::GET, "/api/v1/portal/licenses", Route::List),
            (Method::POST, "/api/v1/portal/licenses", Route::Create),
            (Method::PUT, "/api/v1/portal/licenses", Route::WrongMethod("GET, HEAD, POST")),
            (Method::GET, "/api/v1/portal/licenses/lic_abc123", Route::Show(id.clone())),
            (Method::GET, "/api/v1/portal/licenses/lic%5Fabc123", Route::Show(id.clone())),
            (Method::GET, "/api/v1/portal/licenses/lic_%2F", Route::Nowhere),
            (Method::PATCH, "/api/v1/portal/licenses/lic_abc123", Route::Update(id.clone())),
            (Method::DELETE, "/api/v1/portal/licenses/lic_abc123", Route::Revoke(id.clone())),
            (Method::POST, "/api/v1/portal/licenses/lic_abc123/domains", Route::AddDomain(id.clone())),
            (Method::DELETE, "/api/v1/portal/licenses/lic_abc123/domains", Route::RemoveDomain(id)),
            (Method::GET, "/api/v1/portal/stats", Route::Usage),
            (Method::GET, "/api/v1/portal/usage", Route::Usage),
            (Method::GET, "/api/v1/portal/audit-logs/export", Route::AuditExport),
            (Method::POST, "/api/v2/validate", Route::Nowhere),
            (Method::GET, "/api/v1/portal/licenses/../../etc", Route::Nowhere),
            (Method::GET, "/", Route::Nowhere),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }
}
