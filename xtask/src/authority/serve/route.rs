//! Which request is meant: the paths of every dialect.

use hyper::http::Method;
use license_core::registry::LicenseId;

use super::fault::Scope;

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
    /// A path that exists, with a method that does not.
    WrongMethod,
    /// A path that does not exist.
    Nowhere,
}

impl Route {
    /// Reads the method and the path.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        // The old documentation has its path at the root.
        if path == "/license/validate" {
            return Self::only(method, &Method::POST, Self::Validate);
        }
        let Some(rest) = path.strip_prefix("/api/v1/") else { return Self::Nowhere };
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        match parts.as_slice() {
            ["validate"] | ["licenses" | "license", "validate"] => Self::only(method, &Method::POST, Self::Validate),
            ["health"] => Self::only(method, &Method::GET, Self::Health),
            ["licenses", "rotate"] => Self::only(method, &Method::POST, Self::Rotate),
            ["licenses", "activate"] => Self::only(method, &Method::POST, Self::Activate),
            ["licenses", "deactivate"] => Self::only(method, &Method::POST, Self::Deactivate),
            ["portal", "stats" | "usage"] => Self::only(method, &Method::GET, Self::Usage),
            ["portal", "audit-logs", "export"] => Self::only(method, &Method::GET, Self::AuditExport),
            ["portal", "licenses"] => match *method {
                Method::GET => Self::List,
                Method::POST => Self::Create,
                _ => Self::WrongMethod,
            },
            ["portal", "licenses", id, rest @ ..] => {
                id.parse().map_or(Self::Nowhere, |id| Self::of_one(method, id, rest))
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
            ([] | ["rotate" | "domains"], _) => Self::WrongMethod,
            _ => Self::Nowhere,
        }
    }

    fn only(method: &Method, allowed: &Method, route: Self) -> Self {
        if method == allowed { route } else { Self::WrongMethod }
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
            | Self::WrongMethod
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
            (Method::GET, "/api/v1/validate", Route::WrongMethod),
            (Method::GET, "/api/v1/health", Route::Health),
            (Method::POST, "/api/v1/licenses/rotate", Route::Rotate),
            (Method::POST, "/api/v1/portal/licenses/lic_abc123/rotate", Route::RotateOne(id.clone())),
            (Method::GET, "/api/v1/portal/licenses", Route::List),
            (Method::POST, "/api/v1/portal/licenses", Route::Create),
            (Method::PUT, "/api/v1/portal/licenses", Route::WrongMethod),
            (Method::GET, "/api/v1/portal/licenses/lic_abc123", Route::Show(id.clone())),
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
