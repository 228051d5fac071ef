//! The entry points of the fuzz targets: a request is processed without sockets. A panic is a finding.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::frame::{self, Request};
use crate::api::names::Name;
use crate::api::{self, Answer, Api, Client, Cx};
use crate::clock::Time;
use crate::state::batch::HEADER;
use crate::state::configs::Configs;
use crate::state::{Broker, Cluster, Outbox, Ticket};
use crate::view;
use crate::wire::Reply;

/// The start time of the clock, in the year 2026.
const START: i64 = 1_790_000_000_000;
const TOPIC: &str = "t";

struct Harness {
    cluster: Cluster,
    outbox: Outbox,
    client: Client,
    now: Time,
    answer: BytesMut,
}

impl Harness {
    fn new() -> Self {
        let broker = Broker { id: 1, host: "127.0.0.1".to_owned(), port: 9092, up: true };
        Self {
            cluster: Cluster::new(vec![broker], Configs::new(Vec::new(), 1).unwrap_or_default()),
            outbox: Outbox::default(),
            client: Client { id: "fuzz".to_owned(), host: "/127.0.0.1".to_owned(), principal: "ANONYMOUS".to_owned() },
            now: Time(START),
            answer: BytesMut::new(),
        }
    }

    fn with<R>(&mut self, serial: u64, version: i16, run: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        run(&mut Cx {
            cluster: &mut self.cluster,
            outbox: &mut self.outbox,
            now: self.now,
            real: self.now,
            broker: 1,
            // Process each request as if from a separate connection, because a connection serves at most one request at a time.
            ticket: Ticket { connection: serial as usize, serial },
            version,
            client: &self.client,
        })
    }

    fn serve(&mut self, request: &Request) {
        // Create the topics that the request names, so that it gets further than the check of their names.
        let mut topics = Vec::new();
        api::names(request.key, request.version, &request.body, &mut |name| {
            if let Name::Topic(name) = name {
                topics.push(name.to_owned());
            }
        });
        topics.iter().take(8).for_each(|name| _ = self.cluster.create_automatically(name));
        for refusal in [Some(ResponseError::UnknownServerError), None] {
            let answer =
                self.with(request.serial, request.version, |cx| api::dispatch(cx, request.key, &request.body, refusal));
            if let Ok(Answer::Now(reply)) = answer {
                self.encode(request, &*reply);
            }
        }
        // Use a time at which some timeouts are over.
        self.now = self.now.after(10_000);
        self.cluster.expire(self.now, &mut self.outbox);
        self.cluster.fetches.expire(self.now);
        api::fetch::answer_ready(&mut self.cluster, self.now, &mut self.outbox);
        self.outbox.take();
    }

    fn encode(&mut self, request: &Request, reply: &dyn Reply) {
        self.answer.clear();
        if let Err(error) = frame::encode(request, reply, &mut self.answer) {
            panic!("the answer to {:?} version {} cannot be encoded: {error}", request.key, request.version);
        }
    }

    fn look(&self) {
        view::Topic::all(&self.cluster);
        for topic in self.cluster.topics.iter() {
            topic.partitions.iter().for_each(|partition| _ = view::Log::of(partition));
        }
        for (id, group) in self.cluster.groups.iter() {
            view::Group::of(id, group, &self.cluster);
        }
    }
}

/// Makes a new broker serve the bytes of a connection.
pub fn frames(data: &[u8]) {
    let mut harness = Harness::new();
    let mut received = BytesMut::from(data);
    let mut serial = 0;
    let client_id = "".into();
    while let Ok(Some(bytes)) = frame::take(&mut received, data.len()) {
        serial += 1;
        let Ok(request) = frame::parse(bytes, serial, &client_id) else { break };
        harness.serve(&request);
    }
    harness.look();
}

/// Makes a new broker append a batch with a corrected checksum, and read it.
pub fn batches(data: &[u8]) {
    let mut harness = Harness::new();
    let _ = harness.cluster.create_automatically(TOPIC);
    let mut batch = BytesMut::from(data);
    if batch.len() >= HEADER {
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
    let batch = batch.freeze();
    for (serial, version) in [(0, 9), (1, 12)] {
        let produce = produce(batch.clone());
        harness.with(serial, version, |cx| _ = produce.handle(cx));
    }
    harness.with(2, 12, |cx| _ = fetch().handle(cx));
    for timestamp in [-3, -2, -1, 0, START] {
        harness.with(3, 8, |cx| _ = list_offsets(timestamp).handle(cx));
    }
    harness.look();
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn produce(records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(name()).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic])
}

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(i32::MAX);
    let topic = FetchTopic::default().with_topic(name()).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(i32::MAX).with_session_epoch(-1).with_topics(vec![topic])
}

fn list_offsets(timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::api::SUPPORTED;

    /// Produces the same numbers in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit.max(1) as u64) as usize
        }

        /// Changes some bytes from index `after` on.
        fn mutate(&mut self, bytes: &mut Vec<u8>, after: usize) {
            for _ in 0..=self.below(3) {
                let at = after + self.below(bytes.len() - after);
                match self.below(6) {
                    0 => bytes[at] ^= 1 << self.below(8),
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                    2 if at + 4 <= bytes.len() => {
                        let number = [0, 1, -1, -2, i32::MAX, i32::MIN, 1 << 20][self.below(7)];
                        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
                    }
                    3 => bytes.insert(at, self.below(256) as u8),
                    4 if bytes.len() > after + 1 => _ = bytes.remove(at),
                    _ => bytes.truncate((at + 1).max(after + 1)),
                }
            }
        }
    }

    fn seeds(folder: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(folder);
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// How often each seed is changed. The fuzz targets have no such limit.
    const CHANGES: usize = 40;

    #[test]
    fn requests_that_are_changed_a_little_do_no_harm() {
        let mut numbers = Numbers(0x5eed);
        for seed in seeds("frames") {
            frames(&seed);
            for _ in 0..CHANGES {
                let mut changed = seed.clone();
                numbers.mutate(&mut changed, 12);
                // Set the length of the frame again, so that the content is decoded.
                let length = changed.len() as u32 - 4;
                changed[..4].copy_from_slice(&length.to_be_bytes());
                frames(&[&seed[..], &changed[..], &seed[..]].concat());
            }
        }
    }

    #[test]
    fn every_request_is_answered_and_refused_in_every_version() {
        let mut requests = Vec::new();
        for &(key, low, high) in SUPPORTED {
            requests.extend((low..=high).filter_map(|version| Some((key, version, api::empty(key, version)?))));
        }
        for seed in seeds("frames") {
            let Ok(Some(bytes)) = frame::take(&mut BytesMut::from(&seed[..]), seed.len()) else { panic!("{seed:?}") };
            let Request { key, version, body, .. } = frame::parse(bytes, 1, &"".into()).unwrap();
            requests.extend(api::versions(key).unwrap().filter_map(|other| {
                let body = api::transcode(key, &body, version, other)?;
                Some((key, other, body))
            }));
        }
        for (key, version, body) in requests {
            let (client_id, correlation_id) = ("".into(), 1);
            let request = Request {
                key,
                version,
                correlation_id,
                client_id,
                body,
                serial: 1,
                unsupported_api_versions: false,
                bare: false,
            };
            Harness::new().serve(&request);
        }
    }

    #[test]
    fn batches_that_are_changed_a_little_do_no_harm() {
        let mut numbers = Numbers(0x5eed);
        for seed in seeds("batches") {
            batches(&seed);
            for _ in 0..10 * CHANGES {
                let mut changed = seed.clone();
                numbers.mutate(&mut changed, 8);
                batches(&changed);
            }
        }
    }
}
