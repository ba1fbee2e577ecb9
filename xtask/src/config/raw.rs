//! `license.toml` as it is written: every value with its place, nothing judged.
//!
//! The doc comments of this file are the descriptions of the published JSON Schema.

use license_core::{KeyClass, UnknownPolicy, rotation::RotationVisible};
#[cfg(test)]
use schemars::JsonSchema;

use super::{
    Dialect, Ephemeral, Idempotency, OnPush,
    fields::{At, Field, Fields, Named, Word},
};

/// Maps every environment of a deploy to its license: values, never secrets.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "license.toml", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("required" = ["version", "environments"])))]
pub(super) struct RawConfig {
    /// The format of the file: 1.
    #[cfg_attr(test, schemars(with = "u32", extend("const" = 1)))]
    pub(super) version: Field<u32>,
    /// The environment that is meant when a command names none. Without it: the only environment.
    pub(super) default: Field<String>,
    /// Where the record of every decision is kept.
    pub(super) trail: Field<RawTrail>,
    /// Who can open the sealed copies of keys that a rotation keeps.
    pub(super) escrow: Field<RawEscrow>,
    /// What the scan for leaked keys looks for besides the keys that are configured, and what it leaves alone.
    pub(super) leaks: Field<RawLeaks>,
    /// Who hears about licenses that end, and about rotations that stand still.
    pub(super) alerts: Field<RawAlerts>,
    /// Webhooks that the authority sends: what `webhook serve` receives and `webhook verify` checks.
    pub(super) webhook: Field<RawWebhook>,
    /// The services that say whether a key may be used, by a name of your choice.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, RawAuthority>"))]
    pub(super) authority: Field<Vec<Named<RawAuthority>>>,
    /// Where a rotation writes the new key, by a name of your choice: lower-case letters, digits, `-` and `_`, at most 63.
    #[cfg_attr(test, schemars(
        with = "std::collections::BTreeMap<String, RawStore>",
        extend("propertyNames" = { "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" })
    ))]
    pub(super) stores: Field<Vec<Named<RawStore>>>,
    /// Where alerts go, by a name of your choice: lower-case letters, digits, `-` and `_`, at most 63.
    #[cfg_attr(test, schemars(
        with = "std::collections::BTreeMap<String, RawSink>",
        extend("propertyNames" = { "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$" })
    ))]
    pub(super) sinks: Field<Vec<Named<RawSink>>>,
    /// What is deployed where, by name: lower-case letters, digits and hyphens, at most 63.
    #[cfg_attr(test, schemars(
        with = "std::collections::BTreeMap<String, RawEnvironment>",
        extend("minProperties" = 1, "propertyNames" = { "pattern": "^[a-z0-9][a-z0-9-]{0,62}$" })
    ))]
    pub(super) environments: Field<Vec<Named<RawEnvironment>>>,
}

/// Where the record of every decision is kept.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Trail", default, deny_unknown_fields))]
pub(super) struct RawTrail {
    /// `file`: under `.license/trail` beside this file (the default). `git`: on refs of a git remote, shared by all machines.
    #[cfg_attr(test, schemars(with = "WordOf<TrailKind>"))]
    pub(super) kind: Field<TrailKind>,
    /// `git` only: the name of the git remote that shares the trail. Default: `origin`.
    pub(super) remote: Field<String>,
    /// Whether a trail that is lost after a CI run is `accepted`, or what needs it is `refused` there (the default).
    #[cfg_attr(test, schemars(with = "WordOf<Ephemeral>"))]
    pub(super) ephemeral: Field<Ephemeral>,
}

/// Who can open the sealed copies of keys that a rotation keeps.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Escrow", default, deny_unknown_fields))]
pub(super) struct RawEscrow {
    /// The age recipients (`age1…`) that keys are sealed to.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("minItems" = 1, "uniqueItems" = true)))]
    pub(super) recipients: Field<Vec<At<String>>>,
    /// Where the age identity is that opens them: `{ env = NAME }`, `{ file = FILE }`, or `{ dotenv = FILE, name = NAME }`.
    pub(super) identity: Field<RawSource>,
}

