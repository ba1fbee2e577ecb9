//! The rules of one `[authority.NAME]`.

use std::{path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use license_core::{rotation::RotationVisible, token::PublicKey};

use super::{
    AuthoritySettings, Dialect, Idempotency, RemoteSettings,
    address::{self, Query},
    checking::{Checking, Forms, NamedFiles, Owner, place},
    fields::{At, Field, Named},
    problem::{Problem, code},
    raw::{AuthorityKind, RawAuthority},
};
use crate::files;

/// The bound on one call where the file gives none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of that bound.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(2 * 60);

/// Where the embedded authority keeps its state, relative to the file.
const STATE: &str = ".license/authority";

/// A file of certificates is not longer than this, in bytes.
const CA_BYTES_MAX: u64 = 1024 * 1024;

/// Checks one authority. `None`: what is wrong is reported.
pub(super) fn check(checking: &mut Checking<'_>, named: &Named<RawAuthority>) -> Option<AuthoritySettings> {
    let Named { name, table } = named;
    let owner = Owner { what: format!("authority `{}`", super::secrets::shown(&name.value)), place: name.place };
    let kind = checking.required(
        &owner,
        "kind",
        &table.kind,
        "`kind = \"embedded\"` (on this machine) or `kind = \"traffic-orchestrator\"` (over HTTP)",
    )?;
    misplaced(checking, &owner, table, kind.value);
    match kind.value {
        AuthorityKind::Embedded => embedded(checking, table),
        AuthorityKind::TrafficOrchestrator => remote(checking, &owner, table).map(AuthoritySettings::Remote),
    }
}

/// Reports the fields that belong to authorities of the other kind.
fn misplaced(checking: &mut Checking<'_>, owner: &Owner, raw: &RawAuthority, kind: AuthorityKind) {
    use AuthorityKind::{Embedded, TrafficOrchestrator};
    checking.misplaced(
        owner,
        kind,
        &[
            ("state", place(&raw.state), &[Embedded]),
            ("url", place(&raw.url), &[TrafficOrchestrator]),
            ("token", place(&raw.token), &[TrafficOrchestrator]),
            ("dialect", place(&raw.dialect), &[TrafficOrchestrator]),
            ("ca_file", place(&raw.ca_file), &[TrafficOrchestrator]),
            ("rotation_visible", place(&raw.rotation_visible), &[TrafficOrchestrator]),
            ("idempotency", place(&raw.idempotency), &[TrafficOrchestrator]),
            ("public_keys", place(&raw.public_keys), &[TrafficOrchestrator]),
            ("timeout", place(&raw.timeout), &[TrafficOrchestrator]),
        ],
    );
}

fn embedded(checking: &mut Checking<'_>, raw: &RawAuthority) -> Option<AuthoritySettings> {
    let state = match &raw.state {
        Field::Absent => checking.root.join(STATE),
        Field::Wrong => return None,
        Field::Given(text) => checking.path("state", text)?,
    };
    Some(AuthoritySettings::Embedded { state })
}

fn remote(checking: &mut Checking<'_>, owner: &Owner, raw: &RawAuthority) -> Option<RemoteSettings> {
    let example = "`url = \"https://api.trafficorchestrator.com/api/v1\"`";
    let url = checking.required(owner, "url", &raw.url, example).and_then(|text| base_address(checking, text));
    let token = raw.token.given().and_then(|at| checking.source("token", at, Forms::EnvOrDotenv));
    let public_keys = raw.public_keys.given().map_or_else(Vec::new, |keys| public_keys(checking, &keys.value));
    let timeout = checking.duration("timeout", &raw.timeout, &(TIMEOUT_MIN..=TIMEOUT_MAX)).unwrap_or(TIMEOUT);
    let ca_file = raw.ca_file.given().and_then(|text| ca_file(checking, text));
    Some(RemoteSettings {
        url: url?,
        token,
        token_place: place(&raw.token),
        dialect: raw.dialect.given().map_or(Dialect::Article, |at| at.value),
        ca_file,
        public_keys,
        timeout,
        rotation_visible: raw.rotation_visible.given().map_or(RotationVisible::Unknown, |at| at.value),
        idempotency: raw.idempotency.given().map_or(Idempotency::Ignored, |at| at.value),
    })
}

/// A base address, without a trailing slash.
pub(super) fn base_address(checking: &mut Checking<'_>, text: &At<String>) -> Option<String> {
    if let Err(no) = address::check(&text.value, Query::Refused) {
        let problem = Problem::new(code::ADDRESS, format!("`url` {}", no.why)).help(no.next).at(text.place, no.why);
        checking.report(problem);
        return None;
    }
    Some(text.value.trim_end_matches('/').to_owned())
}

fn public_keys(checking: &mut Checking<'_>, texts: &[At<String>]) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for text in texts {
        match PublicKey::parse(&text.value) {
            Ok(key) => keys.push(key),
            Err(error) => checking.report(
                Problem::new(code::PUBLIC_KEY, format!("this is not an Ed25519 public key: {error}"))
                    .help("copy it from the authority: 44 characters of base64, or a text that begins with `-----BEGIN PUBLIC KEY-----`")
                    .at(text.place, "not a public key"),
            ),
        }
    }
    keys
}

/// A file that holds certificates.
pub(super) fn ca_file(checking: &mut Checking<'_>, text: &At<String>) -> Option<PathBuf> {
    let path = checking.path("ca_file", text)?;
    if checking.named_files == NamedFiles::Taken {
        return Some(path);
    }
    let why = match files::read_limited(&path, CA_BYTES_MAX) {
        Ok(bytes) if has_certificate(&bytes) => return Some(path),
        Ok(_) => "it holds no PEM certificate".to_owned(),
        Err(error) => files::why(&error),
    };
    let problem = Problem::new(code::CA_FILE, format!("the certificates in `ca_file` cannot be used: {why}"))
        .help("name a file, relative to this one, that holds `-----BEGIN CERTIFICATE-----`")
        .at(text.place, why);
    checking.report(problem);
    None
}

/// Whether a file holds a PEM certificate, as far as its form tells.
fn has_certificate(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some((_, rest)) = text.split_once("-----BEGIN CERTIFICATE-----") else { return false };
    let Some((body, _)) = rest.split_once("-----END CERTIFICATE-----") else { return false };
    let body: String = body.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(body).is_ok_and(|der| !der.is_empty())
}
