//! Fault injection. Only for the embedded broker.

mod common;

use std::time::{Duration, Instant};

use common::*;
use embedded_kafka::{ApiKey, EmbeddedKafka, Error, ErrorCode, Fault};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

/// A broker with a topic of one partition, and a connection to its leader.
fn with_topic() -> (EmbeddedKafka, Raw) {
    let kafka = EmbeddedKafka::start().unwrap();
    let mut raw = Raw::connect(kafka.bootstrap_servers());
    create(&mut raw, "t");
    (kafka, raw)
}

fn create(raw: &mut Raw, name: &str) {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    eventually(|| (raw.call(&request, 12).topics[0].error_code == 0).then_some(()));
}

fn ends(kafka: &EmbeddedKafka) -> i64 {
    kafka.log("t", 0).unwrap().end
}

#[test]
fn the_next_two_are_refused_and_not_carried_out() {
    let (kafka, mut raw) = with_topic();
    kafka.fail(ApiKey::Produce, 2, ErrorCode::NotEnoughReplicas).unwrap();
    for _ in 0..2 {
        let refused = produce(&mut raw, "t", 0, &Batch::of(&["a"]));
        assert_error(refused.error_code, Some(ErrorCode::NotEnoughReplicas));
        assert_eq!(refused.base_offset, -1);
    }
    assert_eq!(ends(&kafka), 0);
    assert_eq!(produce(&mut raw, "t", 0, &Batch::of(&["a"])).base_offset, 0);
    assert_eq!(kafka.requests(ApiKey::Produce), 3);
}

#[test]
fn faults_are_met_in_the_order_in_which_they_were_set_up() {
    let (kafka, mut raw) = with_topic();
    kafka.fail(ApiKey::Produce, 1, ErrorCode::NotEnoughReplicas).unwrap();
    kafka.fault(Fault::on(ApiKey::Produce).answer(ErrorCode::InvalidTimestamp)).unwrap();
    let mut next = || produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code;
    assert_error(next(), Some(ErrorCode::NotEnoughReplicas));
    assert_error(next(), Some(ErrorCode::InvalidTimestamp));
    assert_error(next(), Some(ErrorCode::InvalidTimestamp));
    kafka.clear_faults().unwrap();
    assert_error(next(), None);
}

#[test]
fn what_is_applied_may_be_answered_with_an_error() {
    let (kafka, mut raw) = with_topic();
    let fault = Fault::on(ApiKey::Produce).after_applied().answer(ErrorCode::RequestTimedOut).times(1);
    kafka.fault(fault).unwrap();
    assert_error(produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code, Some(ErrorCode::RequestTimedOut));
    assert_eq!(ends(&kafka), 1);
}

#[test]
fn a_connection_is_dropped_with_or_without_what_was_asked_for() {
    for applied in [false, true] {
        let (kafka, mut raw) = with_topic();
        let fault = Fault::on(ApiKey::Produce).drop_connection().times(1);
        kafka.fault(if applied { fault.after_applied() } else { fault }).unwrap();
        raw.send(&produce_request("t", 0, Batch::of(&["a"]).encode()), 9);
        assert_eq!(raw.receive_frame(), None);
        assert_eq!(ends(&kafka), i64::from(applied));
        assert_eq!(kafka.connections(), []);
    }
}

#[test]
fn a_request_without_an_answer_leaves_the_connection_open() {
    for applied in [false, true] {
        let (kafka, mut raw) = with_topic();
        let fault = Fault::on(ApiKey::Produce).no_answer();
        kafka.fault(if applied { fault.after_applied() } else { fault }).unwrap();
        raw.send(&produce_request("t", 0, Batch::of(&["a"]).encode()), 9);
        eventually(|| (kafka.requests(ApiKey::Produce) == 1).then_some(()));
        assert_eq!(ends(&kafka), i64::from(applied));
        assert!(!raw.has_answer_within(Duration::from_millis(20)));
        assert_eq!(kafka.connections().len(), 1);
        // A client that gives up is let go.
        drop(raw);
        eventually(|| kafka.connections().is_empty().then_some(()));
    }
}

