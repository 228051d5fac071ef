//! Snapshots of the embedded broker while real clients use it.

mod common;

use std::time::Duration;

use common::groups::Member;
use common::*;
use embedded_kafka::view::{GroupProtocol, Marker, TransactionState};
use embedded_kafka::{ApiKey, EmbeddedKafka};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const WAIT: Duration = Duration::from_secs(60);

fn client(kafka: &EmbeddedKafka, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap_servers());
    settings.iter().for_each(|(name, value)| _ = config.set(*name, *value));
    config
}

#[test]
fn a_group_is_seen_with_its_members_and_offsets() {
    for (protocol, seen) in [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)] {
        let kafka = EmbeddedKafka::builder().default_partitions(2).start().unwrap();
        let producer: BaseProducer = client(&kafka, &[("client.id", "writer")]).create().unwrap();
        producer.send(BaseRecord::to("t").partition(1).key("k").payload("v")).unwrap();
        producer.flush(WAIT).unwrap();
        let settings = [
            ("group.id", "billing"),
            ("client.id", "billing-1"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("group.protocol", protocol),
        ];
        let consumer: BaseConsumer = client(&kafka, &settings).create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        let message = eventually(|| consumer.poll(Duration::from_millis(100))).unwrap();
        consumer.commit_message(&message, CommitMode::Sync).unwrap();

        let group = kafka.group("billing").unwrap();
        assert_eq!((group.protocol, &*group.state), (seen, "Stable"));
        let [member] = &group.members[..] else { panic!("{group:?}") };
        assert_eq!(member.client_id, "billing-1");
        assert_eq!(member.partitions, [("t".to_owned(), 0), ("t".to_owned(), 1)]);
        assert_eq!(Vec::from_iter(group.offsets), [(("t".to_owned(), 1), 1)]);
        assert_eq!(kafka.groups().len(), 1);

        let log = kafka.log("t", 1).unwrap();
        assert_eq!((log.start, log.end, log.last_stable_offset), (0, 1, 1));
        assert_eq!(log.records[0].key.as_deref(), Some(&b"k"[..]));
        assert_eq!(log.records[0].value.as_deref(), Some(&b"v"[..]));
        assert!(kafka.memory() > 60);
        let clients: Vec<String> = kafka.connections().into_iter().map(|connection| connection.client_id).collect();
        assert!(clients.contains(&"billing-1".to_owned()) && clients.contains(&"writer".to_owned()), "{clients:?}");
        let produced = |request: &embedded_kafka::view::Request| {
            request.api == ApiKey::Produce && request.client_id == "writer" && request.broker == 1
        };
        assert_eq!(kafka.last_requests().iter().filter(|request| produced(request)).count(), 1);
        drop(message);
        drop(consumer);
        eventually(|| kafka.group("billing").unwrap().members.is_empty().then_some(()));
    }
}

#[test]
fn a_log_shows_what_no_consumer_is_shown() {
    let kafka = EmbeddedKafka::start().unwrap();
    let producer: BaseProducer =
        client(&kafka, &[("transactional.id", "tx"), ("compression.codec", "gzip")]).create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    let send = |value: &str| {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("1") });
        // So long that it is worth the compression.
        let value = format!("{value:500}");
        producer.send(BaseRecord::<(), str>::to("t").payload(&value).headers(headers)).unwrap();
        producer.flush(WAIT).unwrap();
    };
    producer.begin_transaction().unwrap();
    send("aborted");
    producer.abort_transaction(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    send("committed");
    producer.commit_transaction(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    send("open");

    let log = kafka.log("t", 0).unwrap();
    assert_eq!((log.end, log.last_stable_offset), (5, 4));
    assert!(kafka.memory() < 3 * 500, "they are kept as they came");
    let seen = |n: usize| {
        let record = &log.records[n];
        let value = record.value.clone().map(|value| String::from_utf8(value).unwrap().trim_end().to_owned());
        (record.offset, value.filter(|_| record.marker.is_none()), record.marker, record.aborted)
    };
    assert_eq!(seen(0), (0, Some("aborted".to_owned()), None, true));
    assert_eq!(seen(1), (1, None, Some(Marker::Abort), false));
    assert_eq!(seen(2), (2, Some("committed".to_owned()), None, false));
    assert_eq!(seen(3), (3, None, Some(Marker::Commit), false));
    assert_eq!(seen(4), (4, Some("open".to_owned()), None, false));
    assert_eq!(log.records[0].headers, [("h".to_owned(), Some(b"1".to_vec()))]);
    assert!(log.records[0].transactional && log.records[0].producer_id.is_some());
}

#[test]
fn a_session_ends_when_the_clock_is_set_forward() {
    let kafka = Kafka::embedded(|builder| builder);
    let embedded = kafka.embedded.as_ref().unwrap();
    embedded.pause_time();
    let mut member = Member::new(&kafka, "g").session_timeout(30_000);
    member.join_alone();
    embedded.advance(Duration::from_millis(29_999));
    assert_eq!(embedded.group("g").unwrap().members.len(), 1);
    embedded.advance(Duration::from_millis(1));
    assert_eq!(embedded.group("g").unwrap().members.len(), 0);
    assert_ne!(member.heartbeat(), 0);
}

#[test]
fn a_transaction_ends_when_the_clock_is_set_forward() {
    let kafka = EmbeddedKafka::start().unwrap();
    let settings = [("transactional.id", "tx"), ("transaction.timeout.ms", "60000")];
    let producer: BaseProducer = client(&kafka, &settings).create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), str>::to("t").payload("a")).unwrap();
    producer.flush(WAIT).unwrap();
    assert_eq!(kafka.transactions()[0].state, TransactionState::Ongoing);
    assert_eq!(kafka.log("t", 0).unwrap().last_stable_offset, 0);
    kafka.advance(Duration::from_secs(61));
    assert_eq!(kafka.transactions()[0].state, TransactionState::CompleteAbort);
    let log = kafka.log("t", 0).unwrap();
    assert_eq!((log.last_stable_offset, log.records[0].aborted), (2, true));
}