/// What the scan for leaked keys looks for, and what it leaves alone.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Leaks", default, deny_unknown_fields))]
pub(super) struct RawLeaks {
    /// Regular expressions of further key forms.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(super) patterns: Field<Vec<At<String>>>,
    /// Keys that may be in the repository, each with a reason. Never a key that is configured or in the trail.
    #[cfg_attr(test, schemars(with = "Vec<RawAllowedLeak>"))]
    pub(super) allow: Field<Vec<RawAllowedLeak>>,
    /// Archives that nobody has to look into, such as damaged ones that tests need, each with a reason.
    #[cfg_attr(test, schemars(with = "Vec<RawUnscanned>"))]
    pub(super) unscanned: Field<Vec<RawUnscanned>>,
}

/// A key that may be in the repository.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "AllowedLeak", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("required" = ["fingerprint", "reason"])))]
pub(super) struct RawAllowedLeak {
    /// The key's fingerprint: 16 hex digits.
    pub(super) fingerprint: Field<String>,
    /// Why it may be there.
    pub(super) reason: Field<String>,
}

/// An archive that nobody has to look into: named by `path` or by `sha256`.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Unscanned", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("required" = ["reason"])))]
pub(super) struct RawUnscanned {
    /// A glob for its path from the top of the repository: `*` for any text without a slash, `**` for any text.
    pub(super) path: Field<String>,
    /// The SHA-256 of its bytes in hex digits, or at least the first 16 of them.
    pub(super) sha256: Field<String>,
    /// Why nobody has to.
    pub(super) reason: Field<String>,
}

/// Who hears about licenses that end, and about rotations that stand still.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Alerts", default, deny_unknown_fields))]
pub(super) struct RawAlerts {
    /// How many days before the end of a license an alert is due. Default: 30, 7 and 1.
    #[cfg_attr(test, schemars(with = "Vec<u32>", extend("minItems" = 1, "uniqueItems" = true)))]
    pub(super) days: Field<Vec<At<i64>>>,
    /// The names of the sinks that get the alerts. Default: all of `[sinks]`.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("uniqueItems" = true)))]
    pub(super) sinks: Field<Vec<At<String>>>,
    /// After how long without a look at an environment the next one says so, from `1h` to `90d`. Default: `3d`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) gap: Field<String>,
}

/// Webhooks that the authority sends.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Webhook", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("required" = ["secret"])))]
pub(super) struct RawWebhook {
    /// Where the secret is that the authority signs with: `env`, or `dotenv` with `name`.
    #[cfg_attr(test, schemars(with = "RawSource"))]
    pub(super) secret: Field<RawSource>,
    /// The environments that a webhook may be about. Default: all of them.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("minItems" = 1, "uniqueItems" = true)))]
    pub(super) environments: Field<Vec<At<String>>>,
}

