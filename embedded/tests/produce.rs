//! Produce: accepted and refused batches, and their responses.

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{BrokerId, ProduceRequest};

/// Produces bytes to partition 0.
fn send(raw: &mut Raw, topic: &str, records: Bytes, version: i16) -> PartitionProduceResponse {
    let mut response = raw.call(&produce_request(topic, 0, records), version);
    response.responses.remove(0).partition_responses.remove(0)
}

#[track_caller]
fn assert_refused(answer: &PartitionProduceResponse, error: ResponseError, log_start_offset: i64) {
    assert_error(answer.error_code, Some(error));
    assert_eq!((answer.base_offset, answer.log_append_time_ms), (-1, -1));
    assert_eq!(answer.log_start_offset, log_start_offset, "log start offset");
}

/// A batch with some of its bytes changed, and its checksum right again.
fn changed(batch: &Batch, change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(&batch.encode()[..]);
    change(&mut bytes);
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes.freeze()
}

#[test]
fn every_version_appends() {
    let kafka = Kafka::start();
    let topic = kafka.topic("versions", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    for (n, version) in (3..=12).enumerate() {
        let answer = send(&mut leader, &topic.name, Batch::of(&["a"]).encode(), version);
        assert_error(answer.error_code, None);
        assert_eq!((answer.base_offset, answer.log_append_time_ms), (n as i64, -1), "version {version}");
        assert_eq!(answer.log_start_offset, if version >= 5 { 0 } else { -1 }, "version {version}");
    }
    let mut request = produce_request("", 0, Batch::of(&["a"]).encode());
    request.topic_data[0].topic_id = topic.id;
    let answer = leader.call(&request, 13);
    assert_eq!((answer.responses[0].topic_id, &*answer.responses[0].name.0), (topic.id, ""));
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 10);
}

#[test]
fn what_is_not_there_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("there", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&["a"]);
    for (name, partition) in [(unique("missing"), 0), (topic.name.clone(), 1), (topic.name.clone(), -1)] {
        let answer = produce(&mut leader, &name, partition, &batch);
        assert_refused(&answer, ResponseError::UnknownTopicOrPartition, -1);
    }
    let mut request = produce_request("", 0, batch.encode());
    request.topic_data[0].topic_id = uuid::Uuid::new_v4();
    let answer = leader.call(&request, 13).responses.remove(0).partition_responses.remove(0);
    assert_refused(&answer, ResponseError::UnknownTopicId, -1);
}

#[test]
fn a_partition_takes_one_batch_of_format_2_at_a_time() {
    let kafka = Kafka::start();
    let topic = kafka.topic("one", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&["a"]).encode();
    let of_magic = |magic: u8| changed(&Batch::of(&["a"]), |bytes| bytes[16] = magic);
    let invalid = [
        Bytes::new(),
        batch.slice(..40),
        batch.slice(..batch.len() - 1),
        [batch.clone(), batch.clone()].concat().into(),
        of_magic(0),
        of_magic(1),
    ];
    for (n, bytes) in invalid.into_iter().enumerate() {
        println!("{n}");
        assert_refused(&send(&mut leader, &topic.name, bytes, 9), ResponseError::InvalidRecord, -1);
    }
    assert_refused(&send(&mut leader, &topic.name, of_magic(3), 9), ResponseError::CorruptMessage, -1);
    // A piece of a second one is cut off.
    let cut = [&batch[..], &batch[..30]].concat();
    assert_error(send(&mut leader, &topic.name, cut.into(), 9).error_code, None);
    assert_eq!(values(&fetch(&mut leader, &topic.name, 0, 0).records.unwrap()), [(0, "a".to_owned())]);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("checksum", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let mut bytes = BytesMut::from(&Batch::of(&["a"]).encode()[..]);
    *bytes.last_mut().unwrap() ^= 1;
    assert_refused(&send(&mut leader, &topic.name, bytes.freeze(), 9), ResponseError::CorruptMessage, -1);
}

#[test]
fn a_header_that_contradicts_itself_or_its_records_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("header", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&["a", "b"]);
    let with = |at: usize, value: &[u8]| changed(&batch, |bytes| bytes[at..at + value.len()].copy_from_slice(value));
    let two = 2_i32.to_be_bytes();
    let refused = [
        with(0, &1_i64.to_be_bytes()), // the base offset
        with(23, &two),                // the last offset
        with(23, &(-1_i32).to_be_bytes()),
        with(57, &0_i32.to_be_bytes()), // the count
        with(57, &(-1_i32).to_be_bytes()),
        with(57, &i32::MAX.to_be_bytes()),
        with(21, &0x20_i16.to_be_bytes()), // a control batch
        with(43, &7_i64.to_be_bytes()),    // a producer without a sequence number
    ];
    for (n, bytes) in refused.into_iter().enumerate() {
        let answer = send(&mut leader, &topic.name, bytes, 9);
        println!("{n}: {answer:?}");
        assert_refused(&answer, ResponseError::InvalidRecord, 0);
        assert_eq!((answer.record_errors.len(), answer.error_message), (0, None));
    }
    let contradicting = [
        changed(&batch, |bytes| {
            bytes[23..27].copy_from_slice(&two);
            bytes[57..61].copy_from_slice(&3_i32.to_be_bytes());
        }),
        changed(&batch, |bytes| {
            bytes[23..27].copy_from_slice(&0_i32.to_be_bytes());
            bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
        }),
        batch.encode_with(&[7, 7, 7]),
        batch.encode_with(&[]),
    ];
    for (n, bytes) in contradicting.into_iter().enumerate() {
        println!("{n}");
        assert_refused(&send(&mut leader, &topic.name, bytes, 9), ResponseError::InvalidRecord, 0);
    }
}

