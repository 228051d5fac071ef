//! InitProducerId: assigns an id to an idempotent or transactional producer.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::transactions::known_before;
use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::transactions::Producer;

impl Api for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = InitProducerIdResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<InitProducerIdResponse> {
        match init(&self, cx) {
            Ok(producer) => InitProducerIdResponse::default()
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch)
                .into(),
            Err(error) => self.refuse(cx, error).into(),
        }
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> InitProducerIdResponse {
        InitProducerIdResponse::default()
            .with_error_code(known_before(4, cx.version, error).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}

fn init(request: &InitProducerIdRequest, cx: &mut Cx<'_>) -> Result<Producer, ResponseError> {
    match request.transactional_id.as_deref() {
        Some(id) => cx.check_transactional(Operation::Write, id)?,
        None => check_idempotent(cx)?,
    }
    let had = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ResponseError::InvalidRequest),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let Some(id) = request.transactional_id.as_deref() else {
        return Ok(Producer { id: cx.cluster.transactions.new_producer_id(), epoch: 0 });
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout = request.transaction_timeout_ms;
    if timeout <= 0 || i64::from(timeout) > cx.cluster.configs.broker_number("transaction.max.timeout.ms") {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    cx.check_transaction_coordinator(id)?;
    cx.cluster.init_transactional_id(id, timeout, had, cx.now)
}

/// Checks whether the client may get a producer id without a transactional id. It needs the right to write to any topic.
fn check_idempotent(cx: &Cx<'_>) -> Result<(), ResponseError> {
    if cx.authorized(Operation::IdempotentWrite, ResourceType::Cluster, acls::CLUSTER)
        || cx.authorized_to_any(Operation::Write, ResourceType::Topic)
    {
        return Ok(());
    }
    Err(ResponseError::ClusterAuthorizationFailed)
}
