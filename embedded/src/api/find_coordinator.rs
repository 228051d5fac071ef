//! FindCoordinator: the broker that coordinates a group or a transactional id.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{ApiKey, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::Broker;
use crate::state::acls::{Operation, ResourceType};
use crate::state::internal;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// The key type of share groups, which are not supported.
const SHARE: i8 = 2;

/// Since this version, a request can contain several keys.
const BATCHED: i16 = 4;

impl Api for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: RangeInclusive<i16> = 0..=6;
    type Response = FindCoordinatorResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<FindCoordinatorResponse> {
        let (operation_on, topic) = match self.key_type {
            GROUP => (ResourceType::Group, internal::OFFSETS),
            TRANSACTION => (ResourceType::TransactionalId, internal::TRANSACTIONS),
            SHARE => return respond(&self, cx.version, |_| Err(ResponseError::InvalidRequest)).into(),
            _ => return self.refuse(cx, ResponseError::InvalidRequest).into(),
        };
        cx.cluster.reveal(topic);
        respond(&self, cx.version, |key| {
            if !cx.authorized(Operation::Describe, operation_on, key) {
                return Err(match operation_on {
                    ResourceType::Group => ResponseError::GroupAuthorizationFailed,
                    _ => ResponseError::TransactionalIdAuthorizationFailed,
                });
            }
            cx.cluster.coordinator(key).ok_or(ResponseError::CoordinatorNotAvailable)
        })
        .into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> FindCoordinatorResponse {
        let mut response = respond(self, cx.version, |_| Err(error));
        for coordinator in &mut response.coordinators {
            coordinator.error_message = message(error);
        }
        response
    }
}

fn message(error: ResponseError) -> Option<StrBytes> {
    let message = match error {
        ResponseError::CoordinatorNotAvailable => "The coordinator is not available.",
        ResponseError::GroupAuthorizationFailed => "Group authorization failed.",
        ResponseError::InvalidRequest => {
            "This most likely occurs because of a request being malformed by the client library or the message was sent to \
             an incompatible broker. See the broker logs for more details."
        }
        ResponseError::TransactionalIdAuthorizationFailed => "Transactional Id authorization failed.",
        error => return Some(StrBytes::from_string(error.to_string())),
    };
    Some(StrBytes::from_static_str(message))
}

fn respond<'a>(
    request: &FindCoordinatorRequest,
    version: i16,
    mut find: impl FnMut(&str) -> Result<&'a Broker, ResponseError>,
) -> FindCoordinatorResponse {
    if version >= BATCHED {
        let coordinators = request.coordinator_keys.iter().map(|key| {
            let coordinator = Coordinator::default().with_key(key.clone());
            match find(key) {
                Ok(broker) => coordinator
                    .with_node_id(BrokerId(broker.id))
                    .with_host(StrBytes::from_string(broker.host.clone()))
                    .with_port(i32::from(broker.port)),
                Err(error) => coordinator.with_error_code(error.code()).with_node_id(BrokerId(-1)).with_port(-1),
            }
        });
        return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
    }
    let response = FindCoordinatorResponse::default();
    match find(&request.key) {
        Ok(broker) => response
            .with_node_id(BrokerId(broker.id))
            .with_host(StrBytes::from_string(broker.host.clone()))
            .with_port(i32::from(broker.port))
            .with_error_message(Some(StrBytes::from_static_str("NONE"))),
        Err(error) => response
            .with_error_code(error.code())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_message(message(error)),
    }
}
