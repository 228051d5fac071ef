//! Shared parts of the configuration APIs: the resources that have a configuration.

use kafka_protocol::ResponseError;

use super::Cx;
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;
use crate::state::configs::alter::Resource;

/// The types of resources that have a configuration, with their numbers in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl Kind {
    pub(super) fn of(number: i8) -> Option<Self> {
        [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group]
            .into_iter()
            .find(|kind| *kind as i8 == number)
    }
}

/// Checks whether the client may do this to the configuration of a resource.
pub(super) fn authorize(cx: &Cx<'_>, kind: Kind, name: &str, operation: Operation) -> Result<(), ApiError> {
    let (resource, name, error) = match kind {
        Kind::Topic => (ResourceType::Topic, name, ResponseError::TopicAuthorizationFailed),
        Kind::Group => (ResourceType::Group, name, ResponseError::GroupAuthorizationFailed),
        _ => (ResourceType::Cluster, acls::CLUSTER, ResponseError::ClusterAuthorizationFailed),
    };
    match cx.authorized(operation, resource, name) {
        true => Ok(()),
        false => Err(ApiError::plain(error)),
    }
}

/// Returns the resource with this name for a change. A broker changes only its own configuration.
pub(super) fn find(cx: &Cx<'_>, kind: Kind, name: &str) -> Result<Resource, ApiError> {
    let invalid = |message: String| ApiError::new(ResponseError::InvalidRequest, message);
    let id = || {
        let parsed = name.parse::<i32>();
        parsed.map_err(|_| invalid(format!("Node id must be an integer, but it is: {name}")))
    };
    let (name, asked) = (name.to_owned(), cx.broker);
    match kind {
        Kind::Topic => Ok(Resource::Topic(name)),
        Kind::Group => Ok(Resource::Group(name)),
        Kind::ClientMetrics => Ok(Resource::ClientMetrics(name)),
        Kind::Broker if name.is_empty() => Ok(Resource::Broker(None)),
        Kind::Broker if id()? != asked => {
            Err(invalid(format!("Unexpected broker id, expected {asked}, but received {name}")))
        }
        Kind::Broker => Ok(Resource::Broker(Some(asked))),
        Kind::BrokerLogger if id()? != asked => {
            Err(invalid(format!("Unexpected node id. Expected {asked}, but received {asked}")))
        }
        Kind::BrokerLogger => Ok(Resource::Logger(asked)),
    }
}
