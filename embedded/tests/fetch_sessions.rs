//! Fetch sessions (KIP-227): the broker stores the partitions that a client reads, and responds only with changes.

mod common;

use std::time::Duration;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, FetchResponse};

struct Session {
    raw: Raw,
    topic: Topic,
    id: i32,
    epoch: i32,
    by_id: bool,
}

impl Session {
    /// A session about the first `partitions` of a topic of three.
    fn begin(kafka: &Kafka, name: &str, partitions: i32, by_id: bool) -> (Self, FetchResponse) {
        let topic = kafka.topic(name, 3);
        let raw = kafka.leader(&topic.name, 0);
        let mut session = Self { raw, topic, id: 0, epoch: 0, by_id };
        let offsets: Vec<(i32, i64)> = (0..partitions).map(|partition| (partition, 0)).collect();
        let response = session.call(&offsets);
        assert_error(response.error_code, None);
        assert!(response.session_id > 0);
        session.id = response.session_id;
        (session, response)
    }

    fn version(&self) -> i16 {
        if self.by_id { 13 } else { 12 }
    }

    fn request(&self, offsets: &[(i32, i64)]) -> FetchRequest {
        let partitions = offsets.iter().map(|(partition, offset)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1 << 20)
        });
        let mut topic = FetchTopic::default().with_partitions(partitions.collect());
        if self.by_id {
            topic.topic_id = self.topic.id;
        } else {
            topic.topic = topic_name(&self.topic.name);
        }
        FetchRequest::default()
            .with_max_wait_ms(0)
            .with_max_bytes(1 << 20)
            .with_session_id(self.id)
            .with_session_epoch(self.epoch)
            .with_topics(if offsets.is_empty() { vec![] } else { vec![topic] })
    }

    fn call(&mut self, offsets: &[(i32, i64)]) -> FetchResponse {
        let request = self.request(offsets);
        self.epoch += 1;
        let version = self.version();
        self.raw.call(&request, version)
    }

    fn produce(&mut self, partition: i32) {
        let answer = produce(&mut self.raw, &self.topic.name, partition, &Batch::of(&["a"]));
        assert_error(answer.error_code, None);
    }
}

/// The partitions in the answer, each with the number of its records.
fn told(response: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition_index, values(partition.records.as_ref().unwrap()).len())).collect()
}

#[test]
fn only_partitions_that_have_changed_are_told() {
    let kafka = Kafka::start();
    for by_id in [false, true] {
        let (mut session, response) = Session::begin(&kafka, "changed", 3, by_id);
        assert_eq!(told(&response), [(0, 0), (1, 0), (2, 0)]);
        let response = session.call(&[]);
        assert_eq!((response.session_id, response.error_code), (session.id, 0));
        assert_eq!(response.responses, []);
        session.produce(1);
        assert_eq!(told(&session.call(&[])), [(1, 1)]);
        // They come again as long as the client does not go on.
        assert_eq!(told(&session.call(&[])), [(1, 1)]);
        assert_eq!(session.call(&[(1, 1)]).responses, []);
        session.produce(0);
        session.produce(1);
        // The partition that returned records has moved to the end.
        assert_eq!(told(&session.call(&[])), [(0, 1), (1, 1)]);
    }
}

#[test]
fn a_session_waits_and_is_woken() {
    let kafka = Kafka::start();
    let (mut session, _) = Session::begin(&kafka, "woken", 3, false);
    let mut writer = kafka.leader(&session.topic.name, 0);
    let request = session.request(&[]).with_max_wait_ms(50_000).with_min_bytes(1);
    session.raw.send(&request, 12);
    assert!(!session.raw.has_answer_within(Duration::from_millis(20)));
    produce(&mut writer, &session.topic.name, 2, &Batch::of(&["a"]));
    assert_eq!(told(&session.raw.receive::<FetchRequest>(12)), [(2, 1)]);
}

