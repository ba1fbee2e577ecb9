//! A secret of one environment on GitHub.
//!
//! GitHub takes secrets and never gives them back. It shows `updated_at`, the time of the last write, and that is all
//! a store of this kind can tell: *that* somebody wrote, not who, nor what. There is no precondition in the API either,
//! so that a write of somebody else between the last look and ours, some milliseconds, would be lost unseen.
//!
//! `updated_at` has a resolution of one second, by GitHub's clock. Two writes in one second look like one. So that a
//! changed time proves a write, [`GithubStore::write`] first lets GitHub's clock, as `Date` tells it, go past the time
//! of the write before by [`PAST_SECS`]; it waits for that at most once. The time that is read back afterwards is then
//! another one if, and only if, somebody wrote after that look.

use std::{fmt, thread, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use crypto_box::{PublicKey, aead::OsRng};
use jiff::Timestamp;
use license_core::{LicenseKey, finding::clean};
use serde::{Deserialize, Serialize};
use ureq::http::{Method, header};
use zeroize::Zeroizing;

use super::{
    held::{FaultKind, Held, StoreFault, Version, Written},
    http::{self, Access, Api, Reply},
};
use crate::vars::Vars;

/// The version of the API whose answers are known here.
const API_VERSION: &str = "2022-11-28";
/// An answer is read so far, in bytes. The largest known one has some hundreds.
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// So much later than the last write GitHub's clock must be before another one, in seconds: one for the resolution,
/// one because the machines that tell the two times are not the same.
const PAST_SECS: i64 = 2;
/// The longest wait for that, in seconds. A last write that lies further in the future is an error.
const WAIT_SECS_MAX: i64 = 3;
/// The longest name of a secret or an environment, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a store needs to know. Values only.
pub(crate) struct GithubSettings {
    /// The API's base address: `https://api.github.com`, or `https://HOST/api/v3`.
    pub(crate) url: String,
    /// `OWNER/NAME`.
    pub(crate) repository: String,
    /// The environment's name on GitHub.
    pub(crate) environment: String,
    /// The secret's name.
    pub(crate) name: String,
    /// The token.
    pub(crate) token: Zeroizing<String>,
    /// Where the token comes from, in words: "the environment variable `GH_SECRETS_TOKEN`".
    pub(crate) token_from: String,
    /// PEM certificates to trust besides the system's and the built-in ones.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// The bound on one request; see [`http::CALL_SECS`].
    pub(crate) timeout: Duration,
}

/// A secret of one environment on GitHub.
pub(crate) struct GithubStore {
    api: Api,
    repository: String,
    environment: String,
    name: String,
    /// The path of the environment's secrets.
    secrets: String,
}

/// The key that secrets are sealed for.
#[derive(Deserialize)]
struct SealingKey {
    key_id: String,
    key: String,
}

/// What GitHub shows of a secret.
#[derive(Deserialize)]
struct Shown {
    updated_at: String,
}

/// A secret on its way.
#[derive(Serialize)]
struct Sealed<'a> {
    encrypted_value: String,
    key_id: &'a str,
}

/// What is sent to be written.
struct Ready {
    body: Vec<u8>,
    /// Which key it is sealed for.
    key_id: String,
}

/// What came of that.
enum Put {
    /// It is over.
    Ended(Written),
    /// GitHub cannot work with the value.
    NotTaken(StoreFault),
}

/// What a look at the secret shows.
struct Look {
    version: Version,
    /// The time of the last write, if there was one.
    updated_at: Option<Timestamp>,
    /// GitHub's clock.
    now: Option<Timestamp>,
}

/// What was asked for, which decides what a 404 means.
#[derive(Clone, Copy)]
enum Asked {
    /// The environment's key for sealing.
    Key,
    /// The secret.
    Secret,
    /// To write the secret.
    Write,
}

