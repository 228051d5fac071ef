//! DescribeTransactions and ListTransactions: the states of transactional ids.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{Operation, ResourceType};
use crate::state::regex;
use crate::state::transactions::{State, Transaction};

impl Api for DescribeTransactionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = DescribeTransactionsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeTransactionsResponse> {
        let states = self.transactional_ids.into_iter().map(|id| {
            let described = match describe(cx, &id) {
                Ok(described) => described,
                Err(error) => Described::default().with_error_code(error.code()),
            };
            described.with_transactional_id(id)
        });
        DescribeTransactionsResponse::default().with_transaction_states(states.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeTransactionsResponse {
        let states = self
            .transactional_ids
            .iter()
            .map(|id| Described::default().with_transactional_id(id.clone()).with_error_code(error.code()));
        DescribeTransactionsResponse::default().with_transaction_states(states.collect())
    }
}

fn describe(cx: &Cx<'_>, id: &str) -> Result<Described, ResponseError> {
    cx.check_transactional(Operation::Describe, id)?;
    cx.check_transaction_coordinator(id)?;
    let transaction = cx.cluster.transactions.get(id).ok_or(ResponseError::TransactionalIdNotFound)?;
    let visible = |topic: &str| cx.authorized(Operation::Describe, ResourceType::Topic, topic);
    let topics = transaction.partitions().iter().filter(|(topic, _)| visible(topic)).map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(StrBytes::from_string(topic.clone())))
            .with_partitions(partitions.iter().copied().collect())
    });
    Ok(Described::default()
        .with_transaction_state(StrBytes::from_static_str(transaction.state().name()))
        .with_transaction_timeout_ms(transaction.timeout())
        .with_transaction_start_time_ms(transaction.started().map_or(-1, |started| started.0))
        .with_producer_id(ProducerId(transaction.producer().id))
        .with_producer_epoch(transaction.producer().epoch)
        .with_topics(topics.collect()))
}

impl Api for ListTransactionsRequest {
    const KEY: ApiKey = ApiKey::ListTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = ListTransactionsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ListTransactionsResponse> {
        let pattern = self.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        let Ok(pattern) = pattern.map(regex::whole).transpose() else {
            return self.refuse(cx, ResponseError::InvalidRegularExpression).into();
        };
        let wanted = |id: &str, transaction: &Transaction| {
            let (producer, state) = (transaction.producer(), transaction.state().name());
            let duration = cx.now.0 - transaction.started().map_or(-1, |started| started.0);
            (self.producer_id_filters.is_empty() || self.producer_id_filters.contains(&ProducerId(producer.id)))
                && (self.state_filters.is_empty() || self.state_filters.iter().any(|filter| &**filter == state))
                && (self.duration_filter < 0 || duration > self.duration_filter)
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
        };
        let states = cx
            .cluster
            .transactions
            .iter()
            // Each broker lists only the transactional ids that it coordinates.
            .filter(|(id, transaction)| wanted(id, transaction) && cx.check_transaction_coordinator(id).is_ok())
            .filter(|(id, _)| cx.check_transactional(Operation::Describe, id).is_ok())
            .map(|(id, transaction)| {
                Listed::default()
                    .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_owned())))
                    .with_producer_id(ProducerId(transaction.producer().id))
                    .with_transaction_state(StrBytes::from_static_str(transaction.state().name()))
            })
            .collect();
        let unknown = self.state_filters.iter().filter(|filter| !State::NAMES.contains(&&***filter));
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown.cloned().collect())
            .with_transaction_states(states)
            .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ListTransactionsResponse {
        ListTransactionsResponse::default().with_error_code(error.code())
    }
}
