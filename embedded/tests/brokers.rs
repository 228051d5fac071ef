//! Several brokers, some of which stop. Only for the embedded cluster.

mod common;

use common::*;
use embedded_kafka::{EmbeddedKafka, ErrorCode};
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;

fn cluster(brokers: usize, replicas: i16) -> (EmbeddedKafka, Vec<String>) {
    let kafka = EmbeddedKafka::builder().brokers(brokers).start().unwrap();
    let addresses: Vec<String> = kafka.bootstrap_servers().split(',').map(str::to_owned).collect();
    let topic = CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(brokers as i32)
        .with_replication_factor(replicas);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let created = Raw::connect(&addresses[0]).call(&request, 7);
    assert_error(created.topics[0].error_code, None);
    (kafka, addresses)
}

#[test]
fn a_broker_that_goes_down_hands_its_leaders_over_and_comes_back_on_its_port() {
    let (kafka, addresses) = cluster(3, 3);
    let mut second = Raw::connect(&addresses[1]);
    let before = kafka.topics().remove(0).partitions;
    kafka.broker_down(2).unwrap();
    assert_eq!(second.receive_frame(), None, "its connections are closed");
    assert!(std::net::TcpStream::connect(&addresses[1]).is_err(), "new ones are refused");
    for (before, now) in before.iter().zip(&kafka.topics()[0].partitions) {
        assert_ne!(now.leader, Some(2));
        assert!(!now.in_sync.contains(&2));
        assert_eq!(now.leader_epoch, before.leader_epoch + i32::from(before.leader == Some(2)));
    }
    assert_eq!(metadata(&mut Raw::connect(&addresses[0]), "t").partitions.len(), 3);
    kafka.broker_up(2).unwrap();
    let told = metadata(&mut Raw::connect(&addresses[1]), "t");
    assert!(told.partitions.iter().all(|partition| partition.isr_nodes.len() == 3), "{told:?}");
}

#[test]
fn a_partition_without_another_replica_waits_for_its_broker() {
    let (kafka, addresses) = cluster(2, 1);
    let alone = |kafka: &EmbeddedKafka| kafka.topics()[0].partitions.iter().filter(|p| p.leader == Some(2)).count();
    assert_eq!(alone(&kafka), 1);
    let led = kafka.topics()[0].partitions.iter().position(|partition| partition.leader == Some(2)).unwrap() as i32;
    produce(&mut Raw::connect(&addresses[1]), "t", led, &Batch::of(&["kept"]));
    kafka.broker_down(2).unwrap();
    assert_eq!(kafka.topics()[0].partitions[led as usize].leader, None);
    kafka.clear_faults().unwrap();
    assert_eq!(alone(&kafka), 1);
    let fetched = fetch(&mut Raw::connect(&addresses[1]), "t", led, 0);
    assert_eq!(values(&fetched.records.unwrap()), [(0, "kept".to_owned())]);
}

#[test]
fn a_leader_moves() {
    let (kafka, addresses) = cluster(2, 1);
    let old = kafka.topics()[0].partitions[0].leader.unwrap();
    let new = 3 - old;
    let mut raw = Raw::connect(&addresses[old as usize - 1]);
    produce(&mut raw, "t", 0, &Batch::of(&["a"]));
    kafka.move_leader("t", 0, new).unwrap();
    let refused = produce(&mut raw, "t", 0, &Batch::of(&["b"]));
    assert_error(refused.error_code, Some(ErrorCode::NotLeaderOrFollower));
    let appended = produce(&mut Raw::connect(&addresses[new as usize - 1]), "t", 0, &Batch::of(&["b"]));
    assert_eq!(appended.base_offset, 1);
    for (topic, partition, broker) in [("none", 0, new), ("t", 9, new), ("t", -1, new), ("t", 0, 5)] {
        assert!(kafka.move_leader(topic, partition, broker).is_err(), "{topic} {partition} {broker}");
    }
}
