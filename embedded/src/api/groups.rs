//! Shared parts of the group APIs.

use kafka_protocol::ResponseError;

use super::Cx;
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::{Around, Groups, Waiter};

impl Cx<'_> {
    /// Returns the groups, and the parts of the cluster that they need.
    pub(crate) fn groups(&mut self) -> (&mut Groups, Around<'_>) {
        self.cluster.groups(self.now, self.outbox)
    }

    /// Returns the ticket of the request, for a response through the outbox.
    pub(crate) fn waiter(&self) -> Waiter {
        Waiter { ticket: self.ticket, version: self.version }
    }

    /// Checks whether a member's request is served: its rights, its group id and the coordinator.
    pub(crate) fn check_member_of(&self, group_id: &str) -> Result<(), ResponseError> {
        self.check_group(Operation::Read, group_id)?;
        if group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        self.check_coordinator(group_id)
    }

    /// Checks whether the client may do this to a group.
    pub(crate) fn check_group(&self, operation: Operation, group_id: &str) -> Result<(), ResponseError> {
        if self.authorized(operation, ResourceType::Group, group_id) {
            Ok(())
        } else {
            Err(ResponseError::GroupAuthorizationFailed)
        }
    }

    /// Checks whether the partition exists, and whether offsets of its topic may be committed and deleted.
    pub(crate) fn check_committable(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        if !self.authorized(Operation::Read, ResourceType::Topic, topic) {
            Err(ResponseError::TopicAuthorizationFailed)
        } else if !self.cluster.topics.has_partition(topic, partition) {
            Err(ResponseError::UnknownTopicOrPartition)
        } else {
            Ok(())
        }
    }
}
