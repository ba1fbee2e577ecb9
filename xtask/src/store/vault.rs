//! One field of a secret in a key-value engine, version 2, of Vault or OpenBao.
//!
//! Every write states the version that it replaces (check-and-set), and the server refuses it when there is a newer
//! one. A write replaces the whole secret: the other fields are read and sent back as they came.
//! Version 1 of the engine takes such a write and ignores the condition, so that it is refused here.

use std::{collections::BTreeMap, fmt, time::Duration};

use license_core::{LicenseKey, finding::clean};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ureq::http::{HeaderName, Method};
use zeroize::{Zeroize, Zeroizing};

use super::{
    held::{FaultKind, Held, StoreFault, Version, Written},
    http::{self, Access, Api, Reply},
};
use crate::vars::Vars;

/// An answer is read so far, in bytes: the server takes no larger secrets in its usual set-up.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// The longest path of a secret, in bytes.
const PATH_BYTES_MAX: usize = 512;
/// The server's words for a version that is not the current one.
const MISMATCH: &str = "did not match the current version";

/// What a store needs to know. Values only.
pub(crate) struct VaultSettings {
    /// The server's address, without `/v1`.
    pub(crate) url: String,
    /// Where the engine is mounted, as in `secret`.
    pub(crate) mount: String,
    /// The path of the secret in it, without `data/`.
    pub(crate) path: String,
    /// The field that holds the key.
    pub(crate) field: String,
    /// The namespace, where the server has some.
    pub(crate) namespace: Option<String>,
    /// The token.
    pub(crate) token: Zeroizing<String>,
    /// Where the token comes from, in words: "the environment variable `VAULT_TOKEN`".
    pub(crate) token_from: String,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// The bound on one request; see [`http::CALL_SECS`].
    pub(crate) timeout: Duration,
}

/// One field of a secret in a KV v2 engine.
pub(crate) struct VaultStore {
    api: Api,
    mount: String,
    path: String,
    field: String,
    /// The path of the secret's data in the API.
    data: String,
}

/// The fields of a secret, each as the server wrote it.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Fields(BTreeMap<String, Box<RawValue>>);

impl Drop for Fields {
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.0).into_values() {
            String::from(Box::<str>::from(value)).zeroize();
        }
    }
}

/// A secret as it is now.
#[derive(Default)]
struct Now {
    /// The version; 0 when there was never one.
    version: u64,
    /// Its fields; none when it is deleted or destroyed.
    fields: Fields,
}

/// The answer to a read. A deleted version has metadata and no data.
#[derive(Deserialize)]
struct Read {
    data: Outer,
}

#[derive(Deserialize)]
struct Outer {
    data: Option<Fields>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

/// The answer to a write.
#[derive(Deserialize)]
struct Took {
    data: Metadata,
}

#[derive(Serialize)]
struct Put<'a> {
    options: Cas,
    data: &'a Fields,
}

#[derive(Serialize)]
struct Cas {
    cas: u64,
}

impl Now {
    /// The version as callers see it.
    fn version(&self) -> Version {
        if self.version == 0 { Version::NONE } else { Version(Some(self.version.to_string())) }
    }
}

impl VaultStore {
    /// Makes the store; nothing is sent yet. Proxies are taken from the variables, never for loopback.
    pub(crate) fn new(settings: VaultSettings, vars: &Vars) -> Result<Self, StoreFault> {
        let VaultSettings { url, mount, path, field, namespace, token, token_from, ca_pem, timeout } = settings;
        let mount_parts = segments("mount", &mount)?;
        let path_parts = segments("path", &path)?;
        if field.is_empty() || field.chars().any(char::is_control) {
            return Err(http::setup(
                "`field` is empty or has a control character".to_owned(),
                "write the name of the secret's field, as in `license_key`".to_owned(),
            ));
        }
        let data = http::path(["v1"].into_iter().chain(mount_parts).chain(["data"]).chain(path_parts));
        let mut headers = vec![("accept", "application/json".to_owned()), ("x-vault-request", "true".to_owned())];
        headers.extend(namespace.map(|namespace| ("x-vault-namespace", namespace)));
        let access = Access {
            whom: "Vault",
            url,
            token,
            token_header: HeaderName::from_static("x-vault-token"),
            token_prefix: "",
            token_from,
            headers,
            ca_pem,
            timeout,
            body_bytes_max: BODY_BYTES_MAX,
        };
        Ok(Self { api: Api::new(access, vars)?, mount, path, field, data })
    }