#[test]
fn a_batch_larger_than_the_topic_takes_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("large", 1, &[("max.message.bytes", "100")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let room = 100 - Batch::of(&[""]).encode().len();
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&[&"x".repeat(room)]));
    assert_error(answer.error_code, None);
    // The size counts before the checksum.
    let mut bytes = BytesMut::from(&Batch::of(&[&"x".repeat(room + 1)]).encode()[..]);
    bytes[17] ^= 1;
    assert_refused(&send(&mut leader, &topic.name, bytes.freeze(), 9), ResponseError::MessageTooLarge, -1);
    let plain = kafka.topic("default", 1);
    let answer = produce(&mut leader, &plain.name, 0, &Batch::of(&[&"x".repeat(1 << 20)]));
    assert_refused(&answer, ResponseError::MessageTooLarge, -1);
}

#[test]
fn timestamps_far_from_the_brokers_are_refused_with_the_records_that_have_them() {
    let kafka = Kafka::start();
    let topic = kafka.topic("late", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let now = Batch::of(&[]).timestamp;
    let hour = 3_600_000;
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a", "b"]).timestamp(now + 2 * hour));
    assert_refused(&answer, ResponseError::InvalidTimestamp, 0);
    assert!(answer.error_message.is_some());
    let places: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(places, [0, 1]);
    assert!(answer.record_errors.iter().all(|error| error.batch_index_error_message.is_some()));
    for timestamp in [now + hour / 2, 0, -1] {
        let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]).timestamp(timestamp));
        assert_error(answer.error_code, None);
    }

    let narrow = [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "86400000")];
    let topic = kafka.topic_with("narrow", 1, &narrow);
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]).timestamp(now - hour));
    assert_refused(&answer, ResponseError::InvalidTimestamp, 0);
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]).timestamp(now + 2 * hour));
    assert_error(answer.error_code, None);
    // No timestamp is none that is too old.
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]).timestamp(-1));
    assert_error(answer.error_code, None);
}