/// A service that says whether a key may be used.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Authority", default, deny_unknown_fields, extend("required" = ["kind"])))]
pub(super) struct RawAuthority {
    /// `embedded`: on this machine, without an account. `traffic-orchestrator`: over HTTP.
    #[cfg_attr(test, schemars(with = "WordOf<AuthorityKind>"))]
    pub(super) kind: Field<AuthorityKind>,
    /// `embedded` only: the directory of its state, relative to this file. Default: `.license/authority`.
    pub(super) state: Field<String>,
    /// `traffic-orchestrator` only: the base address, https except on this machine.
    pub(super) url: Field<String>,
    /// `traffic-orchestrator` only: where its API token is.
    pub(super) token: Field<RawSource>,
    /// `traffic-orchestrator` only: which of its two documented dialects it speaks. Default: `article`.
    #[cfg_attr(test, schemars(with = "WordOf<Dialect>"))]
    pub(super) dialect: Field<Dialect>,
    /// `traffic-orchestrator` only: a file of PEM certificates to trust besides the system's, relative to this file.
    pub(super) ca_file: Field<String>,
    /// `traffic-orchestrator` only: whether validating an old key shows that it was rotated. Default: `unknown`.
    #[cfg_attr(test, schemars(with = "WordOf<RotationVisible>"))]
    pub(super) rotation_visible: Field<RotationVisible>,
    /// `traffic-orchestrator` only: whether a rotation asked again with the same `Idempotency-Key` gives the same new
    /// key (`honored`), or may rotate once more (`ignored`, the default).
    #[cfg_attr(test, schemars(with = "WordOf<Idempotency>"))]
    pub(super) idempotency: Field<Idempotency>,
    /// `traffic-orchestrator` only: the Ed25519 keys that sign its offline tokens, as base64 of 32 bytes or PEM.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(super) public_keys: Field<Vec<At<String>>>,
    /// `traffic-orchestrator` only: the bound on one call, from `1s` to `2m`. Default: `10s`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) timeout: Field<String>,
}

/// Where a rotation writes the new key. `{environment}` in `file`, `name`, `path` and `environment` stands for the environment's name.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Store", default, deny_unknown_fields, extend("required" = ["kind"])))]
pub(super) struct RawStore {
    /// `dotenv`: a line of a dotenv file. `age`: a sealed file. `command`: a helper program. `github`: a secret of a
    /// GitHub environment. `vault`: KV version 2 of Vault or OpenBao.
    #[cfg_attr(test, schemars(with = "WordOf<StoreKind>"))]
    pub(super) kind: Field<StoreKind>,
    /// `dotenv` and `age` only: the file, relative to this file.
    pub(super) file: Field<String>,
    /// `dotenv` and `github` only: the name of the variable or of the secret. Default with `github`: `LICENSE_KEY`.
    pub(super) name: Field<String>,
    /// `age` only: the age recipients that the file is sealed to. Default: those of `[escrow]`.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("minItems" = 1, "uniqueItems" = true)))]
    pub(super) recipients: Field<Vec<At<String>>>,
    /// `age` only: where the age identity is that opens the file. Default: that of `[escrow]`.
    pub(super) identity: Field<RawSource>,
    /// `command` only: the helper program: a text that is split into words (no shell), or the words.
    pub(super) command: Field<RawCommand>,
    /// `command` only: texts that are handed to the helper as they are.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub(super) options: Field<Vec<Named<At<String>>>>,
    /// `command` only: the bound on one call of the helper, from `1s` to `5m`. Default: `30s`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) timeout: Field<String>,
    /// `github` only: the repository, as `owner/name`.
    pub(super) repository: Field<String>,
    /// `github` only: the environment of the repository. Default: the one of the same name.
    pub(super) environment: Field<String>,
    /// `github` and `vault` only: the base address, https except on this machine. Default with `github`: `https://api.github.com`.
    pub(super) url: Field<String>,
    /// `github` and `vault` only: where the token is that may write it.
    pub(super) token: Field<RawSource>,
    /// `github` and `vault` only: a file of PEM certificates to trust besides the system's, relative to this file.
    pub(super) ca_file: Field<String>,
    /// `vault` only: where the KV engine is mounted. Default: `secret`.
    pub(super) mount: Field<String>,
    /// `vault` only: the path of the secret below the mount.
    pub(super) path: Field<String>,
    /// `vault` only: the field of the secret that holds the key. Default: `key`.
    pub(super) field: Field<String>,
    /// `vault` only: the namespace, where the server has them.
    pub(super) namespace: Field<String>,
}