impl GithubStore {
    /// Makes the store; nothing is sent yet. Proxies are taken from the variables, never for loopback.
    pub(crate) fn new(settings: GithubSettings, vars: &Vars) -> Result<Self, StoreFault> {
        let GithubSettings { url, repository, environment, name, token, token_from, ca_pem, timeout } = settings;
        let (owner, repo) = parts(&repository)?;
        checked_environment(&environment)?;
        checked_name(&name)?;
        let secrets = http::path(["repos", owner, repo, "environments", &environment, "secrets"]);
        let headers = vec![
            ("accept", "application/vnd.github+json".to_owned()),
            ("x-github-api-version", API_VERSION.to_owned()),
        ];
        let access = Access {
            whom: "GitHub",
            url,
            token,
            token_header: header::AUTHORIZATION,
            token_prefix: "Bearer ",
            token_from,
            headers,
            ca_pem,
            timeout,
            body_bytes_max: BODY_BYTES_MAX,
        };
        Ok(Self { api: Api::new(access, vars)?, repository, environment, name, secrets })
    }

    /// Proves as much of "it could be written" as GitHub tells without a write: the token is good, it sees the
    /// environment and its key, the key is one, and a classic token has the scope that a write needs. Of a fine-grained
    /// token GitHub does not say whether it may write.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        self.sealing_key()?;
        Ok(Held::Hidden { version: self.look()?.version })
    }

    /// Reads when the secret was last written. The key itself is never seen again. GitHub says 404 for what is not
    /// there and for what the token may not see: there is no secret only if its environment can be seen.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        let version = self.look()?.version;
        if version == Version::NONE {
            self.sealing_key()?;
        }
        Ok(Held::Hidden { version })
    }

    /// Seals the key for the environment and sends it once, if nobody wrote since. Writing the same key again does no
    /// harm, so that the rotation's id is not needed here.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, _rotation_id: &str) -> Written {
        let first = match self.prepare(key, over) {
            Ok(ready) => ready,
            Err(fault) => return Written::Failed(fault),
        };
        let fault = match self.put(&first, key) {
            Put::Ended(written) => return written,
            Put::NotTaken(fault) => fault,
        };
        // The environment may have got another key for sealing since it was read, which reading it again shows.
        match self.prepare(key, over) {
            Ok(second) if second.key_id != first.key_id => match self.put(&second, key) {
                Put::Ended(written) => written,
                Put::NotTaken(_) => Written::Failed(self.api.fault(
                    FaultKind::Unreachable,
                    "took neither of two values, each sealed for the key that it gave just before",
                    "run the command again in some minutes",
                )),
            },
            Ok(_) => Written::Failed(fault),
            Err(other) => Written::Failed(other),
        }
    }

    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!(
            "the secret `{}` of the environment `{}` of `{}` on GitHub",
            self.name, self.environment, self.repository
        )
    }

    /// Everything before the request that writes: the seal first, so that the last look is as late as can be.
    fn prepare(&self, key: &LicenseKey, over: &Version) -> Result<Ready, StoreFault> {
        let sealing_key = self.sealing_key()?;
        let sealed = sealing_key.0.seal(&mut OsRng, key.reveal().as_bytes()).map_err(|_| {
            self.api.fault(FaultKind::Malformed, "gave a key that nothing can be sealed for", "run the command again")
        })?;
        let body = Sealed { encrypted_value: STANDARD.encode(sealed), key_id: &sealing_key.1 };
        let body = serde_json::to_vec(&body).map_err(|_| {
            self.api.fault(FaultKind::Malformed, "gave a key id that cannot be sent back", "run the command again")
        })?;
        let look = self.unmoved(over)?;
        if let Some(wait) = self.wait(&look)? {
            thread::sleep(wait);
            if self.wait(&self.unmoved(over)?)?.is_some() {
                return Err(self.just_written());
            }
        }
        Ok(Ready { body, key_id: sealing_key.1 })
    }

    /// A look that shows the version that is expected.
    fn unmoved(&self, over: &Version) -> Result<Look, StoreFault> {
        let look = self.look()?;
        if look.version == *over {
            return Ok(look);
        }
        let time = |version: &Version| version.0.as_deref().map_or_else(|| "never".to_owned(), clean);
        Err(StoreFault {
            kind: FaultKind::Conflict,
            message: format!(
                "{} was written by somebody else: it was last written {}, and is now {}",
                self.describe(),
                time(over),
                time(&look.version)
            ),
            next: "find out who writes it too, then run the command again".to_owned(),
        })
    }

    /// How long to wait until a write gets a time of its own.
    fn wait(&self, look: &Look) -> Result<Option<Duration>, StoreFault> {
        let (Some(updated_at), Some(now)) = (look.updated_at, look.now) else { return Ok(None) };
        let secs = updated_at.as_second().saturating_add(PAST_SECS).saturating_sub(now.as_second());
        if secs > WAIT_SECS_MAX {
            return Err(self.just_written());
        }
        Ok(u64::try_from(secs).ok().filter(|&secs| secs > 0).map(Duration::from_secs))
    }

    fn just_written(&self) -> StoreFault {
        StoreFault {
            kind: FaultKind::Unreachable,
            message: format!(
                "{} was written this very moment by GitHub's clock, and another write could not be told from it",
                self.describe()
            ),
            next: "run the command again in a minute".to_owned(),
        }
    }

    fn put(&self, ready: &Ready, key: &LicenseKey) -> Put {
        let path = format!("{}{}", self.secrets, http::path([self.name.as_str()]));
        let mut reply = match self.api.send(Method::PUT, &path, &ready.body) {
            Ok(reply) => reply,
            Err(missed) => return Put::Ended(missed.written()),
        };
        Put::Ended(match reply.status() {
            201 | 204 => Written::Done,
            422 => return Put::NotTaken(self.refused(Asked::Write, &mut reply, &[key.reveal()])),
            300..=399 | 400..=407 | 409..=499 => {
                Written::Failed(self.refused(Asked::Write, &mut reply, &[key.reveal()]))
            }
            status => {
                let words = self.words(&mut reply, &[key.reveal()]);
                let kind = if status < 300 { FaultKind::Malformed } else { FaultKind::Unreachable };
                Written::Unknown(self.api.fault(
                    kind,
                    &format!("answered the write of {} with {status}{words}", self.describe()),
                    http::MAY_BE_WRITTEN,
                ))
            }
        })
    }

    /// The environment's key for sealing, and its id.
    fn sealing_key(&self) -> Result<(PublicKey, String), StoreFault> {
        let mut reply = self.api.get(&format!("{}/public-key", self.secrets))?;
        if reply.status() != 200 {
            return Err(self.refused(Asked::Key, &mut reply, &[]));
        }
        // A token that has no scopes may be of another kind.
        if let Some(scopes) = reply.header("x-oauth-scopes").filter(|scopes| !scopes.trim().is_empty())
            && !scopes.split(',').any(|scope| scope.trim() == "repo")
        {
            return Err(self.api.fault(
                FaultKind::Credential,
                &format!(
                    "says that the token may not write: {} is a classic token without the scope `repo`",
                    self.api.token_from()
                ),
                self.wanted(),
            ));
        }
        let given: SealingKey = reply.json("with the key for sealing")?;
        let bytes = STANDARD.decode(&given.key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        // A box for the zero point could be opened by anybody.
        let key = bytes.filter(|bytes| *bytes != [0; 32]).map(PublicKey::from_bytes).ok_or_else(|| {
            self.api.fault(
                FaultKind::Malformed,
                "gave a key for sealing that is no X25519 key in base64",
                "see whether `url` of the store in license.toml leads to GitHub's API",
            )
        })?;
        Ok((key, given.key_id))
    }

    fn look(&self) -> Result<Look, StoreFault> {
        let mut reply = self.api.get(&format!("{}{}", self.secrets, http::path([self.name.as_str()])))?;
        let now = reply.date();
        if reply.status() == 404 {
            return Ok(Look { version: Version::NONE, updated_at: None, now });
        }
        if reply.status() != 200 {
            return Err(self.refused(Asked::Secret, &mut reply, &[]));
        }
        let shown: Shown = reply.json("about the secret")?;
        let updated_at: Timestamp = shown.updated_at.parse().map_err(|_| {
            self.api.fault(
                FaultKind::Malformed,
                "told a time of the last write that is none",
                "see whether `url` of the store in license.toml leads to GitHub's API",
            )
        })?;
        // As GitHub wrote it: it is compared, not computed with.
        Ok(Look { version: Version(Some(shown.updated_at)), updated_at: Some(updated_at), now })
    }

    /// What an answer that brings nothing means.
    fn refused(&self, asked: Asked, reply: &mut Reply<'_>, secrets: &[&str]) -> StoreFault {
        let (status, again, location) = (reply.status(), reply.again(), reply.location());
        let words = self.words(reply, secrets);
        let limited = matches!(status, 403 | 429) && (again.is_some() || words.to_lowercase().contains("rate limit"));
        if limited || status == 429 {
            return self.api.limited(again, "minutes", &words);
        }
        let place = format!("the environment `{}` of `{}`", self.environment, self.repository);
        match (status, asked) {
            (300..=399, _) => self.api.fault(
                FaultKind::Setup,
                &format!("has moved what was asked for to {location}, and redirects are not followed"),
                format!("if `{}` was renamed or transferred, write its new name as `repository` of the store", self.repository),
            ),
            (401, _) => self.api.fault(
                FaultKind::Credential,
                &format!("refused the token{words}"),
                format!("see whether {} holds a token that is still good", self.api.token_from()),
            ),
            (403, _) => self.api.fault(
                FaultKind::Credential,
                &format!("does not let the token at the secrets of {place}{words}"),
                self.wanted(),
            ),
            (404, Asked::Key | Asked::Write) => self.api.fault(
                FaultKind::Setup,
                &format!("shows no {}{words}", place.trim_start_matches("the ")),
                format!(
                    "create the environment in the repository's settings, and see whether the token sees the repository: {}",
                    self.wanted()
                ),
            ),
            (409, _) => self.api.fault(
                FaultKind::Conflict,
                &format!("reports a conflict at {}{words}", self.describe()),
                "run the command again",
            ),
            (500.., _) => self.api.fault(
                FaultKind::Unreachable,
                &format!("answered with {status}{words}"),
                "it has trouble of its own: run the command again later",
            ),
            (_, Asked::Write | Asked::Key | Asked::Secret) => self.api.fault(
                FaultKind::Setup,
                &format!("does not take the request for {} as it is: {status}{words}", self.describe()),
                "see whether `repository`, `environment` and `name` of the store in license.toml are right",
            ),
        }
    }

    /// What a token needs.
    fn wanted(&self) -> String {
        format!(
            "give {} a fine-grained token with write access to `Environments` and `Secrets` of `{}`, or a classic one \
             with the scope `repo`",
            self.api.token_from(),
            self.repository
        )
    }

    /// GitHub's own words, behind a colon, if there are any.
    fn words(&self, reply: &mut Reply<'_>, secrets: &[&str]) -> String {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        match reply.json::<Said>("") {
            Ok(said) => format!(": {}", self.api.quote(&said.message, secrets)),
            Err(_) => String::new(),
        }
    }
}

