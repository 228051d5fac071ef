//! AddOffsetsToTxn: adds the offsets of a group to a transaction.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, ApiKey};

use super::transactions::known_before;
use super::{Answer, Api, Cx};
use crate::state::acls::Operation;
use crate::state::internal;
use crate::state::transactions::Producer;

impl Api for AddOffsetsToTxnRequest {
    const KEY: ApiKey = ApiKey::AddOffsetsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Response = AddOffsetsToTxnResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AddOffsetsToTxnResponse> {
        let producer = Producer { id: self.producer_id.0, epoch: self.producer_epoch };
        let partition = (internal::OFFSETS, cx.cluster.coordinator_partition(&self.group_id));
        let result = cx
            .check_transactional(Operation::Write, &self.transactional_id)
            .and_then(|()| cx.check_group(Operation::Read, &self.group_id))
            .and_then(|()| cx.check_transaction_coordinator(&self.transactional_id))
            .and_then(|()| cx.cluster.transactions.add(&self.transactional_id, producer, [partition], cx.now));
        match result {
            Ok(()) => AddOffsetsToTxnResponse::default().into(),
            Err(error) => self.refuse(cx, error).into(),
        }
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse::default().with_error_code(known_before(2, cx.version, error).code())
    }
}