/// Where alerts go.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Sink", default, deny_unknown_fields, extend("required" = ["kind"])))]
pub(super) struct RawSink {
    /// `slack`: a webhook that takes Slack's messages. `pagerduty`: PagerDuty's Events API, version 2. `webhook`: a signed
    /// `CloudEvent`. `github`: an annotation of the workflow run. `command`: a program. `email`: a `sendmail` program.
    #[cfg_attr(test, schemars(with = "WordOf<SinkKind>"))]
    pub(super) kind: Field<SinkKind>,
    /// `slack` and `webhook` only: where the address is. It is a secret.
    pub(super) url: Field<RawSource>,
    /// `pagerduty` only: where the integration key is.
    pub(super) routing_key: Field<RawSource>,
    /// `pagerduty` only: the base address, https except on this machine. Default: `https://events.pagerduty.com`.
    pub(super) service: Field<String>,
    /// `webhook` only: where the secret is that signs what is sent.
    pub(super) secret: Field<RawSource>,
    /// `slack`, `pagerduty` and `webhook` only: a file of PEM certificates to trust besides the system's, relative to this file.
    pub(super) ca_file: Field<String>,
    /// `command` and `email` only: the program: a text that is split into words (no shell), or the words. Default with
    /// `email`: `/usr/sbin/sendmail -t -i`.
    pub(super) command: Field<RawCommand>,
    /// `email` only: who gets it.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("minItems" = 1, "uniqueItems" = true)))]
    pub(super) to: Field<Vec<At<String>>>,
    /// `email` only: who it is from. Default: what the mail program fills in.
    pub(super) from: Field<String>,
    /// The bound on one try, from `1s` to `1m`. Default: `10s`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) timeout: Field<String>,
}

/// One environment: what is deployed, and what its license must allow.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Environment", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("required" = ["authority", "domain", "key"])))]
pub(super) struct RawEnvironment {
    /// The name of the authority that is asked.
    pub(super) authority: Field<String>,
    /// The license's id at the authority. It is not a secret.
    pub(super) license: Field<String>,
    /// The domain that is deployed to: `host` or `host:port`.
    pub(super) domain: Field<String>,
    /// Where the license key is: `{ env = NAME }`, `{ dotenv = FILE, name = NAME }`, `{ age = FILE }` or `{ store = NAME }`.
    pub(super) key: Field<RawSource>,
    /// The class that the key must have.
    #[cfg_attr(test, schemars(with = "WordOf<KeyClass>"))]
    pub(super) key_class: Field<KeyClass>,
    /// Features that the license must include.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("uniqueItems" = true)))]
    pub(super) features: Field<Vec<At<String>>>,
    /// How many activations one deploy adds. Default: not checked.
    #[cfg_attr(test, schemars(range(min = 0, max = ACTIVATIONS_MAX)))]
    pub(super) activations: Field<u32>,
    /// How many days the license must still last. Default: 0.
    #[cfg_attr(test, schemars(range(min = 0, max = MIN_DAYS_LEFT_MAX)))]
    pub(super) min_days_left: Field<u32>,
    /// Whether the license renews by itself: then only the last threshold before its end is an alert. Default: false.
    pub(super) auto_renew: Field<bool>,
    /// What a check comes to whose fact the authority did not state. Default: `block`.
    #[cfg_attr(test, schemars(with = "WordOf<UnknownPolicy>"))]
    pub(super) unknown: Field<UnknownPolicy>,
    /// What happens when the authority cannot be asked: no deploy (`block`, the default), or the last good answer
    /// counts if it is younger than `cached_max_age` (`cached`).
    #[cfg_attr(test, schemars(with = "WordOf<Unreachable>"))]
    pub(super) unreachable: Field<Unreachable>,
    /// How old an answer may be with `unreachable = "cached"`, from `1m` to `30d`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) cached_max_age: Field<String>,
    /// With `unreachable = "cached"`: where a signed offline token is, `{ env = NAME }` or `{ file = FILE }`.
    pub(super) offline_token: Field<RawSource>,
    /// What becomes of a push to one of `branches` when the license cannot be checked: it goes out with a warning
    /// (`warn`, the default), or it is stopped (`block`). A license that is refused stops the push in any case.
    #[cfg_attr(test, schemars(with = "WordOf<OnPush>"))]
    pub(super) on_push: Field<OnPush>,
    /// The deploy command: a text that is split into words (no shell), or the words.
    pub(super) deploy: Field<RawCommand>,
    /// How long the deploy command may run, from `1s` to `24h`. Default: `30m`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) deploy_timeout: Field<String>,
    /// What runs when the deployed application stays unhealthy, written like `deploy`.
    pub(super) rollback: Field<RawCommand>,
    /// Where the deployed application tells its license.
    pub(super) health: Field<RawHealth>,
    /// The branches of the remote whose pushes deploy here: names with `*` for any text up to a slash and `**` for any
    /// text, or whole refs such as `refs/tags/v*`.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("uniqueItems" = true)))]
    pub(super) branches: Field<Vec<At<String>>>,
    /// The names of the stores that a rotation writes, besides the place that `key` names.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("uniqueItems" = true)))]
    pub(super) stores: Field<Vec<At<String>>>,
    /// When and how the key is rotated.
    pub(super) rotation: Field<RawRotation>,
}

