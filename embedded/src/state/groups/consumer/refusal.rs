//! The errors of consumer groups, with Kafka's messages.

use kafka_protocol::ResponseError;

/// An error with its message for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(ResponseError::InvalidRequest, message)
    }

    pub(super) fn unknown_member(member_id: &str, group: &str) -> Self {
        let message = format!("Member {member_id} is not a member of group {group}.");
        Self::new(ResponseError::UnknownMemberId, message)
    }
}
