//! Idempotent producers: a duplicate batch is stored once, and a gap or an old epoch is refused.

mod common;

use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::InitProducerIdRequest;

struct Producer {
    raw: Raw,
    topic: String,
    id: i64,
}

impl Producer {
    fn new(kafka: &Kafka, name: &str) -> Self {
        Self::with(kafka, kafka.topic(name, 1).name)
    }

    fn with(kafka: &Kafka, topic: String) -> Self {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let mut raw = kafka.connect();
        // A real broker is not ready at once.
        let answer = eventually(|| Some(raw.call(&request, 4)).filter(|answer| answer.error_code == 0));
        Self { raw: kafka.leader(&topic, 0), topic, id: answer.producer_id.0 }
    }

    fn batch(&self, values: &[&str], epoch: i16, sequence: i32) -> Batch {
        Batch::of(values).producer(self.id, epoch, sequence).timestamp(1000)
    }

    /// Produces a batch; the offset and the time of the append, or the error.
    fn send(&mut self, values: &[&str], epoch: i16, sequence: i32) -> Result<(i64, i64), ResponseError> {
        let batch = self.batch(values, epoch, sequence);
        let answer = produce(&mut self.raw, &self.topic, 0, &batch);
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok((answer.base_offset, answer.log_append_time_ms)),
            Some(error) => {
                assert_eq!((answer.base_offset, answer.log_start_offset), (-1, 0));
                assert_eq!(answer.error_message, None);
                Err(error)
            }
        }
    }
}

#[test]
fn a_batch_that_comes_twice_is_kept_once() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "twice");
    assert_eq!(producer.send(&["a", "b"], 0, 0), Ok((0, -1)));
    assert_eq!(producer.send(&["c"], 0, 2), Ok((2, -1)));
    // The first answer is given again, with the batch's largest timestamp.
    assert_eq!(producer.send(&["a", "b"], 0, 0), Ok((0, 1000)));
    assert_eq!(producer.send(&["c"], 0, 2), Ok((2, 1000)));
    assert_eq!(producer.send(&["d"], 0, 3), Ok((3, -1)));
    let kept = values(&fetch(&mut producer.raw, &producer.topic, 0, 0).records.unwrap());
    assert_eq!(kept.iter().map(|(_, value)| &**value).collect::<String>(), "abcd");
}

#[test]
fn the_last_five_batches_are_known_again() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "five");
    for sequence in 0..6 {
        producer.send(&["a"], 0, sequence).unwrap();
    }
    assert_eq!(producer.send(&["a"], 0, 0), Err(ResponseError::OutOfOrderSequenceNumber));
    for sequence in 1..6 {
        assert_eq!(producer.send(&["a"], 0, sequence), Ok((sequence.into(), 1000)));
    }
    // The same beginning with another end is not the same batch.
    assert_eq!(producer.send(&["a", "b"], 0, 5), Err(ResponseError::OutOfOrderSequenceNumber));
}

#[test]
fn a_gap_is_refused() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "gap");
    producer.send(&["a"], 0, 0).unwrap();
    assert_eq!(producer.send(&["b"], 0, 2), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(producer.send(&["b"], 0, 1), Ok((1, -1)));
}

#[test]
fn an_old_epoch_is_refused_and_a_new_one_begins_with_0() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "epoch");
    producer.send(&["a"], 3, 0).unwrap();
    assert_eq!(producer.send(&["b"], 2, 1), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(producer.send(&["b"], 4, 1), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(producer.send(&["b"], 4, 0), Ok((1, -1)));
    assert_eq!(producer.send(&["b"], 3, 1), Err(ResponseError::InvalidProducerEpoch));
    // What the old epoch has sent is not known again.
    assert_eq!(producer.send(&["a"], 3, 0), Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn a_producer_of_whom_nothing_is_known_goes_on_where_it_likes() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "unknown");
    assert_eq!(producer.send(&["a"], 0, 17), Ok((0, -1)));
    assert_eq!(producer.send(&["b"], 0, 18), Ok((1, -1)));
    assert_eq!(producer.send(&["a"], 0, 0), Err(ResponseError::OutOfOrderSequenceNumber));
}

#[test]
fn sequence_numbers_begin_again_after_the_largest() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "wrap");
    assert_eq!(producer.send(&["a", "b", "c"], 0, i32::MAX - 1), Ok((0, -1)));
    assert_eq!(producer.send(&["d"], 0, 1), Ok((3, -1)));
    assert_eq!(producer.send(&["a", "b", "c"], 0, i32::MAX - 1), Ok((0, 1000)));

    let mut producer = Producer::new(&kafka, "wrap-exactly");
    assert_eq!(producer.send(&["a"], 0, i32::MAX), Ok((0, -1)));
    assert_eq!(producer.send(&["b"], 0, 0), Ok((1, -1)));
}