/// Where the deployed application tells its license.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Health", default, deny_unknown_fields, extend("required" = ["url"])))]
pub(super) struct RawHealth {
    /// The address, https except on this machine.
    pub(super) url: Field<String>,
    /// How long it may take until the application is healthy, from `1s` to `1h`. Default: `1m`.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) within: Field<String>,
}

/// When and how the key is rotated.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Rotation", default, deny_unknown_fields))]
pub(super) struct RawRotation {
    /// How many days the old key works on after a rotation. Default: 7.
    #[cfg_attr(test, schemars(range(min = 0, max = GRACE_DAYS_MAX)))]
    pub(super) grace_days: Field<u32>,
    /// The age from which a key is to be rotated, such as `30d`. An older one is warned about.
    #[cfg_attr(test, schemars(regex(pattern = DURATION_PATTERN)))]
    pub(super) max_age: Field<String>,
}

/// The place of a secret: exactly one of its forms.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Source", default, deny_unknown_fields))]
#[cfg_attr(test, schemars(extend("oneOf" = [
    { "required": ["env"] },
    { "required": ["dotenv", "name"] },
    { "required": ["file"] },
    { "required": ["age"] },
    { "required": ["store"] },
])))]
pub(super) struct RawSource {
    /// An environment variable.
    #[cfg_attr(test, schemars(regex(pattern = VARIABLE_PATTERN)))]
    pub(super) env: Field<String>,
    /// A dotenv file, relative to this file; with `name`.
    pub(super) dotenv: Field<String>,
    /// The variable in the dotenv file.
    #[cfg_attr(test, schemars(regex(pattern = VARIABLE_PATTERN)))]
    pub(super) name: Field<String>,
    /// A file that holds nothing else, relative to this file (offline tokens and age identities only).
    pub(super) file: Field<String>,
    /// A file sealed with age, relative to this file (license keys only).
    pub(super) age: Field<String>,
    /// With `age`: where the age identity is that opens the file. Default: that of `[escrow]`.
    pub(super) identity: Field<Box<RawSource>>,
    /// The name of a store that can be read (license keys only).
    pub(super) store: Field<String>,
}

/// A command: a text that is split into words as POSIX quotes them, or the words themselves.
#[derive(Debug)]
#[cfg_attr(test, derive(JsonSchema), schemars(rename = "Command", untagged))]
pub(super) enum RawCommand {
    /// A text, split into words as POSIX quotes them. No shell sees it.
    Text(String),
    /// The program and its arguments.
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("minItems" = 1)))]
    Words(Vec<At<String>>),
}

impl RawConfig {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            version: fields.whole("version", 0..=u32::MAX),
            default: fields.text("default"),
            trail: fields.table("trail", RawTrail::read),
            escrow: fields.table("escrow", RawEscrow::read),
            leaks: fields.table("leaks", RawLeaks::read),
            alerts: fields.table("alerts", RawAlerts::read),
            webhook: fields.table("webhook", RawWebhook::read),
            authority: fields.tables("authority", "authority", RawAuthority::read),
            stores: fields.tables("stores", "store", RawStore::read),
            sinks: fields.tables("sinks", "sink", RawSink::read),
            environments: fields.tables("environments", "environment", RawEnvironment::read),
        }
    }
}

