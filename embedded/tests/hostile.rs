//! Invalid requests: garbage, wrong lengths and unsupported APIs. Both brokers close the connection, and keep serving other
//! connections.

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::*;
use embedded_kafka::EmbeddedKafka;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

/// A frame around these bytes, with its true length.
fn frame(bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(bytes.len() as i32);
    frame.put_slice(bytes);
    frame.freeze()
}

/// A frame with a header of version 1 or 2, and this body.
fn request(key: i16, version: i16, flexible: bool, body: &[u8]) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(text("hostile")));
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, if flexible { 2 } else { 1 }).unwrap();
    bytes.put_slice(body);
    frame(&bytes)
}

/// Fails unless the broker closes a connection that sends this, without an answer, and serves others on.
#[track_caller]
fn assert_closes(kafka: &Kafka, bytes: &[u8]) {
    let mut bystander = kafka.connect();
    bystander.call(&ApiVersionsRequest::default(), 0);
    let mut raw = kafka.connect();
    raw.send_bytes(bytes);
    assert_eq!(raw.receive_frame(), None, "{bytes:?}");
    if let Some(embedded) = &kafka.embedded {
        assert!(!embedded.rejections().is_empty(), "{bytes:?}");
    }
    bystander.call(&ApiVersionsRequest::default(), 0);
}

#[test]
fn a_frame_whose_length_is_none_closes_the_connection() {
    let kafka = Kafka::start();
    for length in [-1, i32::MIN, 104_857_601, i32::MAX] {
        assert_closes(&kafka, &length.to_be_bytes());
    }
    assert_closes(&kafka, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_closes(&kafka, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]); // TLS
}

#[test]
fn a_frame_without_a_whole_header_closes_the_connection() {
    let kafka = Kafka::start();
    for length in 0..10 {
        assert_closes(&kafka, &frame(&[0; 10][..length]));
    }
    // A client id that is longer than the frame.
    assert_closes(&kafka, &frame(&[0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, b'a']));
    // Tagged fields that never end.
    let mut header = vec![0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff];
    header.extend([0xff; 5]);
    assert_closes(&kafka, &frame(&header));
}

#[test]
fn an_api_that_is_not_served_closes_the_connection() {
    let kafka = Kafka::start();
    for key in [-1, 999, i16::MAX, i16::MIN] {
        assert_closes(&kafka, &request(key, 0, false, &[0; 16]));
    }
    // Between brokers only: LeaderAndIsr of old, Vote, BrokerRegistration.
    for key in [4, 52, 62] {
        assert_closes(&kafka, &request(key, 0, false, &[0; 16]));
    }
}

#[test]
fn a_version_that_is_not_served_closes_the_connection() {
    let kafka = Kafka::start();
    for (key, version) in [(3, 99), (3, -1), (1, 3), (0, 2), (0, 99), (11, i16::MAX), (2, 0)] {
        assert_closes(&kafka, &request(key, version, true, &[0; 16]));
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let kafka = Kafka::start();
    for version in [5, 99, i16::MAX, -1] {
        let mut raw = kafka.connect();
        raw.send_bytes(&request(18, version, true, &[]));
        let mut answer = raw.receive_frame().unwrap();
        let header = ResponseHeader::decode(&mut answer, 0).unwrap();
        assert_eq!(header.correlation_id, 7);
        let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert!(answer.is_empty());
        assert_error(response.error_code, Some(ResponseError::UnsupportedVersion));
        let [only] = &response.api_keys[..] else { panic!("{response:?}") };
        assert_eq!((only.api_key, only.min_version, only.max_version), (18, 0, 4));
        // The connection is still good.
        raw.call(&ApiVersionsRequest::default(), 0);
    }
}

#[test]
fn a_body_that_is_cut_off_closes_the_connection() {
    let kafka = Kafka::start();
    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name("t")));
    let wanted = MetadataRequest::default().with_topics(Some(vec![topic]));
    for version in [1, 4, 9, 12] {
        let mut body = BytesMut::new();
        wanted.encode(&mut body, version).unwrap();
        for length in 0..body.len() {
            assert_closes(&kafka, &request(3, version, version >= 9, &body[..length]));
        }
    }
}

