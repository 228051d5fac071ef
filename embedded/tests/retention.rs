//! Features of the embedded broker alone: log cleaning on demand, and a limit for the size of all logs.

mod common;

use std::time::Duration;

use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::ResponseError;

/// An embedded broker, whatever the environment names.
fn start(set_up: impl FnOnce(embedded_kafka::Builder) -> embedded_kafka::Builder) -> Kafka {
    let embedded = set_up(EmbeddedKafka::builder()).start().unwrap();
    Kafka { bootstrap_servers: embedded.bootstrap_servers().to_owned(), embedded: Some(embedded) }
}

#[test]
fn records_go_when_their_time_is_over() {
    let kafka = start(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    let topic = kafka.topic_with("old", 1, &[("retention.ms", "60000")]).name;
    let mut leader = kafka.leader(&topic, 0);
    produce(&mut leader, &topic, 0, &Batch::of(&["a", "b"]));
    embedded.clean_logs();
    assert_eq!(fetch(&mut leader, &topic, 0, 0).log_start_offset, 0);
    embedded.advance(Duration::from_secs(120));
    embedded.clean_logs();
    assert_error(fetch(&mut leader, &topic, 0, 0).error_code, Some(ResponseError::OffsetOutOfRange));
    let answer = fetch(&mut leader, &topic, 0, 2);
    assert_eq!((answer.log_start_offset, answer.high_watermark), (2, 2));
}

#[test]
fn a_compacted_topic_keeps_the_last_record_of_a_key() {
    let kafka = start(|builder| builder);
    let topic = kafka.topic_with("compacted", 1, &[("cleanup.policy", "compact")]).name;
    let mut leader = kafka.leader(&topic, 0);
    for (key, value) in [("k", "1"), ("l", "2"), ("k", "3")] {
        let batch = Batch { key: Some(key.into()), ..Batch::of(&[value]) };
        assert_error(produce(&mut leader, &topic, 0, &batch).error_code, None);
    }
    kafka.embedded.as_ref().unwrap().clean_logs();
    let kept = values(&fetch(&mut leader, &topic, 0, 0).records.unwrap());
    assert_eq!(kept, [(1, "2".to_owned()), (2, "3".to_owned())]);
    let batch = Batch { key: Some(b"m".to_vec()), ..Batch::of(&["4"]) };
    assert_eq!(produce(&mut leader, &topic, 0, &batch).base_offset, 3);
}

#[test]
fn what_would_take_too_much_memory_is_refused_and_nothing_is_lost() {
    let kafka = start(|builder| builder.max_log_bytes(1000));
    let topic = kafka.topic("bounded", 1).name;
    let mut leader = kafka.leader(&topic, 0);
    let batch = Batch::of(&[&"x".repeat(300)]);
    for _ in 0..2 {
        assert_error(produce(&mut leader, &topic, 0, &batch).error_code, None);
    }
    for _ in 0..2 {
        let answer = produce(&mut leader, &topic, 0, &batch);
        assert_error(answer.error_code, Some(ResponseError::PolicyViolation));
        assert!(answer.error_message.unwrap().contains("1000 bytes"));
    }
    assert_eq!(values(&fetch(&mut leader, &topic, 0, 0).records.unwrap()).len(), 2);
    kafka.embedded.as_ref().unwrap().advance(Duration::from_secs(8 * 24 * 60 * 60));
    kafka.embedded.as_ref().unwrap().clean_logs();
    let answer = produce(&mut leader, &topic, 0, &Batch::of(&[&"x".repeat(300)]).timestamp(-1));
    assert_error(answer.error_code, None);
    assert_eq!(answer.base_offset, 2);
}