#[test]
fn a_delay_comes_before_the_request_or_before_its_answer() {
    const DELAY: Duration = Duration::from_millis(50);
    for applied in [false, true] {
        let (kafka, mut raw) = with_topic();
        let fault = Fault::on(ApiKey::Produce).delay(DELAY).times(1);
        kafka.fault(if applied { fault.after_applied() } else { fault }).unwrap();
        let began = Instant::now();
        raw.send(&produce_request("t", 0, Batch::of(&["a"]).encode()), 9);
        eventually(|| (kafka.requests(ApiKey::Produce) == 1).then_some(()));
        let end = ends(&kafka);
        // Only what was seen before the delay was over says anything.
        if began.elapsed() < DELAY {
            assert_eq!(end, i64::from(applied));
        }
        raw.receive::<kafka_protocol::messages::ProduceRequest>(9);
        assert!(began.elapsed() >= DELAY);
        assert_eq!(ends(&kafka), 1);
    }
}

#[test]
fn a_fault_meets_only_what_it_is_about() {
    let (kafka, mut raw) = with_topic();
    create(&mut raw, "other");
    let fault = || Fault::on(ApiKey::Produce).answer(ErrorCode::InvalidRecord);
    kafka.fault(fault().topic("other")).unwrap();
    kafka.fault(fault().client("somebody")).unwrap();
    kafka.fault(fault().broker(2)).unwrap();
    kafka.fault(fault().transactional_id("tx")).unwrap();
    assert_error(produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code, None);
    assert_error(produce(&mut raw, "other", 0, &Batch::of(&["a"])).error_code, Some(ErrorCode::InvalidRecord));
    raw.client_id = "somebody".to_owned();
    assert_error(produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code, Some(ErrorCode::InvalidRecord));
    raw.client_id = "somebody else".to_owned();
    assert_error(produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code, None);
}

#[test]
fn a_topic_is_met_by_its_id_too() {
    let (kafka, mut raw) = with_topic();
    let id = metadata(&mut raw, "t").topic_id;
    kafka.fault(Fault::on(ApiKey::Produce).topic("t").answer(ErrorCode::InvalidRecord)).unwrap();
    let mut request = produce_request("", 0, Batch::of(&["a"]).encode());
    request.topic_data[0].topic_id = id;
    let response = raw.call(&request, 13);
    assert_error(response.responses[0].partition_responses[0].error_code, Some(ErrorCode::InvalidRecord));
}

#[test]
fn a_fetch_is_met_by_the_topics_of_its_session() {
    let (kafka, mut raw) = with_topic();
    let begin = fetch_request("t", 0, 0).with_session_epoch(0);
    let session = raw.call(&begin, 12).session_id;
    assert_ne!(session, 0);
    let mut go_on = fetch_request("t", 0, 0).with_session_id(session).with_session_epoch(1);
    go_on.topics.clear();
    kafka.fault(Fault::on(ApiKey::Fetch).topic("other").answer(ErrorCode::UnknownServerError)).unwrap();
    kafka.fault(Fault::on(ApiKey::Fetch).topic("t").answer(ErrorCode::KafkaStorageError)).unwrap();
    let refused = raw.call(&go_on, 12);
    let partition = refused.responses.first().map(|topic| topic.partitions[0].error_code);
    assert_error(partition.unwrap_or(refused.error_code), Some(ErrorCode::KafkaStorageError));
}

#[test]
fn a_fault_that_cannot_happen_is_refused_at_the_call() {
    let kafka = EmbeddedKafka::start().unwrap();
    let refused = |result: embedded_kafka::Result<()>, reason: &str| match result {
        Err(error @ Error::Refused { .. }) => assert!(error.to_string().ends_with(reason), "{error}"),
        other => panic!("{other:?}"),
    };
    let unknown = ErrorCode::Unknown(999);
    refused(kafka.fail(ApiKey::Produce, 1, unknown), "no broker responds with the error code 999");
    refused(kafka.topic_error("t", Some(unknown)), "no broker responds with the error code 999");
    refused(kafka.fail(ApiKey::Vote, 1, ErrorCode::InvalidRequest), "the broker does not serve this API");
    refused(kafka.fault(Fault::on(ApiKey::ApiVersions).topic("t")), "requests of this API name no topics");
    refused(kafka.broker_down(7), "the brokers have the ids 1 to 1");
    refused(kafka.broker_up(0), "the brokers have the ids 1 to 1");
}