#[test]
fn a_length_beyond_the_frame_closes_the_connection() {
    let kafka = Kafka::start();
    // The array of topics, in Metadata of both encodings.
    for length in [2, 1 << 20, i32::MAX] {
        assert_closes(&kafka, &request(3, 1, false, &length.to_be_bytes()));
    }
    for length in [-2, i32::MIN] {
        assert_closes(&kafka, &request(20, 1, false, &length.to_be_bytes()));
    }
    for length in [&[0x7f][..], &[0xff, 0xff, 0x7f], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 12]] {
        assert_closes(&kafka, &request(3, 12, true, length));
    }
    // A topic's name that is none.
    assert_closes(&kafka, &request(3, 1, false, &[0, 0, 0, 1, 0x7f, 0xff]));
    assert_closes(&kafka, &request(3, 1, false, &[0, 0, 0, 1, 0xff, 0xfe]));
}

#[test]
fn what_follows_a_body_is_ignored() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    raw.send_bytes(&request(18, 0, false, b"and more"));
    assert!(raw.receive_frame().is_some());
    raw.call(&ApiVersionsRequest::default(), 0);
}

#[test]
fn a_long_frame_is_read_to_its_end() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    raw.send_bytes(&request(18, 0, false, &vec![0; 20 << 20]));
    assert!(raw.receive_frame().is_some());
    raw.call(&ApiVersionsRequest::default(), 0);
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    for byte in raw.frame(&ApiVersionsRequest::default(), 0) {
        raw.send_bytes(&[byte]);
    }
    raw.receive::<ApiVersionsRequest>(0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_frame_harms_nobody() {
    let kafka = Kafka::start();
    let mut bystander = kafka.connect();
    let bytes = bystander.frame(&MetadataRequest::default().with_topics(Some(vec![])), 12);
    for length in 0..bytes.len() {
        kafka.connect().send_bytes(&bytes[..length]);
    }
    bystander.call(&ApiVersionsRequest::default(), 0);
}

#[test]
fn requests_that_are_sent_at_once_are_answered_in_their_order() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let mut all = BytesMut::new();
    for _ in 0..200 {
        all.put(raw.frame(&ApiVersionsRequest::default(), 0));
    }
    raw.send_bytes(&all);
    for n in 1..=200 {
        let mut answer = raw.receive_frame().unwrap();
        assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, n);
    }
}

#[test]
fn a_client_that_sends_nothing_more_still_has_its_answers() {
    let kafka = Kafka::start();
    let mut raw = kafka.connect();
    let mut all = BytesMut::new();
    for _ in 0..3 {
        all.put(raw.frame(&ApiVersionsRequest::default(), 0));
    }
    raw.send_bytes(&all);
    raw.send_no_more();
    for _ in 0..3 {
        assert!(raw.receive_frame().is_some());
    }
    assert_eq!(raw.receive_frame(), None);
}

#[test]
fn the_reason_why_a_connection_is_closed_can_be_read() {
    let kafka = EmbeddedKafka::builder().config("socket.request.max.bytes", "1000").start().unwrap();
    let sent = [
        (Bytes::from_static(&[0, 0, 3, 0xe9]), "a frame of 1001 bytes"),
        (request(999, 0, false, &[]), "API key 999"),
        (request(3, 99, false, &[]), "version 99 of Metadata is not served"),
        (request(52, 0, false, &[]), "API Vote is not served"),
    ];
    for (bytes, reason) in sent {
        let mut raw = Raw::connect(kafka.bootstrap_servers());
        raw.send_bytes(&bytes);
        assert_eq!(raw.receive_frame(), None);
        assert_eq!(kafka.rejections().pop().unwrap().reason, reason);
    }
    let mut raw = Raw::connect(kafka.bootstrap_servers());
    raw.send_bytes(&request(3, 1, false, &[1]));
    assert_eq!(raw.receive_frame(), None);
    let last = kafka.rejections().pop().unwrap();
    assert!(last.reason.starts_with("Metadata: "), "{last:?}");
    assert_eq!((&*last.client_id, last.broker), ("hostile", 1));
}
