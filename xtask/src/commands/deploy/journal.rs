//! The trail of one deploy: read before anything is decided, written after every step.

use std::rc::Rc;

use license_core::{
    chain::Head,
    trail::{Actor, Event, Record},
};

use super::Scene;
use crate::{
    commit, context,
    failure::Failure,
    log::{Position, Tail},
    trail::file::FileTrail,
};

/// The environment's trail, and where it ended when it was last looked at.
pub(super) struct Journal {
    trail: FileTrail,
    environment: String,
    actor: Actor,
    records: Rc<[Record]>,
    began: Position,
    position: Position,
}

impl Journal {
    /// Reads the whole trail: a deploy never builds on one that cannot be trusted.
    pub(super) fn open(scene: &Scene<'_>) -> Result<Self, Failure> {
        let (ctx, config) = (scene.ctx, scene.config);
        let environment = scene.environment.name.to_string();
        let trail = FileTrail::new(&config.trail_directory(), &environment);
        let replay = trail.read()?;
        if let Tail::Torn { bytes } = replay.tail {
            scene.narrator.note(&format!(
                "the last line of `{}` lost its end, {bytes} bytes: it is cut off, and what it said is not in the trail",
                trail.path().display()
            ));
        }
        let mut actor = ctx.actor();
        actor.commit = actor.commit.or_else(|| commit::checked_out(&config.root, &ctx.vars));
        let records = replay.entries.into_iter().map(|entry| entry.body).collect();
        Ok(Self { trail, environment, actor, records, began: replay.position, position: replay.position })
    }

    /// What the trail said when it was opened, oldest first.
    pub(super) fn records(&self) -> Rc<[Record]> {
        Rc::clone(&self.records)
    }

    /// Writes down what happened; durable when it returns.
    pub(super) fn append(&mut self, event: Event) -> Result<(), Failure> {
        let (actor, environment) = (self.actor.clone(), self.environment.clone());
        let record = Record { at: context::now(), actor, environment, event };
        self.position = self.trail.append(self.position, &record)?;
        Ok(())
    }

    /// Where the trail ends, if this run wrote to it.
    pub(super) fn written(&self) -> Option<Head> {
        (self.position != self.began).then_some(self.position.head)
    }
}