#[test]
fn a_compacted_topic_wants_keys() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("keys", 1, &[("cleanup.policy", "compact")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a", "b"]));
    assert_refused(&answer, ResponseError::InvalidRecord, 0);
    assert!(answer.error_message.is_some());
    assert_eq!(answer.record_errors.len(), 2);
    assert_eq!((answer.record_errors[0].batch_index, answer.record_errors[1].batch_index), (0, 1));
    let keyed = Batch { key: Some(b"k".to_vec()), ..Batch::of(&["a"]) };
    assert_error(produce(&mut leader, &topic.name, 0, &keyed).error_code, None);
    let both = kafka.topic_with("both", 1, &[("cleanup.policy", "compact,delete")]);
    let answer = produce(&mut leader, &both.name, 0, &Batch::of(&["a"]));
    assert_refused(&answer, ResponseError::InvalidRecord, 0);
    // A client of an old version gets the error alone.
    assert_refused(&send(&mut leader, &topic.name, Batch::of(&["a"]).encode(), 7), ResponseError::InvalidRecord, 0);
}

#[test]
fn the_time_of_the_append_takes_the_place_of_the_timestamps() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let before = Batch::of(&[]).timestamp;
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]).timestamp(1000));
    assert_error(answer.error_code, None);
    assert!(answer.log_append_time_ms >= before - 1000, "{}", answer.log_append_time_ms);
    let records = fetch(&mut leader, &topic.name, 0, 0).records.unwrap();
    assert_eq!(i16::from_be_bytes([records[21], records[22]]), 8);
    assert_eq!(i64::from_be_bytes(records[27..35].try_into().unwrap()), 1000);
    assert_eq!(i64::from_be_bytes(records[35..43].try_into().unwrap()), answer.log_append_time_ms);
    assert_eq!(records[17..21], crc32c::crc32c(&records[21..]).to_be_bytes());
    // A client that sets the time of the append itself is refused, by either kind of topic.
    let posing = Batch { attributes: 8, ..Batch::of(&["a"]) };
    let answer = produce(&mut leader, &topic.name, 0, &posing);
    assert_refused(&answer, ResponseError::InvalidTimestamp, 0);
    assert_eq!(answer.record_errors.len(), 1);
}