#[test]
fn partitions_are_added_and_forgotten() {
    let kafka = Kafka::start();
    for by_id in [false, true] {
        let (mut session, _) = Session::begin(&kafka, "added", 1, by_id);
        (0..3).for_each(|partition| session.produce(partition));
        assert_eq!(told(&session.call(&[(2, 0)])), [(0, 1), (2, 1)]);
        let mut forgotten = ForgottenTopic::default().with_partitions(vec![0]);
        if by_id {
            forgotten.topic_id = session.topic.id;
        } else {
            forgotten.topic = topic_name(&session.topic.name);
        }
        let request = session.request(&[]).with_forgotten_topics_data(vec![forgotten.clone()]);
        session.epoch += 1;
        let version = session.version();
        assert_eq!(told(&session.raw.call(&request, version)), [(2, 1)]);
        // With its last partition the session ends.
        let forgotten = forgotten.with_partitions(vec![2]);
        let request = session.request(&[]).with_forgotten_topics_data(vec![forgotten]);
        session.epoch += 1;
        let response = session.raw.call(&request, version);
        assert_eq!((response.error_code, response.session_id, response.responses.len()), (0, 0, 0));
        assert_error(session.call(&[]).error_code, Some(ResponseError::FetchSessionIdNotFound));
    }
}

#[test]
fn a_session_knows_its_id_its_epoch_and_its_kind_of_names() {
    let kafka = Kafka::start();
    let (mut session, _) = Session::begin(&kafka, "epoch", 1, false);
    session.epoch = 2;
    let response = session.call(&[]);
    assert_error(response.error_code, Some(ResponseError::InvalidFetchSessionEpoch));
    assert_eq!((response.session_id, response.responses.len()), (0, 0));
    session.epoch = 1;
    assert_error(session.call(&[]).error_code, None);
    session.epoch = 1;
    assert_error(session.call(&[]).error_code, Some(ResponseError::InvalidFetchSessionEpoch));
    session.by_id = true;
    assert_error(session.call(&[]).error_code, Some(ResponseError::FetchSessionTopicIdError));
    let other = session.request(&[]).with_session_id(session.id ^ 1);
    let response = session.raw.call(&other, 12);
    assert_error(response.error_code, Some(ResponseError::FetchSessionIdNotFound));
    assert_eq!(response.session_id, 0);
}

#[test]
fn a_full_request_ends_the_session_that_it_names() {
    let kafka = Kafka::start();
    for epoch in [0, -1] {
        let (mut session, _) = Session::begin(&kafka, "ended", 1, false);
        let first = session.id;
        session.epoch = epoch;
        let response = session.call(&[(0, 0)]);
        assert_error(response.error_code, None);
        assert_eq!(response.session_id != 0, epoch == 0);
        assert_ne!(response.session_id, first);
        session.epoch = 1;
        assert_error(session.call(&[]).error_code, Some(ResponseError::FetchSessionIdNotFound));
    }
}

#[test]
fn an_error_is_told_each_time() {
    let kafka = Kafka::start();
    let (mut session, _) = Session::begin(&kafka, "error", 1, false);
    let code = |response: FetchResponse| response.responses[0].partitions[0].error_code;
    for _ in 0..2 {
        assert_error(code(session.call(&[(0, 5)])), Some(ResponseError::OffsetOutOfRange));
    }
    // So is that it is over.
    let response = session.call(&[(0, 0)]);
    assert_eq!(told(&response), [(0, 0)]);
    assert_error(code(response), None);
    assert_eq!(session.call(&[]).responses, []);
}

#[test]
fn a_topic_that_is_made_anew_is_another_one() {
    let kafka = Kafka::start();
    let (mut session, _) = Session::begin(&kafka, "anew", 1, true);
    let name = session.topic.name.clone();
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(&name)]).with_timeout_ms(30_000);
    assert_error(kafka.controller().call(&request, 5).responses[0].error_code, None);
    eventually(|| {
        let response = session.call(&[]);
        let code = response.responses.first()?.partitions[0].error_code;
        (code == ResponseError::UnknownTopicOrPartition.code()).then_some(())
    });
    let made = kafka.topic_named(&name, 1, &[]);
    assert_ne!(made.id, session.topic.id);
    eventually(|| {
        let response = session.call(&[]);
        let code = response.responses.first()?.partitions[0].error_code;
        (code == ResponseError::InconsistentTopicId.code()).then_some(())
    });
    // Without a session, an id that is gone is unknown.
    session.epoch = -1;
    let response = session.call(&[(0, 0)]);
    assert_error(response.responses[0].partitions[0].error_code, Some(ResponseError::UnknownTopicId));
}