impl RawTrail {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { kind: fields.word("kind"), remote: fields.text("remote"), ephemeral: fields.word("ephemeral") }
    }
}

impl RawEscrow {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { recipients: fields.texts("recipients"), identity: fields.secret("identity", RawSource::read) }
    }
}

impl RawLeaks {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            patterns: fields.texts("patterns"),
            allow: fields.list_of_tables("allow", RawAllowedLeak::read),
            unscanned: fields.list_of_tables("unscanned", RawUnscanned::read),
        }
    }
}

impl RawAllowedLeak {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { fingerprint: fields.text("fingerprint"), reason: fields.text("reason") }
    }
}

impl RawUnscanned {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { path: fields.text("path"), sha256: fields.text("sha256"), reason: fields.text("reason") }
    }
}

impl RawAlerts {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { days: fields.wholes("days"), sinks: fields.texts("sinks"), gap: fields.text("gap") }
    }
}

impl RawWebhook {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { secret: fields.secret("secret", RawSource::read), environments: fields.texts("environments") }
    }
}

impl RawAuthority {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            kind: fields.word("kind"),
            state: fields.text("state"),
            url: fields.text("url"),
            token: fields.secret("token", RawSource::read),
            dialect: fields.word("dialect"),
            ca_file: fields.text("ca_file"),
            rotation_visible: fields.word("rotation_visible"),
            idempotency: fields.word("idempotency"),
            public_keys: fields.texts("public_keys"),
            timeout: fields.text("timeout"),
        }
    }
}

impl RawStore {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            kind: fields.word("kind"),
            file: fields.text("file"),
            name: fields.text("name"),
            recipients: fields.texts("recipients"),
            identity: fields.secret("identity", RawSource::read),
            command: fields.command("command"),
            options: fields.named_texts("options"),
            timeout: fields.text("timeout"),
            repository: fields.text("repository"),
            environment: fields.text("environment"),
            url: fields.text("url"),
            token: fields.secret("token", RawSource::read),
            ca_file: fields.text("ca_file"),
            mount: fields.text("mount"),
            path: fields.text("path"),
            field: fields.text("field"),
            namespace: fields.text("namespace"),
        }
    }
}

impl RawSink {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            kind: fields.word("kind"),
            url: fields.secret("url", RawSource::read),
            routing_key: fields.secret("routing_key", RawSource::read),
            service: fields.text("service"),
            secret: fields.secret("secret", RawSource::read),
            ca_file: fields.text("ca_file"),
            command: fields.command("command"),
            to: fields.texts("to"),
            from: fields.text("from"),
            timeout: fields.text("timeout"),
        }
    }
}

impl RawEnvironment {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            authority: fields.text("authority"),
            license: fields.text("license"),
            domain: fields.text("domain"),
            key: fields.secret("key", RawSource::read),
            key_class: fields.word("key_class"),
            features: fields.texts("features"),
            activations: fields.whole("activations", 0..=ACTIVATIONS_MAX),
            min_days_left: fields.whole("min_days_left", 0..=MIN_DAYS_LEFT_MAX),
            auto_renew: fields.flag("auto_renew"),
            unknown: fields.word("unknown"),
            unreachable: fields.word("unreachable"),
            cached_max_age: fields.text("cached_max_age"),
            offline_token: fields.secret("offline_token", RawSource::read),
            on_push: fields.word("on_push"),
            deploy: fields.command("deploy"),
            deploy_timeout: fields.text("deploy_timeout"),
            rollback: fields.command("rollback"),
            health: fields.table("health", RawHealth::read),
            branches: fields.texts("branches"),
            stores: fields.texts("stores"),
            rotation: fields.table("rotation", RawRotation::read),
        }
    }
}

