//! Shared parts of the requests to a transaction coordinator.

use kafka_protocol::ResponseError;

use super::Cx;
use crate::state::acls::{Operation, ResourceType};
use crate::state::internal;

impl Cx<'_> {
    /// Checks whether the client may do this to a transactional id.
    pub(super) fn check_transactional(&self, operation: Operation, id: &str) -> Result<(), ResponseError> {
        if self.authorized(operation, ResourceType::TransactionalId, id) {
            Ok(())
        } else {
            Err(ResponseError::TransactionalIdAuthorizationFailed)
        }
    }

    /// Checks whether the transactional id is valid, and whether this broker coordinates it.
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

/// Returns the error in a form that the client knows. `PRODUCER_FENCED` exists since version `since` of the request.
pub(super) fn known_before(since: i16, version: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}