#[test]
fn each_producer_counts_by_itself_in_each_partition() {
    let kafka = Kafka::start();
    let topic = kafka.topic("each", 2).name;
    let mut one = Producer::with(&kafka, topic.clone());
    let mut other = Producer::with(&kafka, topic.clone());
    assert_ne!(one.id, other.id);
    assert_eq!(one.send(&["a"], 0, 0), Ok((0, -1)));
    assert_eq!(other.send(&["b"], 0, 0), Ok((1, -1)));
    let batch = one.batch(&["c"], 0, 0);
    let answer = produce(&mut kafka.leader(&topic, 1), &topic, 1, &batch);
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
}

#[test]
fn a_duplicate_in_a_topic_of_append_times_has_the_time_of_the_first() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut producer = Producer::with(&kafka, topic.name);
    let first = producer.send(&["a"], 0, 0).unwrap();
    assert!(first.1 > 1000);
    assert_eq!(producer.send(&["a"], 0, 0), Ok(first));
}

#[test]
fn a_batch_that_is_refused_takes_no_sequence_number() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "refused");
    let late = Batch { timestamp: i64::MAX, ..producer.batch(&["a"], 0, 0) };
    let answer = produce(&mut producer.raw, &producer.topic, 0, &late);
    assert_error(answer.error_code, Some(ResponseError::InvalidTimestamp));
    assert_eq!(producer.send(&["a"], 0, 0), Ok((0, -1)));
}

#[test]
fn a_transactional_batch_needs_a_transactional_id() {
    let kafka = Kafka::start();
    let mut producer = Producer::new(&kafka, "transactional");
    let batch = producer.batch(&["a"], 0, 0).transactional();
    let request = produce_request(&producer.topic, 0, batch.encode());
    let answer = producer.raw.call(&request, 9).responses.remove(0).partition_responses.remove(0);
    assert_error(answer.error_code, Some(ResponseError::TransactionalIdAuthorizationFailed));
    assert_eq!((answer.base_offset, answer.log_start_offset), (-1, -1));
}

#[test]
fn a_transactional_producer_of_whom_nothing_is_known_begins_with_0() {
    let kafka = Kafka::start();
    let topic = kafka.topic("from-zero", 1).name;
    let id = unique("transactional");
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(&id).into()))
        .with_transaction_timeout_ms(60_000);
    let mut coordinator = kafka.coordinator(&id, 1);
    let producer = eventually(|| Some(coordinator.call(&request, 5)).filter(|answer| answer.error_code == 0));
    let mut leader = kafka.leader(&topic, 0);
    let mut send = |sequence| {
        let batch = Batch::of(&["a"]).producer(producer.producer_id.0, producer.producer_epoch, sequence);
        let request = produce_request(&topic, 0, batch.transactional().encode());
        let request = request.with_transactional_id(Some(text(&id).into()));
        let answer = leader.call(&request, 12).responses.remove(0).partition_responses.remove(0);
        (ResponseError::try_from_code(answer.error_code), answer.base_offset)
    };
    assert_eq!(send(5), (Some(ResponseError::OutOfOrderSequenceNumber), -1));
    assert_eq!(send(0), (None, 0));
    assert_eq!(send(1), (None, 1));
    assert_eq!(send(1), (None, 1));
}