impl fmt::Debug for GithubStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubStore")
            .field("url", &self.api.url())
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// The owner and the name of a repository.
fn parts(repository: &str) -> Result<(&str, &str), StoreFault> {
    let is_name = |text: &str| {
        http::is_segment(text) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    repository.split_once('/').filter(|(owner, name)| is_name(owner) && is_name(name)).ok_or_else(|| {
        http::setup(
            format!("`repository` is `{}`, which is not the name of a repository", clean(repository)),
            "write it as `OWNER/NAME`".to_owned(),
        )
    })
}

fn checked_environment(environment: &str) -> Result<(), StoreFault> {
    if http::is_segment(environment) && environment.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(http::setup(
        format!("`environment` is `{}`, which no environment on GitHub is called", clean(environment)),
        "write the name that stands in the repository's settings".to_owned(),
    ))
}

/// GitHub's rules for the names of secrets.
fn checked_name(name: &str) -> Result<(), StoreFault> {
    let why = if name.is_empty() || name.len() > NAME_BYTES_MAX {
        "is empty or too long"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        "has a character other than letters, digits and `_`"
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        "begins with a digit"
    } else if name.to_ascii_uppercase().starts_with("GITHUB_") {
        "begins with `GITHUB_`, which GitHub keeps for itself"
    } else {
        return Ok(());
    };
    Err(http::setup(
        format!("`name` is `{}`, which {why}", clean(name)),
        "choose a name that GitHub takes, as in `LICENSE_KEY`".to_owned(),
    ))
}

#[cfg(test)]
mod tests;
