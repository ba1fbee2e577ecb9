//! What replaying a trail gives, as one value that can itself be written into the trail.
//!
//! A checkpoint is an entry that carries this value. Whoever needs only state begins at the newest one; whoever wants
//! to know whether the trail is in order reads everything, and compares each checkpoint with what was folded up to it.

use alloc::{boxed::Box, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct as _};

use crate::{
    alert::{Alert, AlertEvent, Ledger},
    demand::Demand,
    gate::Verdict,
    key::Fingerprint,
    license::License,
    rotation::{ClaimEvent, Misfit, State},
    trail::{Deploys, Event, GateRecord, Look, Looked, Record},
    webhook::{Heard, Last, WebhookRecord},
};

/// After how many entries a checkpoint follows.
pub const CHECKPOINT_ENTRIES: u64 = 200;

/// How many keys are remembered. The one that was named longest ago is dropped: should it come back, it is first seen
/// then, and its answers and its refusal are forgotten, as if the trail began there.
pub const KEYS_MAX: usize = 256;

/// How many good answers are remembered, over all keys and demands. The oldest is dropped: should the authority be
/// unreachable, no cached answer stands in for that key and demand, and the deploy stops.
pub const GOODS_MAX: usize = 64;

/// The version of what a checkpoint carries. It is raised by every change of what is folded or how: a checkpoint of
/// another version is neither used nor judged.
const FORMAT: u32 = 6;

/// The state of one environment after some entries of its trail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Folded {
    rotation: State,
    /// Every key, the one that was named last at the end; at most [`KEYS_MAX`].
    keys: Vec<KeySeen>,
    /// Good answers, the newest at the end; one for each key and demand, and at most [`GOODS_MAX`].
    goods: Vec<Good>,
    alerts: Ledger,
    deploys: Deploys,
    looked: Option<Looked>,
    heard: Heard,
    last_webhooks: Last,
    grasp: Grasp,
}

/// What is remembered about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeySeen {
    key: Fingerprint,
    first_seen: Timestamp,
    last_word: LastWord,
}

/// The last thing that was decided about a key and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LastWord {
    /// No refusal, or a good answer of the authority after it.
    NotRefused,
    /// A refusal.
    Refused,
}

/// An answer of the authority on which a deploy may rest when it cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Good {
    key: Fingerprint,
    at: Timestamp,
    demand: Demand,
    license: License,
}

/// Whether every entry was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Grasp {
    /// It was.
    #[default]
    Everything,
    /// A newer version wrote some of them, so that this one cannot vouch for the whole state.
    NotEverything,
}

