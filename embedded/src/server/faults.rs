//! The faults, in the order in which they were added.

use super::frame::Request;
use crate::api;
use crate::api::names::Name;
use crate::fault::{Effect, Fault};
use crate::state::Cluster;

#[derive(Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.faults.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the effect of the first fault that matches a request.
    pub(super) fn meet(&mut self, request: &Request, broker: i32, cluster: &Cluster) -> Option<Effect> {
        if self.faults.is_empty() {
            return None;
        }
        let met = self.faults.iter().position(|fault| meets(fault, request, broker, cluster))?;
        let fault = &mut self.faults[met];
        let effect = fault.effect;
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                drop(self.faults.remove(met));
            }
        }
        Some(effect)
    }
}

fn meets(fault: &Fault, request: &Request, broker: i32, cluster: &Cluster) -> bool {
    if fault.api != request.key
        || fault.broker.is_some_and(|id| id != broker)
        || fault.client.as_ref().is_some_and(|id| **id != *request.client_id)
    {
        return false;
    }
    let mut missing = [fault.topic.as_deref(), fault.group.as_deref(), fault.transactional_id.as_deref()];
    if missing.iter().any(Option::is_some) {
        api::names(request.key, request.version, &request.body, &mut |name| {
            let (place, found) = match name {
                Name::Topic(name) => (0, Some(name) == missing[0]),
                Name::TopicId(id) => (0, cluster.topics.name_of(id) == missing[0]),
                Name::Session(id) => (0, missing[0].is_some_and(|name| cluster.fetches.sessions.wants(id, name))),
                Name::Group(id) => (1, Some(id) == missing[1]),
                Name::TransactionalId(id) => (2, Some(id) == missing[2]),
            };
            if found {
                missing[place] = None;
            }
        });
    }
    missing == [None; 3]
}