impl RawHealth {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { url: fields.text("url"), within: fields.text("within") }
    }
}

impl RawRotation {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self { grace_days: fields.whole("grace_days", 0..=GRACE_DAYS_MAX), max_age: fields.text("max_age") }
    }
}

impl RawSource {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            env: fields.text("env"),
            dotenv: fields.text("dotenv"),
            name: fields.text("name"),
            file: fields.text("file"),
            age: fields.text("age"),
            identity: fields.secret("identity", |fields| Box::new(Self::read(fields))),
            store: fields.text("store"),
        }
    }
}

/// More activations than this in one deploy are a mistake.
pub(super) const ACTIVATIONS_MAX: u32 = 1_000_000;

/// The longest horizon for the expiry, in days.
pub(super) const MIN_DAYS_LEFT_MAX: u32 = 3650;

/// The longest grace of an old key, in days.
pub(super) const GRACE_DAYS_MAX: u32 = 3650;

/// What a length of time looks like, for editors.
#[cfg(test)]
const DURATION_PATTERN: &str = "^[1-9][0-9]*[smhd]$";

/// What a variable's name looks like, for editors.
#[cfg(test)]
const VARIABLE_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Where a trail is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrailKind {
    File,
    Git,
}

impl Word for TrailKind {
    const WORDS: &'static [(&'static str, Self)] = &[("file", Self::File), ("git", Self::Git)];
}

impl Word for Ephemeral {
    const WORDS: &'static [(&'static str, Self)] = &[("refused", Self::Refused), ("accepted", Self::Accepted)];
}

/// The kinds of authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthorityKind {
    Embedded,
    TrafficOrchestrator,
}

impl Word for AuthorityKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("embedded", Self::Embedded), ("traffic-orchestrator", Self::TrafficOrchestrator)];
}

impl Word for Dialect {
    const WORDS: &'static [(&'static str, Self)] = &[("article", Self::Article), ("sdk", Self::Sdk)];
}

impl Word for RotationVisible {
    const WORDS: &'static [(&'static str, Self)] = &[("unknown", Self::Unknown), ("yes", Self::Yes), ("no", Self::No)];
}

impl Word for Idempotency {
    const WORDS: &'static [(&'static str, Self)] = &[("ignored", Self::Ignored), ("honored", Self::Honored)];
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Dotenv,
    Age,
    Command,
    Github,
    Vault,
}

impl Word for StoreKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("dotenv", Self::Dotenv),
        ("age", Self::Age),
        ("command", Self::Command),
        ("github", Self::Github),
        ("vault", Self::Vault),
    ];
}

/// The kinds of sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkKind {
    Slack,
    Pagerduty,
    Webhook,
    Github,
    Command,
    Email,
}

impl Word for SinkKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("slack", Self::Slack),
        ("pagerduty", Self::Pagerduty),
        ("webhook", Self::Webhook),
        ("github", Self::Github),
        ("command", Self::Command),
        ("email", Self::Email),
    ];
}

impl Word for KeyClass {
    const WORDS: &'static [(&'static str, Self)] = &[("DEV", Self::Dev), ("STG", Self::Stg), ("PRD", Self::Prd)];
}

impl Word for UnknownPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[("block", Self::Block), ("warn", Self::Warn)];
}

/// What an environment does when its authority cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    Block,
    Cached,
}

impl Word for Unreachable {
    const WORDS: &'static [(&'static str, Self)] = &[("block", Self::Block), ("cached", Self::Cached)];
}

impl Word for OnPush {
    const WORDS: &'static [(&'static str, Self)] = &[("warn", Self::Warn), ("block", Self::Block)];
}

/// The schema of a word out of a list.
#[cfg(test)]
pub(super) struct WordOf<T>(std::marker::PhantomData<T>);

#[cfg(test)]
impl<T: Word> JsonSchema for WordOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

/// The schema of a field is that of its value.
#[cfg(test)]
impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
