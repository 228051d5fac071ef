//! The base of the conformance suite: the broker under test, and a client that can send any request.
//!
//! Every test of the suite runs on both brokers. If `RSTEST_KAFKA_BOOTSTRAP_SERVERS` is set, it runs on that Apache Kafka
//! (`scripts/with-kafka -- cargo test -p embedded-kafka`). Otherwise it runs on a new embedded broker.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod consumers;
pub mod groups;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use embedded_kafka::{Builder, EmbeddedKafka};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// The timeout of every wait. It allows for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The broker under test.
pub struct Kafka {
    pub embedded: Option<EmbeddedKafka>,
    pub bootstrap_servers: String,
}

impl Kafka {
    /// Returns one broker, or the cluster that the environment names.
    pub fn start() -> Self {
        Self::with(|builder| builder)
    }

    /// Returns one broker like `start`. An embedded broker gets this configuration.
    pub fn with(set_up: impl FnOnce(Builder) -> Builder) -> Self {
        match std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
            Ok(bootstrap_servers) => {
                static WARM: Once = Once::new();
                let kafka = Self { embedded: None, bootstrap_servers };
                WARM.call_once(|| kafka.wait_for_coordinators());
                kafka
            }
            Err(_) => Self::embedded(set_up),
        }
    }

    /// Starts an embedded broker, even if the environment names a broker. For tests of features that only the embedded broker
    /// has, such as advancing its clock.
    pub fn embedded(set_up: impl FnOnce(Builder) -> Builder) -> Self {
        let embedded = set_up(EmbeddedKafka::builder()).start().unwrap();
        Self { bootstrap_servers: embedded.bootstrap_servers().to_owned(), embedded: Some(embedded) }
    }

    /// Returns a cluster of several brokers: the cluster that the environment names, if it has several brokers, or otherwise
    /// three embedded brokers.
    pub fn of_several() -> Self {
        match std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS") {
            Ok(bootstrap_servers) if bootstrap_servers.contains(',') => Self { embedded: None, bootstrap_servers },
            _ => Self::embedded(|builder| builder.brokers(3)),
        }
    }

    /// Waits until a new Kafka has loaded all of its coordinators: 50 of groups and 50 of transactions. Kafka creates them at
    /// the first request for one. Until then it refuses many requests with `NOT_COORDINATOR`.
    fn wait_for_coordinators(&self) {
        let mut missing: BTreeSet<i32> = (0..50).collect();
        for name in (0..).map(|n| format!("warm-{n}")) {
            if missing.remove(&coordinated_in(&name, 50)) {
                eventually(|| {
                    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(&name))]);
                    let groups = self.coordinator(&name, 0).call(&request, 5).groups;
                    (groups[0].error_code == 0).then_some(())
                });
                eventually(|| {
                    let id = TransactionalId(text(&name));
                    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id]);
                    let states = self.coordinator(&name, 1).call(&request, 0).transaction_states;
                    let passes = [
                        ResponseError::NotCoordinator,
                        ResponseError::CoordinatorNotAvailable,
                        ResponseError::CoordinatorLoadInProgress,
                    ];
                    (!passes.iter().any(|error| error.code() == states[0].error_code)).then_some(())
                });
            }
            if missing.is_empty() {
                return;
            }
        }
    }

    /// Connects to the first broker.
    pub fn connect(&self) -> Raw {
        Raw::connect(self.bootstrap_servers.split(',').next().unwrap())
    }

    /// Creates a topic whose name contains `name`, and waits for its leaders.
    pub fn topic(&self, name: &str, partitions: i32) -> Topic {
        self.topic_with(name, partitions, &[])
    }

    /// Creates a topic with a configuration.
    pub fn topic_with(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Topic {
        self.topic_named(&unique(name), partitions, config)
    }

    /// Creates a topic with exactly this name and a configuration.
    pub fn topic_named(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Topic {
        let mut raw = self.connect();
        let configs = config
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let response = self.controller().call(&request, 7);
        assert_eq!(response.topics[0].error_code, 0, "{name}: {:?}", response.topics[0]);
        let described = eventually(|| {
            let topic = metadata(&mut raw, name);
            let led = topic.partitions.len() == partitions as usize
                && topic.partitions.iter().all(|partition| partition.error_code == 0 && partition.leader_id.0 >= 0);
            led.then_some(topic)
        });
        // Apache Kafka may report a leader a moment before that broker knows that it is the leader.
        if self.embedded.is_none() {
            (0..partitions as usize).for_each(|partition| drop(self.leader(name, partition)));
        }
        Topic { name: name.to_owned(), id: described.topic_id }
    }

    /// Connects to the controller, which accepts changes of topics.
    pub fn controller(&self) -> Raw {
        let response = self.connect().call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
        self.broker(response.controller_id.0)
    }

    /// Connects to a broker by its id.
    pub fn broker(&self, id: i32) -> Raw {
        let response = self.connect().call(&MetadataRequest::default().with_topics(Some(vec![])), 12);
        let broker = response.brokers.iter().find(|broker| broker.node_id.0 == id).expect("the broker is there");
        Raw::connect(&format!("{}:{}", &*broker.host, broker.port))
    }

    /// Connects to the leader of a partition.
    pub fn leader(&self, topic: &str, partition: usize) -> Raw {
        let partitions = metadata(&mut self.connect(), topic).partitions;
        let found = partitions.iter().find(|found| found.partition_index == partition as i32).expect("a partition");
        let mut raw = self.broker(found.leader_id.0);
        eventually(|| {
            let error = fetch(&mut raw, topic, partition as i32, 0).error_code;
            (error != ResponseError::NotLeaderOrFollower.code()).then_some(())
        });
        raw
    }

    /// Connects to the coordinator of a group (`0`) or of a transactional id (`1`), when it is ready.
    pub fn coordinator(&self, key: &str, key_type: i8) -> Raw {
        let mut raw = self.connect();
        let request = FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![text(key)]);
        eventually(|| {
            let response = raw.call(&request, 4);
            let found = &response.coordinators[0];
            (found.error_code == 0).then(|| Raw::connect(&format!("{}:{}", &*found.host, found.port)))
        })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(embedded) = &self.embedded
            && !std::thread::panicking()
        {
            assert_eq!(embedded.panics(), 0, "a request has met a mistake; its panic is printed above");
        }
    }
}

