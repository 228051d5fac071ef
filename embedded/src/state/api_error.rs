//! An error of the admin APIs: a code and a message.

use kafka_protocol::ResponseError;

/// An error with Kafka's message, if Kafka has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) error: ResponseError,
    pub(crate) message: Option<String>,
}

impl ApiError {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: Some(message.into()) }
    }

    /// Returns the error with its usual message. It has one if the admin APIs return the error often.
    pub(crate) fn plain(error: ResponseError) -> Self {
        use ResponseError::*;
        let message = match error {
            ClusterAuthorizationFailed => "Cluster authorization failed.",
            ElectionNotNeeded => "Leader election not needed for topic partition.",
            EligibleLeadersNotAvailable => "Eligible topic partition leaders are not available.",
            GroupAuthorizationFailed => "Group authorization failed.",
            InvalidRequest => {
                "This most likely occurs because of a request being malformed by the client library or the message was \
                 sent to an incompatible broker. See the broker logs for more details."
            }
            PreferredLeaderNotAvailable => "The preferred leader was not available.",
            NotController => "This is not the correct controller for this cluster.",
            RequestTimedOut => "The request timed out.",
            TopicAuthorizationFailed => "Topic authorization failed.",
            UnknownTopicId => "This server does not host this topic ID.",
            UnknownTopicOrPartition => "This server does not host this topic-partition.",
            _ => return error.into(),
        };
        Self::new(error, message)
    }
}

impl From<ResponseError> for ApiError {
    fn from(error: ResponseError) -> Self {
        Self { error, message: None }
    }
}