impl Folded {
    /// The state after these entries, oldest first, from the trail's beginning. What checkpoints say is not used.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, Misfit> {
        records.into_iter().try_fold(Self::default(), Self::apply)
    }

    /// The state after these entries, oldest first, of which the first is a checkpoint; nothing if it is none that
    /// this version can read. Then the trail is to be read from its beginning.
    pub fn resume<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Option<Self>, Misfit> {
        let mut records = records.into_iter();
        let Some(Event::Checkpoint(Checkpoint::Of(state))) = records.next().map(|record| &record.event) else {
            return Ok(None);
        };
        records.try_fold(Self::clone(state), Self::apply).map(Some)
    }

    /// The state after one more entry.
    pub fn apply(mut self, record: &Record) -> Result<Self, Misfit> {
        self.rotation = self.rotation.apply(record)?;
        if let Some(key) = record.event.key_fingerprint() {
            self.see(*key, record.at);
        }
        self.deploys.apply(record);
        match &record.event {
            Event::Gate(gate) => self.decided(gate, record.at),
            Event::Alert(event) => self.alerted(event, record.at),
            Event::Look(look) => self.seen_by(look, record.at),
            Event::Webhook(webhook) => self.told(webhook, record.at),
            Event::NotKnown | Event::Claim(ClaimEvent::NotKnown) => self.grasp = Grasp::NotEverything,
            Event::Issued { .. }
            | Event::GateFailed { .. }
            | Event::DeployStarted { .. }
            | Event::DeployEnded { .. }
            | Event::Health { .. }
            | Event::RollbackEnded { .. }
            | Event::Claim(ClaimEvent::Claimed { .. } | ClaimEvent::Released { .. } | ClaimEvent::Broken { .. })
            | Event::Rotation(_)
            | Event::Checkpoint(_) => {}
        }
        Ok(self)
    }

    /// The entry that carries this state. There is none after an entry that a newer version wrote.
    pub fn checkpoint(&self) -> Option<Event> {
        match self.grasp {
            Grasp::Everything => Some(Event::Checkpoint(Checkpoint::Of(Box::new(self.clone())))),
            Grasp::NotEverything => None,
        }
    }

    /// Who has the environment, and where its rotation stands.
    pub fn rotation(&self) -> &State {
        &self.rotation
    }

    /// The alerts, and who was told.
    pub fn alerts(&self) -> &Ledger {
        &self.alerts
    }

    /// The deploys that a look is compared with.
    pub fn deploys(&self) -> &Deploys {
        &self.deploys
    }

    /// What was seen at the last look that is in the trail.
    pub fn looked(&self) -> Option<&Looked> {
        self.looked.as_ref()
    }

    /// The webhooks of the authority that were heard.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The last webhooks of the authority, for whoever looks.
    pub fn last_webhooks(&self) -> &Last {
        &self.last_webhooks
    }

    /// When a key was first seen in the trail.
    pub fn first_seen(&self, key: &Fingerprint) -> Option<Timestamp> {
        self.seen(*key).map(|seen| seen.first_seen)
    }

    /// Every key that is remembered, the one that was named last at the end.
    pub fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        self.keys.iter().map(|seen| &seen.key)
    }

    /// The newest decision on which a deploy may rest when the authority cannot be asked: same key, same demand,
    /// answered by the authority, not forced, and no refusal of the key since.
    ///
    /// The time is when it was decided, by the clock of that machine. Its license is to be judged again: it may have
    /// expired since.
    pub fn last_good(&self, key: &Fingerprint, demand: &Demand) -> Option<(&License, Timestamp)> {
        let good = self.goods.iter().find(|good| good.key == *key && good.demand == *demand)?;
        Some((&good.license, good.at))
    }

    /// Whether a key was refused, and no good answer of the authority came since: an outage does not undo a refusal,
    /// nor does what rested on an earlier answer, on a token or on force.
    pub fn refused_last(&self, key: &Fingerprint) -> bool {
        self.seen(*key).is_some_and(|seen| seen.last_word == LastWord::Refused)
    }

    fn alerted(&mut self, event: &AlertEvent, at: Timestamp) {
        if matches!(event, AlertEvent::NotKnown | AlertEvent::Due { alert: Alert::NotKnown, .. }) {
            self.grasp = Grasp::NotEverything;
        }
        self.alerts.apply(event, at);
    }

    /// What the authority tells of is owed to the sinks from the same entry on: nothing can be lost in between.
    fn told(&mut self, webhook: &WebhookRecord, at: Timestamp) {
        self.heard.hear(&webhook.notification.event_id, at);
        self.last_webhooks.receive(&webhook.notification, at);
        self.alerts.owe(&webhook.notification, &webhook.sinks, at);
    }

    fn seen(&self, key: Fingerprint) -> Option<&KeySeen> {
        self.keys.iter().find(|seen| seen.key == key)
    }

    /// A look is no decision about a deploy, so that none rests on a good one. What it saw refused ends what earlier
    /// answers are worth all the same, and what the authority said itself ends a refusal.
    fn seen_by(&mut self, look: &Look, at: Timestamp) {
        self.looked = Some(Looked { at, look: look.clone() });
        let (Some(key), Some(verdict)) = (look.key_fingerprint, look.said()) else { return };
        match verdict {
            Verdict::Refused => self.last_word(key, LastWord::Refused),
            Verdict::Go => self.last_word(key, LastWord::NotRefused),
            Verdict::Unknown => {}
        }
    }

    /// Puts a key at the end of those that are remembered.
    fn see(&mut self, key: Fingerprint, at: Timestamp) {
        let known = self.keys.iter().position(|seen| seen.key == key).map(|place| self.keys.remove(place));
        self.keys.push(known.unwrap_or(KeySeen { key, first_seen: at, last_word: LastWord::NotRefused }));
        if self.keys.len() > KEYS_MAX {
            let dropped = self.keys.remove(0).key;
            self.goods.retain(|good| good.key != dropped);
        }
    }

    /// A refusal ends what earlier answers are worth, whatever was demanded then; a good answer ends the refusal.
    fn decided(&mut self, gate: &GateRecord, at: Timestamp) {
        let key = gate.key_fingerprint;
        let word = match (gate.verdict, gate.good_license()) {
            (Verdict::Refused, _) => LastWord::Refused,
            (Verdict::Go | Verdict::Unknown, Some(license)) => {
                self.goods.retain(|good| good.key != key || good.demand != gate.demand);
                self.goods.push(Good { key, at, demand: gate.demand.clone(), license: license.clone() });
                if self.goods.len() > GOODS_MAX {
                    self.goods.remove(0);
                }
                LastWord::NotRefused
            }
            (Verdict::Go | Verdict::Unknown, None) => return,
        };
        self.last_word(key, word);
    }

    fn last_word(&mut self, key: Fingerprint, word: LastWord) {
        if word == LastWord::Refused {
            self.goods.retain(|good| good.key != key);
        }
        self.keys.iter_mut().filter(|seen| seen.key == key).for_each(|seen| seen.last_word = word);
    }
}

/// A state that was written into the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// The state after the entries before it.
    Of(Box<Folded>),
    /// One that this version cannot read: another one wrote it.
    NotKnown,
}

impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Checkpoint", 2)?;
        match self {
            Self::Of(state) => {
                fields.serialize_field("format", &FORMAT)?;
                fields.serialize_field("state", state)?;
            }
            Self::NotKnown => {
                fields.serialize_field("format", &0)?;
                fields.serialize_field("state", &())?;
            }
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    /// Never fails because of what is carried: whoever cannot read it begins at the beginning.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Carried {
            #[serde(default)]
            format: serde_json::Value,
            #[serde(default)]
            state: serde_json::Value,
        }
        let Carried { format, state } = Carried::deserialize(deserializer)?;
        if format != FORMAT {
            return Ok(Self::NotKnown);
        }
        Ok(serde_json::from_value(state).map_or(Self::NotKnown, Self::Of))
    }
}

#[cfg(test)]
mod tests;
