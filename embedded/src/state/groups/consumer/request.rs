//! A heartbeat request, and the checks that do not depend on the group.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use super::assignors::ASSIGNORS;
use super::member::{Assignment, LEAVE, LEAVE_FOR_A_WHILE};
use super::refusal::Refusal;
use crate::state::acls::Who;

/// A heartbeat. A field is `None` if it has not changed since the member last sent it.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat<'a> {
    pub(crate) version: i16,
    pub(crate) group_id: &'a str,
    pub(crate) member_id: &'a str,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) rack_id: Option<&'a str>,
    /// The rebalance timeout, or -1 if it has not changed.
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) regex: Option<&'a str>,
    pub(crate) assignor: Option<&'a str>,
    pub(crate) owned: Option<Assignment>,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    /// The principal of the client. An expression matches only topics that the client may see.
    pub(crate) who: Who<'a>,
}

impl Heartbeat<'_> {
    pub(crate) fn leaves(&self) -> bool {
        matches!(self.epoch, LEAVE | LEAVE_FOR_A_WHILE)
    }

    /// Returns whether the member sends all fields, as it does when it joins and after an error.
    pub(super) fn is_full(&self) -> bool {
        self.epoch == 0 || (self.rebalance_timeout_ms != -1 && self.topics.is_some() && self.owned.is_some())
    }

    /// Checks the fields of the request, in Kafka's order.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        // Since version 1, the member creates its own id.
        if (self.version >= 1 || self.epoch > 0 || self.epoch == LEAVE) && is_blank(self.member_id) {
            return Err(Refusal::invalid("MemberId can't be empty."));
        }
        if is_blank(self.group_id) {
            return Err(Refusal::invalid("GroupId can't be empty."));
        }
        if self.instance_id.is_some_and(is_blank) {
            return Err(Refusal::invalid("InstanceId can't be empty."));
        }
        if self.rack_id.is_some_and(is_blank) {
            return Err(Refusal::invalid("RackId can't be empty."));
        }
        match self.epoch {
            0 => self.check_join()?,
            LEAVE_FOR_A_WHILE if self.instance_id.is_none() => {
                return Err(Refusal::invalid("InstanceId can't be null."));
            }
            LEAVE | LEAVE_FOR_A_WHILE | 1.. => {}
            _ => return Err(Refusal::invalid("MemberEpoch is invalid.")),
        }
        match self.assignor {
            Some(assignor) if !ASSIGNORS.contains(&assignor) => Err(Refusal::new(
                ResponseError::UnsupportedAssignor,
                format!("ServerAssignor {assignor} is not supported. Supported assignors: {}.", ASSIGNORS.join(", ")),
            )),
            _ => Ok(()),
        }
    }

    fn check_join(&self) -> Result<(), Refusal> {
        if self.rebalance_timeout_ms == -1 {
            return Err(Refusal::invalid("RebalanceTimeoutMs must be provided in first request."));
        }
        if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err(Refusal::invalid("TopicPartitions must be empty when (re-)joining."));
        }
        if self.topics.is_none() && self.regex.is_none() {
            return Err(Refusal::invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ));
        }
        Ok(())
    }
}

/// Equals Java's `trim().isEmpty()`.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c <= ' ')
}