#[test]
fn a_produce_without_acknowledgement_that_is_refused_loses_its_connection() {
    let (kafka, mut raw) = with_topic();
    kafka.fail(ApiKey::Produce, 1, ErrorCode::NotEnoughReplicas).unwrap();
    raw.send(&produce_request("t", 0, Batch::of(&["a"]).encode()).with_acks(0), 9);
    assert_eq!(raw.receive_frame(), None);
    assert_eq!(ends(&kafka), 0);
}

#[test]
fn metadata_tell_an_error_of_a_topic_until_it_ends() {
    let (kafka, mut raw) = with_topic();
    kafka.topic_error("t", Some(ErrorCode::LeaderNotAvailable)).unwrap();
    assert_error(metadata(&mut raw, "t").error_code, Some(ErrorCode::LeaderNotAvailable));
    kafka.topic_error("t", None).unwrap();
    assert_error(metadata(&mut raw, "t").error_code, None);
}

#[test]
fn a_latency_holds_back_answers_and_not_the_requests_behind_them() {
    const LATENCY: Duration = Duration::from_millis(40);
    let (kafka, mut raw) = with_topic();
    kafka.latency(LATENCY);
    let began = Instant::now();
    for _ in 0..10 {
        raw.send(&produce_request("t", 0, Batch::of(&["a"]).encode()), 9);
    }
    eventually(|| (kafka.requests(ApiKey::Produce) == 10).then_some(()));
    for _ in 0..10 {
        raw.receive_frame().unwrap();
    }
    assert!(began.elapsed() >= LATENCY);
    kafka.latency(Duration::ZERO);
    assert_error(produce(&mut raw, "t", 0, &Batch::of(&["a"])).error_code, None);
}

#[test]
fn a_throttled_client_is_told_and_held_back() {
    const THROTTLE: Duration = Duration::from_millis(40);
    let (kafka, mut raw) = with_topic();
    kafka.throttle(THROTTLE);
    let began = Instant::now();
    let request = produce_request("t", 0, Batch::of(&["a"]).encode());
    assert_eq!(raw.call(&request, 9).throttle_time_ms, 40);
    kafka.throttle(Duration::ZERO);
    assert_eq!(raw.call(&request, 9).throttle_time_ms, 0);
    assert!(began.elapsed() >= THROTTLE);
}

#[test]
fn what_faults_have_held_back_goes_on_when_they_are_cleared() {
    const FOR_EVER: Duration = Duration::from_secs(3600);
    let request = || produce_request("t", 0, Batch::of(&["a"]).encode());
    let held = [
        Fault::on(ApiKey::Produce).delay(FOR_EVER),
        Fault::on(ApiKey::Produce).delay(FOR_EVER).after_applied(),
        Fault::on(ApiKey::Produce).no_answer(),
    ];
    for fault in held {
        let is_silent = fault == Fault::on(ApiKey::Produce).no_answer();
        let (kafka, mut raw) = with_topic();
        kafka.fault(fault).unwrap();
        raw.send(&request(), 9);
        eventually(|| (kafka.requests(ApiKey::Produce) == 1).then_some(()));
        kafka.clear_faults().unwrap();
        assert_eq!(raw.receive_frame().is_none(), is_silent);
    }
    let (kafka, mut raw) = with_topic();
    kafka.latency(FOR_EVER);
    raw.send(&request(), 9);
    eventually(|| (kafka.requests(ApiKey::Produce) == 1).then_some(()));
    kafka.clear_faults().unwrap();
    assert!(raw.receive_frame().is_some());
}
