//! ListTransactions, and DescribeTransactions of missing transactional ids.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError::*;
use kafka_protocol::messages::{DescribeTransactionsRequest, ListTransactionsRequest, ProducerId, TransactionalId};

use crate::client::*;
use crate::common::*;

/// Three transactional ids in three states.
fn three(kafka: &Kafka) -> (Raw, [String; 3], [i64; 3]) {
    let topic = kafka.topic("listed", 1).name;
    let mut empty = Transactional::new(kafka, "empty");
    let mut ongoing = Transactional::new(kafka, "ongoing");
    let mut aborted = Transactional::new(kafka, "aborted");
    let producers = [empty.init(), ongoing.init(), aborted.init()];
    ongoing.add_one(producers[1], &topic, 0).unwrap();
    aborted.add_one(producers[2], &topic, 0).unwrap();
    aborted.end(producers[2], false, 4).unwrap();
    aborted.wait_for("CompleteAbort");
    (kafka.connect(), [empty.id, ongoing.id, aborted.id], producers.map(|(id, _)| id))
}

/// Those of the three that are listed, with producer id and state.
fn list(
    raw: &mut Raw,
    ids: &[String],
    request: ListTransactionsRequest,
    version: i16,
) -> BTreeMap<String, (i64, String)> {
    let response = raw.call(&request, version);
    assert_error(response.error_code, None);
    let listed = response
        .transaction_states
        .into_iter()
        .map(|state| (state.transactional_id.to_string(), (state.producer_id.0, state.transaction_state.to_string())));
    listed.filter(|(id, _)| ids.contains(id)).collect()
}

#[test]
fn transactions_are_listed_by_state_and_by_producer_id() {
    let kafka = Kafka::start();
    let (mut raw, ids, producers) = three(&kafka);
    let all: BTreeMap<_, _> = ids
        .iter()
        .zip(producers)
        .zip(["Empty", "Ongoing", "CompleteAbort"])
        .map(|((id, producer), state)| (id.clone(), (producer, state.to_owned())))
        .collect();
    let only = |n: usize| BTreeMap::from([(ids[n].clone(), all[&ids[n]].clone())]);
    let request = ListTransactionsRequest::default;
    for version in 0..=2 {
        assert_eq!(list(&mut raw, &ids, request(), version), all);
        let ongoing = request().with_state_filters(vec![text("Ongoing"), text("PrepareCommit")]);
        assert_eq!(list(&mut raw, &ids, ongoing.clone(), version), only(1));
        let third = request().with_producer_id_filters(vec![ProducerId(producers[2])]);
        assert_eq!(list(&mut raw, &ids, third, version), only(2));
        let neither = ongoing.with_producer_id_filters(vec![ProducerId(producers[2])]);
        assert!(list(&mut raw, &ids, neither, version).is_empty());
    }
    // A transactional id without a start time counts as running since 1970.
    let long = request().with_duration_filter(3_600_000);
    assert_eq!(list(&mut raw, &ids, long, 1), only(0));
}

#[test]
fn transactions_are_listed_by_a_pattern_for_the_whole_id() {
    let kafka = Kafka::start();
    let (mut raw, ids, _) = three(&kafka);
    let mut matching = |pattern: &str| {
        let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text(pattern)));
        let listed = list(&mut raw, &ids, request, 2);
        ids.iter().map(|id| listed.contains_key(id)).collect::<Vec<_>>()
    };
    assert_eq!(matching(""), [true; 3]);
    assert_eq!(matching(".*"), [true; 3]);
    assert_eq!(matching("(empty|aborted)-.*"), [true, false, true]);
    assert_eq!(matching(&ids[1]), [false, true, false]);
    assert_eq!(matching("ongoing"), [false; 3]);
    let broken = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text("(")));
    let response = raw.call(&broken, 2);
    assert_error(response.error_code, Some(InvalidRegularExpression));
    assert!(response.transaction_states.is_empty());
}

#[test]
fn states_that_nobody_knows_are_told_back() {
    let kafka = Kafka::start();
    let (mut raw, ids, _) = three(&kafka);
    for version in 0..=2 {
        let filters = ["Ongoing", "ongoing", "Nonsense", "Dead"].map(text).to_vec();
        let request = ListTransactionsRequest::default().with_state_filters(filters);
        let response = raw.call(&request, version);
        let mut unknown: Vec<_> = response.unknown_state_filters.iter().map(|state| state.to_string()).collect();
        unknown.sort_unstable();
        assert_eq!(unknown, ["Nonsense", "ongoing"]);
        let nothing = ListTransactionsRequest::default().with_state_filters(vec![text("Nonsense")]);
        assert!(list(&mut raw, &ids, nothing, version).is_empty());
    }
}

#[test]
fn each_transactional_id_is_described_for_itself() {
    let kafka = Kafka::start();
    let mut tx = Transactional::new(&kafka, "tx");
    tx.init();
    let ids = [tx.id.clone(), String::new(), unique("missing")];
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(ids.iter().map(|id| TransactionalId(text(id))).collect());
    let states = tx.raw.call(&request, 0).transaction_states;
    let errors: Vec<_> = ids
        .iter()
        .map(|id| states.iter().find(|state| *state.transactional_id.0 == **id).expect("each is answered").error_code)
        .collect();
    assert_eq!(errors, [0, InvalidRequest.code(), TransactionalIdNotFound.code()]);
}
