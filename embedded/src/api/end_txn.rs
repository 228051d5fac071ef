//! EndTxn: commits or aborts a transaction.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, EndTxnRequest, EndTxnResponse, ProducerId};

use super::transactions::known_before;
use super::{Answer, Api, Cx};
use crate::state::acls::Operation;
use crate::state::transactions::Producer;

impl Api for EndTxnRequest {
    const KEY: ApiKey = ApiKey::EndTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Response = EndTxnResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<EndTxnResponse> {
        let producer = Producer { id: self.producer_id.0, epoch: self.producer_epoch };
        // Since version 5, clients use transaction version 2.
        let bump = cx.version >= 5;
        let result = cx
            .check_transactional(Operation::Write, &self.transactional_id)
            .and_then(|()| cx.check_transaction_coordinator(&self.transactional_id))
            .and_then(|()| cx.cluster.end_transaction(&self.transactional_id, producer, self.committed, bump, cx.now));
        match result {
            Ok(producer) => EndTxnResponse::default()
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch)
                .into(),
            Err(error) => self.refuse(cx, error).into(),
        }
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> EndTxnResponse {
        EndTxnResponse::default()
            .with_error_code(known_before(2, cx.version, error).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    }
}
