//! A group whose committed offsets are the fences of a lease.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::questions::Questions;
use crate::broker::PartitionOffset;
use crate::lease::LeaseGuard;
use crate::model::error::{Error, Result};
use crate::model::topic::Topic;

#[derive(Clone)]
pub(crate) struct FencedGroup {
    parts: Arc<GroupParts>,
    pub(super) lease: LeaseGuard,
}

pub(super) struct GroupParts {
    pub(super) id: String,
    pub(super) topics: Vec<Topic>,
    /// Of each topic, the id that it had when the group was created; `None` if it did not exist.
    pub(super) ids: Vec<Option<Uuid>>,
}

impl FencedGroup {
    /// Creates the group by committing the fences, in one request.
    pub(crate) fn create(lease: LeaseGuard, name: &str, topics: Vec<Topic>) -> Result<Self> {
        let held = lease.lease();
        let (cluster, deadline) = (held.cluster(), held.deadline());
        let id = held.names().service_group(name, cluster.next_group())?;
        if topics.is_empty() {
            return Err(Error::misuse(format!(
                "group {name:?} was asked for without a topic: name those that it reads"
            )));
        }
        let control = cluster.broker().control();
        let (mut fences, mut ids) = (Vec::new(), Vec::with_capacity(topics.len()));
        for topic in &topics {
            // One that was only named and does not exist has nothing old in it, and takes no commit.
            let now = control.topic_now(topic.name(), deadline)?;
            ids.push(now.as_ref().map(|now| now.id));
            let starts = now.map(|now| topic.0.fence.on(&now)).unwrap_or_default();
            fences.extend((0..).zip(starts).map(|(partition, offset)| PartitionOffset {
                topic: topic.name().to_owned(),
                partition,
                offset: Some(offset),
            }));
        }
        cluster.record_group(&id)?;
        held.note_group(&id, &topics);
        if !fences.is_empty() {
            control.commit_for(&id, &fences, deadline)?;
        }
        held.trace_group(name);
        Ok(Self { parts: Arc::new(GroupParts { id, topics, ids }), lease })
    }

    pub(super) fn id(&self) -> &str {
        &self.parts.id
    }

    pub(super) fn topics(&self) -> &[Topic] {
        &self.parts.topics
    }

    pub(super) fn timeout(&self) -> Duration {
        self.lease.lease().harness().timeout()
    }

    pub(super) fn questions(&self) -> Questions {
        Questions::of(Arc::clone(self.lease.lease().cluster()), Arc::clone(&self.parts))
    }
}