    /// Proves that it could be written: the mount is of version 2, the secret can be read, and the token may write it,
    /// as far as the server tells. Changes nothing.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        self.is_version_2()?;
        let now = self.now()?;
        self.may_write(&now)?;
        self.held(&now)
    }

    /// Reads the field. A secret without it, a deleted one and none at all hold nothing, each at its own version.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        self.held(&self.now()?)
    }

    /// Writes the field, if the secret is still at that version; the other fields stay. The condition makes a second
    /// write of the same rotation harmless, so that the rotation's id is not needed here.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, _rotation_id: &str) -> Written {
        match self.prepare(key, over) {
            Ok((body, cas)) => self.put(&body, cas, key),
            Err(fault) => Written::Failed(fault),
        }
    }

    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!(
            "the field `{}` of `{}` in the mount `{}` of `{}`",
            clean(&self.field),
            clean(&self.path),
            clean(&self.mount),
            self.api.url()
        )
    }

    fn prepare(&self, key: &LicenseKey, over: &Version) -> Result<(Zeroizing<Vec<u8>>, u64), StoreFault> {
        let mut now = self.now()?;
        if now.version() != *over {
            return Err(self.moved());
        }
        let value = serde_json::value::to_raw_value(key.reveal()).map_err(|_| self.unsendable())?;
        if let Some(old) = now.fields.0.insert(self.field.clone(), value) {
            String::from(Box::<str>::from(old)).zeroize();
        }
        let body = Put { options: Cas { cas: now.version }, data: &now.fields };
        Ok((Zeroizing::new(serde_json::to_vec(&body).map_err(|_| self.unsendable())?), now.version))
    }

    fn put(&self, body: &[u8], cas: u64, key: &LicenseKey) -> Written {
        let mut reply = match self.api.send(Method::POST, &self.data, body) {
            Ok(reply) => reply,
            Err(missed) => return missed.written(),
        };
        let doubt = |mut fault: StoreFault| {
            http::MAY_BE_WRITTEN.clone_into(&mut fault.next);
            Written::Unknown(fault)
        };
        match reply.status() {
            200 => match reply.json::<Took>("the write") {
                Ok(took) if took.data.version > cas => Written::Done,
                Ok(_) => doubt(self.api.fault(FaultKind::Malformed, "answered the write with an old version", "")),
                Err(fault) => doubt(fault),
            },
            204 => doubt(self.version_1()),
            300..=407 | 409..=499 => Written::Failed(self.refused(&mut reply, &[key.reveal()])),
            _ => doubt(self.refused(&mut reply, &[key.reveal()])),
        }
    }

    /// The secret as it is now.
    fn now(&self) -> Result<Now, StoreFault> {
        let mut reply = self.api.get(&self.data)?;
        match reply.status() {
            200 => {
                let body = reply.body()?;
                let read: Read = serde_json::from_slice(&body).map_err(|_| self.other_shape(&body))?;
                Ok(Now { version: read.data.metadata.version, fields: read.data.data.unwrap_or_default() })
            }
            404 => self.absent(&mut reply),
            _ => Err(self.refused(&mut reply, &[])),
        }
    }

    /// A 404 with metadata is a deleted or destroyed version; one without errors is a path that nobody wrote.
    fn absent(&self, reply: &mut Reply<'_>) -> Result<Now, StoreFault> {
        let body = reply.body()?;
        if let Ok(read) = serde_json::from_slice::<Read>(&body) {
            return Ok(Now { version: read.data.metadata.version, fields: Fields::default() });
        }
        match errors(&body) {
            Some(errors) if errors.is_empty() => Ok(Now::default()),
            errors => Err(self.api.fault(
                FaultKind::Setup,
                &format!("has no engine at `{}`{}", clean(&self.mount), self.quoted(errors, &[])),
                "see whether `url`, `mount` and `namespace` of the store in license.toml are right",
            )),
        }
    }

    fn held(&self, now: &Now) -> Result<Held, StoreFault> {
        let version = now.version();
        let Some(raw) = now.fields.0.get(&self.field) else { return Ok(Held::Nothing { version }) };
        let malformed = |what: String| StoreFault {
            kind: FaultKind::Malformed,
            message: format!("{} {what}", self.describe()),
            next: "see whether `path` and `field` of the store in license.toml are right".to_owned(),
        };
        let text: Zeroizing<String> = serde_json::from_str(raw.get())
            .map(Zeroizing::new)
            .map_err(|_| malformed("holds something that is no text".to_owned()))?;
        let key = LicenseKey::parse(&text).map_err(|why| malformed(format!("holds no license key: {why}")))?;
        Ok(Held::Key { key, version })
    }

    /// Asks which version the mount is of. Where that may not be asked, the shape of the data tells, once there is some.
    fn is_version_2(&self) -> Result<(), StoreFault> {
        #[derive(Deserialize)]
        struct Mount {
            data: Kind,
        }
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
            options: Option<BTreeMap<String, String>>,
        }
        let parts = segments("mount", &self.mount)?;
        let path = http::path(["v1", "sys", "internal", "ui", "mounts"].into_iter().chain(parts));
        let mut reply = self.api.get(&path)?;
        match reply.status() {
            200 => {}
            403 | 404 => return Ok(()),
            _ => return Err(self.refused(&mut reply, &[])),
        }
        let mount: Mount = reply.json("about the mount")?;
        if mount.data.kind != "kv" && mount.data.kind != "generic" {
            return Err(self.api.fault(
                FaultKind::Setup,
                &format!(
                    "has an engine of another kind at `{}`: `{}`",
                    clean(&self.mount),
                    self.api.quote(&mount.data.kind, &[])
                ),
                "write the mount of a key-value engine, version 2, as `mount` of the store",
            ));
        }
        let version = mount.data.options.and_then(|mut options| options.remove("version"));
        if version.as_deref() == Some("2") { Ok(()) } else { Err(self.version_1()) }
    }

    /// Asks what the token may do. Where that may not be asked, the write will tell.
    fn may_write(&self, now: &Now) -> Result<(), StoreFault> {
        #[derive(Deserialize)]
        struct May {
            capabilities: Vec<String>,
        }
        let path = format!("{}/data/{}", self.mount.trim_matches('/'), self.path.trim_matches('/'));
        let body = serde_json::json!({ "paths": [path] }).to_string();
        let asked = self.api.send(Method::POST, "/v1/sys/capabilities-self", body.as_bytes());
        let mut reply = asked.map_err(http::Missed::fault)?;
        match reply.status() {
            200 => {}
            400 | 403 | 404 => return Ok(()),
            _ => return Err(self.refused(&mut reply, &[])),
        }
        let may: May = reply.json("about the token's capabilities")?;
        // To write a path that was never written is to create it.
        let needed = if now.version == 0 { "create" } else { "update" };
        if may.capabilities.iter().any(|may| may == needed || may == "root") {
            return Ok(());
        }
        Err(self.api.fault(
            FaultKind::Credential,
            &format!("does not let the token write `{}`: it lacks the capability `{needed}`", clean(&path)),
            format!(
                "give the token of {} a policy with `create`, `read` and `update` on that path",
                self.api.token_from()
            ),
        ))
    }

    /// What an answer that brings nothing means.
    fn refused(&self, reply: &mut Reply<'_>, secrets: &[&str]) -> StoreFault {
        let (status, again, location) = (reply.status(), reply.again(), reply.location());
        let errors = reply.body().ok().and_then(|body| errors(&body));
        let said = |words: &str| errors.iter().flatten().any(|error| error.contains(words));
        let (mismatch, upgrading, sealed) = (said(MISMATCH), said("Upgrading"), said("sealed"));
        let words = self.quoted(errors.clone(), secrets);
        let token = self.api.token_from();
        match status {
            300..=399 => self.api.fault(
                FaultKind::Setup,
                &format!("sends the request to {location}, as a standby does, and redirects are not followed"),
                "write the address of the active node, or of a load balancer before the nodes, as `url` of the store",
            ),
            400 if mismatch => self.moved(),
            400 if upgrading => self.api.fault(
                FaultKind::Unreachable,
                &format!("is changing the mount to version 2{words}"),
                "run the command again in some minutes",
            ),
            401 | 403 => self.api.fault(
                FaultKind::Credential,
                &format!("denies access to `{}` in the mount `{}`{words}", clean(&self.path), clean(&self.mount)),
                format!("see whether {token} holds a token that is still good, with a policy that has `create`, `read` and `update` on that path, and whether `namespace` is right"),
            ),
            // What was written elsewhere has not come to the node that was asked.
            412 => self.api.fault(
                FaultKind::Unreachable,
                &format!("is not up to date at the node that was asked{words}"),
                "run the command again in some seconds",
            ),
            429 => self.api.limited(again, "seconds", &words),
            503 if sealed => self.api.fault(FaultKind::Unreachable, &format!("is sealed{words}"), "unseal it, then run the command again"),
            408 | 500.. => self.api.fault(
                FaultKind::Unreachable,
                &format!("answered with {status}{words}"),
                "it has trouble of its own: run the command again later",
            ),
            _ => self.api.fault(
                FaultKind::Setup,
                &format!("does not take the request for {} as it is: {status}{words}", self.describe()),
                "see whether `mount`, `path` and `namespace` of the store in license.toml are right",
            ),
        }
    }

    /// An answer that is not of version 2: of version 1, or of no Vault at all.
    fn other_shape(&self, body: &[u8]) -> StoreFault {
        #[derive(Deserialize)]
        struct Flat {
            #[serde(rename = "data")]
            _fields: Fields,
        }
        if serde_json::from_slice::<Flat>(body).is_ok() {
            return self.version_1();
        }
        self.api.fault(
            FaultKind::Malformed,
            "answered with a secret in a shape that is not known",
            "see whether `url` of the store in license.toml leads to Vault or OpenBao",
        )
    }

    fn version_1(&self) -> StoreFault {
        self.api.fault(
            FaultKind::Setup,
            &format!("has an engine of version 1 at `{}`, which ignores the condition of a write", clean(&self.mount)),
            format!("make it version 2, as with `vault kv enable-versioning {}`", clean(&self.mount)),
        )
    }

    fn moved(&self) -> StoreFault {
        StoreFault {
            kind: FaultKind::Conflict,
            message: format!("{} was written by somebody else since it was read", self.describe()),
            next: "find out who writes it too, then run the command again".to_owned(),
        }
    }

    fn unsendable(&self) -> StoreFault {
        self.api.fault(FaultKind::Malformed, "holds a secret that cannot be sent back", "look at the secret's fields")
    }

    /// The server's own words, behind a colon, if there are any.
    fn quoted(&self, errors: Option<Vec<String>>, secrets: &[&str]) -> String {
        // Vault breaks its lines and indents them.
        let errors = errors.unwrap_or_default().join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
        if errors.is_empty() { String::new() } else { format!(": {}", self.api.quote(&errors, secrets)) }
    }
}

impl fmt::Debug for VaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultStore").field("url", &self.api.url()).field("data", &self.data).finish_non_exhaustive()
    }
}

/// The `errors` of an answer, if it is one of Vault's.
fn errors(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Said {
        errors: Vec<String>,
    }
    Some(serde_json::from_slice::<Said>(body).ok()?.errors)
}

/// The parts of a path between slashes, each of which may stand in a URL.
fn segments<'a>(what: &str, path: &'a str) -> Result<Vec<&'a str>, StoreFault> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    if path.len() <= PATH_BYTES_MAX && parts.iter().all(|part| http::is_segment(part)) {
        return Ok(parts);
    }
    Err(http::setup(
        format!("`{what}` is `{}`, which is no path of Vault's", clean(path)),
        "write names with single slashes between them, without `.` and `..`".to_owned(),
    ))
}

#[cfg(test)]
mod tests;
