//! What the requests to a transaction coordinator have in common.

use kafka_protocol::ResponseError;

use super::Cx;
use crate::state::acls::{Operation, ResourceType};
use crate::state::internal;

impl Cx<'_> {
    /// Whether the client may do this to a transactional id.
    pub(super) fn check_transactional(&self, operation: Operation, id: &str) -> Result<(), ResponseError> {
        if self.authorized(operation, ResourceType::TransactionalId, id) {
            Ok(())
        } else {
            Err(ResponseError::TransactionalIdAuthorizationFailed)
        }
    }

    /// Whether there can be such a transactional id, and the broker that is asked coordinates it.
    pub(super) fn check_transaction_coordinator(&self, id: &str) -> Result<(), ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        match self.cluster.coordinator_of(internal::TRANSACTIONS, id) {
            Some(broker) if broker.id == self.broker => Ok(()),
            _ => Err(ResponseError::NotCoordinator),
        }
    }
}

/// The error in a form that the client knows: `PRODUCER_FENCED` came with version `since` of the request.
pub(super) fn known_before(since: i16, version: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}
