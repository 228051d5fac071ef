//! Records: a fetch returns the produced records.

mod common;

use common::*;

#[test]
fn what_is_produced_is_fetched() {
    let kafka = Kafka::start();
    let topic = kafka.topic("plain", 2);
    let mut leader = kafka.leader(&topic.name, 1);
    for (n, value) in ["a", "b", "c"].into_iter().enumerate() {
        let answer = produce(&mut leader, &topic.name, 1, &Batch::of(&[value]));
        assert_error(answer.error_code, None);
        assert_eq!((answer.base_offset, answer.log_append_time_ms), (n as i64, -1));
    }
    let fetched = fetch(&mut leader, &topic.name, 1, 1);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (3, 3, 0));
    assert_eq!(values(&fetched.records.unwrap()), [(1, "b".to_owned()), (2, "c".to_owned())]);
}

#[test]
fn a_waiting_fetch_is_woken() {
    let kafka = Kafka::start();
    let topic = kafka.topic("woken", 1);
    let mut reader = kafka.leader(&topic.name, 0);
    reader.send(&fetch_request(&topic.name, 0, 0).with_max_wait_ms(50_000).with_min_bytes(1), 12);
    let mut writer = kafka.leader(&topic.name, 0);
    produce(&mut writer, &topic.name, 0, &Batch::of(&["a"]));
    let response = reader.receive::<kafka_protocol::messages::FetchRequest>(12);
    assert_eq!(values(response.responses[0].partitions[0].records.as_ref().unwrap()), [(0, "a".to_owned())]);
}

#[test]
fn large_records_are_all_kept() {
    let kafka = Kafka::start();
    let topic = kafka.topic("large", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    for n in 0..8 {
        let value = n.to_string().repeat(900_000);
        assert_error(produce(&mut leader, &topic.name, 0, &Batch::of(&[&value])).error_code, None);
    }
    for n in 0..8 {
        let fetched = fetch(&mut leader, &topic.name, 0, n);
        let (offset, value) = values(&fetched.records.unwrap()).remove(0);
        assert_eq!((offset, value.len(), value.starts_with(&n.to_string())), (n, 900_000, true));
    }
}

#[test]
fn a_topic_takes_as_large_a_record_as_it_is_set_to() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("two-megabytes", 1, &[("max.message.bytes", "3000000")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let value = "x".repeat(2_000_000);
    assert_error(produce(&mut leader, &topic.name, 0, &Batch::of(&[&value])).error_code, None);
    assert_eq!(values(&fetch(&mut leader, &topic.name, 0, 0).records.unwrap()), [(0, value)]);
}