/// A topic with its name and id.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub id: uuid::Uuid,
}

/// A connection that can send any request in any version.
pub struct Raw {
    stream: TcpStream,
    correlation_id: i32,
    pub client_id: String,
}

impl Raw {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, correlation_id: 0, client_id: "conformance".to_owned() }
    }

    /// Sends a request and waits for its response.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version);
        self.receive::<R>(version)
    }

    /// Sends a request.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) {
        let frame = self.frame(request, version);
        self.send_bytes(&frame);
    }

    /// Encodes a request, including its length.
    pub fn frame<R: Request>(&mut self, request: &R, version: i16) -> Bytes {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(text(&self.client_id)));
        let mut body = BytesMut::new();
        header.encode(&mut body, R::header_version(version)).unwrap();
        request.encode(&mut body, version).unwrap();
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.put_i32(body.len() as i32);
        frame.put(body);
        frame.freeze()
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Clones the connection for a thread that reads from it.
    pub fn try_clone(&self) -> Self {
        let stream = self.stream.try_clone().unwrap();
        Self { stream, correlation_id: self.correlation_id, client_id: self.client_id.clone() }
    }

    /// Closes the sending side of the connection.
    pub fn send_no_more(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Receives the response to the last request.
    pub fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut frame = self.receive_frame().expect("an answer, not the end of the connection");
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(!frame.has_remaining(), "{} bytes follow the answer", frame.remaining());
        response
    }

    /// Receives the next frame without its length. Returns `None` if the broker has closed the connection.
    pub fn receive_frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        let closed = |error: &std::io::Error| {
            [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind())
        };
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if closed(&error) => return None,
            Err(error) => panic!("no answer: {error}"),
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame.into())
    }

    /// Returns whether a response arrives within the time.
    pub fn has_answer_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let answered = matches!(self.stream.peek(&mut [0]), Ok(count) if count > 0);
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        answered
    }
}

/// Calls `look` until it returns a value.
#[track_caller]
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "it did not come within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the partition of `__consumer_offsets` or `__transaction_state` for a name.
pub fn coordinated_in(name: &str, partitions: i32) -> i32 {
    let hash = name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash.checked_abs().unwrap_or(0) % partitions
}

/// Returns a name that no other test uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let run = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}-{}-{}", &run[..8], NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Fails unless the code is that of the error; prints both by name.
#[track_caller]
pub fn assert_error(code: i16, expected: Option<ResponseError>) {
    let name = |code: i16| match ResponseError::try_from_code(code) {
        Some(error) => format!("{error:?}"),
        None => "no error".to_owned(),
    };
    assert_eq!(name(code), expected.map_or("no error".to_owned(), |error| format!("{error:?}")));
}