#[test]
fn a_largest_timestamp_that_is_wrong_is_set_right() {
    let kafka = Kafka::start();
    let topic = kafka.topic("largest", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch::of(&["a"]).timestamp(5000);
    let wrong = changed(&batch, |bytes| bytes[35..43].copy_from_slice(&9000_i64.to_be_bytes()));
    assert_error(send(&mut leader, &topic.name, wrong, 9).error_code, None);
    // So is the kind of the timestamp, of a topic whose records have that of their creation.
    let posing = Batch { attributes: 8, ..batch };
    assert_error(produce(&mut leader, &topic.name, 0, &posing).error_code, None);
    for offset in [0, 1] {
        let records = fetch(&mut leader, &topic.name, 0, offset).records.unwrap();
        assert_eq!(i16::from_be_bytes([records[21], records[22]]), 0);
        assert_eq!(i64::from_be_bytes(records[35..43].try_into().unwrap()), 5000);
    }
}

#[test]
fn acknowledgements_are_all_of_them_one_or_none() {
    let kafka = Kafka::start();
    let topic = kafka.topic("acks", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let request = produce_request(&topic.name, 0, Batch::of(&["a"]).encode());
    for acks in [2, -2] {
        let answer = leader.call(&request.clone().with_acks(acks), 9).responses.remove(0).partition_responses.remove(0);
        assert_refused(&answer, ResponseError::InvalidRequiredAcks, -1);
    }
    for acks in [-1, 1] {
        let answer = leader.call(&request.clone().with_acks(acks), 9);
        assert_error(answer.responses[0].partition_responses[0].error_code, None);
    }
    // There is no answer to the third, so the next one is that of the fourth.
    leader.send(&request.clone().with_acks(0), 9);
    let answer = leader.call(&request.clone().with_acks(1), 9);
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 3);
    // Without an answer to put the error in, the connection is closed.
    leader.send(&produce_request(&topic.name, 7, Batch::of(&["a"]).encode()).with_acks(0), 9);
    assert_eq!(leader.receive_frame(), None);
}

#[test]
fn more_replicas_in_sync_than_there_are_are_not_asked_for() {
    let kafka = Kafka::start();
    let topic = kafka.topic_with("min-isr", 1, &[("min.insync.replicas", "2")]);
    let mut leader = kafka.leader(&topic.name, 0);
    let answer = produce(&mut leader, &topic.name, 0, &Batch::of(&["a"]));
    assert_error(answer.error_code, None);
}

#[test]
fn zstd_is_for_clients_that_know_it() {
    let kafka = Kafka::start();
    let topic = kafka.topic("zstd", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch { attributes: 4, ..Batch::of(&["a"]) };
    let answer = send(&mut leader, &topic.name, batch.encode_with(&zstd(&batch.records())), 6);
    assert_refused(&answer, ResponseError::UnsupportedCompressionType, -1);
    let answer = send(&mut leader, &topic.name, batch.encode_with(&zstd(&batch.records())), 7);
    assert_error(answer.error_code, None);
}

#[test]
fn what_is_not_compressed_as_it_says_is_refused() {
    let kafka = Kafka::start();
    let topic = kafka.topic("corrupt", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    for attributes in 1..=7 {
        let batch = Batch { attributes, ..Batch::of(&["a"]) };
        let answer = produce(&mut leader, &topic.name, 0, &batch);
        println!("{attributes}: {answer:?}");
        assert_refused(&answer, ResponseError::UnknownServerError, 0);
    }
}

#[test]
fn a_request_without_topics_is_answered() {
    let kafka = Kafka::start();
    let answer = kafka.connect().call(&ProduceRequest::default().with_acks(1), 9);
    assert_eq!(answer.responses.len(), 0);
}

#[test]
fn internal_topics_are_not_for_clients() {
    let kafka = Kafka::start();
    let mut coordinator = kafka.coordinator(&unique("group"), 0);
    let name = "__consumer_offsets";
    eventually(|| (metadata(&mut coordinator, name).error_code == 0).then_some(()));
    let mut leader = kafka.leader(name, 0);
    let answer = produce(&mut leader, name, 0, &Batch { key: Some(vec![1]), ..Batch::of(&["a"]) });
    assert_refused(&answer, ResponseError::InvalidTopicException, -1);
}

#[test]
fn a_broker_that_does_not_lead_names_the_one_that_does() {
    let kafka = Kafka::of_several();
    let topic = kafka.topic("leader", 2);
    let leaders: Vec<BrokerId> =
        metadata(&mut kafka.connect(), &topic.name).partitions.iter().map(|partition| partition.leader_id).collect();
    assert_ne!(leaders[0], leaders[1]);
    let mut other = kafka.leader(&topic.name, 1);
    let request = produce_request(&topic.name, 0, Batch::of(&["a"]).encode());
    let answer = other.call(&request, 10);
    let partition = &answer.responses[0].partition_responses[0];
    assert_refused(partition, ResponseError::NotLeaderOrFollower, -1);
    assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (leaders[0], 0));
    assert_eq!(answer.node_endpoints.len(), 1);
    assert_eq!(answer.node_endpoints[0].node_id, leaders[0]);
    let answer = other.call(&request, 9);
    assert_refused(&answer.responses[0].partition_responses[0], ResponseError::NotLeaderOrFollower, -1);
}

#[test]
fn gzip_may_have_several_members() {
    let kafka = Kafka::start();
    let topic = kafka.topic("members", 1);
    let mut leader = kafka.leader(&topic.name, 0);
    let batch = Batch { attributes: 1, ..Batch::of(&["a", "b"]) };
    let records = batch.records();
    let (first, second) = records.split_at(records.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    let answer = send(&mut leader, &topic.name, batch.encode_with(&members), 9);
    assert_error(answer.error_code, None);
    assert_eq!(answer.base_offset, 0);
    // What follows the last one and is no member is not looked at.
    let followed = [&gzip(&records)[..], b"something that is no member of a file"].concat();
    assert_error(send(&mut leader, &topic.name, batch.encode_with(&followed), 9).error_code, None);

    // A member more is a record too many, and one fewer a record that is missing.
    let more = [&members[..], &gzip(second)].concat();
    assert_refused(&send(&mut leader, &topic.name, batch.encode_with(&more), 9), ResponseError::InvalidRecord, 0);
    let answer = send(&mut leader, &topic.name, batch.encode_with(&gzip(first)), 9);
    assert_refused(&answer, ResponseError::InvalidRecord, 0);
    // The checksum and the length of each member are right.
    for at in [1, 8] {
        let mut wrong = members.clone();
        let last = wrong.len() - at;
        wrong[last] ^= 1;
        let answer = send(&mut leader, &topic.name, batch.encode_with(&wrong), 9);
        assert_refused(&answer, ResponseError::UnknownServerError, 0);
    }
}

/// A member of a gzip file that holds the bytes as they are.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    let length = bytes.len() as u16;
    member.extend_from_slice(&length.to_le_bytes());
    member.extend_from_slice(&(!length).to_le_bytes());
    member.extend_from_slice(bytes);
    let mut sum = !0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        (0..8).for_each(|_| sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 });
    }
    member.extend_from_slice(&(!sum).to_le_bytes());
    member.extend_from_slice(&u32::from(length).to_le_bytes());
    member
}

/// A zstd frame that holds the bytes as they are.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.len() as u8];
    let header = ((bytes.len() as u32) << 3 | 1).to_le_bytes();
    frame.extend_from_slice(&header[..3]);
    frame.extend_from_slice(bytes);
    frame
}
