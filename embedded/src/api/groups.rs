//! What the APIs of groups have in common.

use kafka_protocol::ResponseError;

use super::Cx;
use crate::state::acls::{Operation, ResourceType};
use crate::state::groups::{Around, Groups, Waiter};

impl Cx<'_> {
    /// The groups, with what they need of the cluster around them.
    pub(crate) fn groups(&mut self) -> (&mut Groups, Around<'_>) {
        self.cluster.groups(self.now, self.outbox)
    }

    /// The request as one that is answered by the outbox.
    pub(crate) fn waiter(&self) -> Waiter {
        Waiter { ticket: self.ticket, version: self.version }
    }

    /// Whether a member's request about a group may be served: by rights, by its id and by the broker that is asked.
    pub(crate) fn check_member_of(&self, group_id: &str) -> Result<(), ResponseError> {
        self.check_group(Operation::Read, group_id)?;
        if group_id.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        self.check_coordinator(group_id)
    }

    /// Whether the client may do this to a group.
    pub(crate) fn check_group(&self, operation: Operation, group_id: &str) -> Result<(), ResponseError> {
        if self.authorized(operation, ResourceType::Group, group_id) {
            Ok(())
        } else {
            Err(ResponseError::GroupAuthorizationFailed)
        }
    }

    /// Whether there is such a partition, and offsets of its topic may be committed and deleted.
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