/// A topic in Metadata, without creating it.
pub fn metadata(raw: &mut Raw, name: &str) -> metadata_response::MetadataResponseTopic {
    let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    raw.call(&request, 12).topics.remove(0)
}

/// A batch to produce. The defaults are those of a producer that is neither idempotent nor transactional.
#[derive(Debug, Clone)]
pub struct Batch {
    pub values: Vec<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    /// The timestamp of every record.
    pub timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub attributes: i16,
}

impl Batch {
    pub fn of(values: &[&str]) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        Self {
            values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
            key: None,
            timestamp: now,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            attributes: 0,
        }
    }

    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = timestamp;
        self
    }

    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn transactional(mut self) -> Self {
        self.attributes |= 1 << 4;
        self
    }

    /// The records, each as Kafka's record format 2 has it.
    pub fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in self.values.iter().enumerate() {
            let mut record = vec![0]; // attributes
            put_varint(&mut record, 0); // timestamp delta
            put_varint(&mut record, delta as i64);
            match &self.key {
                Some(key) => {
                    put_varint(&mut record, key.len() as i64);
                    record.extend_from_slice(key);
                }
                None => put_varint(&mut record, -1),
            }
            put_varint(&mut record, value.len() as i64);
            record.extend_from_slice(value);
            put_varint(&mut record, 0); // headers
            put_varint(&mut records, record.len() as i64);
            records.extend_from_slice(&record);
        }
        records
    }

    /// The whole batch with its checksum.
    pub fn encode(&self) -> Bytes {
        self.encode_with(&self.records())
    }

    /// The whole batch around records that are already encoded, or compressed.
    pub fn encode_with(&self, records: &[u8]) -> Bytes {
        let mut checked = BytesMut::new();
        checked.put_i16(self.attributes);
        checked.put_i32(self.values.len() as i32 - 1);
        checked.put_i64(self.timestamp);
        checked.put_i64(self.timestamp);
        checked.put_i64(self.producer_id);
        checked.put_i16(self.producer_epoch);
        checked.put_i32(self.base_sequence);
        checked.put_i32(self.values.len() as i32);
        checked.put_slice(records);
        let mut batch = BytesMut::new();
        batch.put_i64(0);
        batch.put_i32(checked.len() as i32 + 9);
        batch.put_i32(-1); // leader epoch
        batch.put_i8(2);
        batch.put_u32(crc32c::crc32c(&checked));
        batch.put(checked);
        batch.freeze()
    }
}

pub fn put_varint(into: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A Produce of one batch to one partition.
pub fn produce_request(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// Produces one batch; the partition's answer.
pub fn produce(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    batch: &Batch,
) -> produce_response::PartitionProduceResponse {
    let mut response = raw.call(&produce_request(topic, partition, batch.encode()), 9);
    response.responses.remove(0).partition_responses.remove(0)
}

/// A Fetch of one partition that does not wait.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_current_leader_epoch(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// Fetches one partition without waiting.
pub fn fetch(raw: &mut Raw, topic: &str, partition: i32, offset: i64) -> fetch_response::PartitionData {
    let mut response = raw.call(&fetch_request(topic, partition, offset), 12);
    response.responses.remove(0).partitions.remove(0)
}

/// The values in uncompressed batches, with the offset of each; control batches are left out.
pub fn values(records: &Bytes) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut rest = records.clone();
    while rest.len() >= 61 {
        let base = i64::from_be_bytes(rest[..8].try_into().unwrap());
        let length = i32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize + 12;
        if length > rest.len() {
            break; // cut off, as an answer may be
        }
        let attributes = i16::from_be_bytes(rest[21..23].try_into().unwrap());
        let mut records = rest.slice(61..length);
        while attributes & (1 << 5) == 0 && records.has_remaining() {
            let size = get_varint(&mut records) as usize;
            let mut record = records.split_to(size);
            record.advance(1);
            get_varint(&mut record);
            let offset = base + get_varint(&mut record);
            let key = get_varint(&mut record);
            record.advance(key.max(0) as usize);
            let value = get_varint(&mut record).max(0) as usize;
            found.push((offset, String::from_utf8_lossy(&record[..value]).into_owned()));
        }
        rest.advance(length);
    }
    found
}

pub fn get_varint(from: &mut Bytes) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = from.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return (value >> 1) as i64 ^ -((value & 1) as i64);
        }
    }
}
