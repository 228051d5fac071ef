//! What a test wants to see.

use kafka_protocol::messages::ApiKey;

use super::EmbeddedKafka;
use crate::server::Server;
use crate::view;

/// Observation: what the broker keeps and what it was asked, as plain values.
impl EmbeddedKafka {
    /// How many requests of an API have come, also those that were refused.
    ///
    /// ```
    /// use embedded_kafka::{ApiKey, EmbeddedKafka};
    ///
    /// let kafka = EmbeddedKafka::start()?;
    /// assert_eq!(kafka.requests(ApiKey::Fetch), 0);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn requests(&self, api: ApiKey) -> usize {
        self.look(|server| server.requests().of(api)).unwrap_or_default()
    }

    /// The last requests, 1000 at most, the oldest first.
    pub fn last_requests(&self) -> Vec<view::Request> {
        self.look(|server| server.requests().last()).unwrap_or_default()
    }

    /// The connections that were closed because the client has sent what is not served, 1000 at most, the oldest first:
    /// what to look at when a client does not get on with this broker.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// let mut browser = TcpStream::connect(kafka.bootstrap_servers()).unwrap();
    /// browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    /// let _ = browser.read(&mut [0]);
    /// assert_eq!(kafka.rejections()[0].reason, "a frame of 1195725856 bytes");
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn rejections(&self) -> Vec<view::Rejection> {
        self.look(|server| server.requests().rejections()).unwrap_or_default()
    }

    /// The clients that are connected, in the order in which they came.
    pub fn connections(&self) -> Vec<view::Connection> {
        self.look(|server| server.connections()).unwrap_or_default()
    }

    /// The topics, in the order of their names.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert!(kafka.topics().is_empty());
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn topics(&self) -> Vec<view::Topic> {
        self.look(|server| view::Topic::all(&server.cluster)).unwrap_or_default()
    }

    /// A topic with its partitions; `None` when it is not there.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.topic("orders"), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn topic(&self, name: &str) -> Option<view::Topic> {
        self.look(|server| server.cluster.topics.get(name).map(view::Topic::of)).flatten()
    }

    /// Where the partitions of a topic end; `None` when it is not there. It copies no more than that, so it is quick.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.end_offsets("orders"), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn end_offsets(&self, topic: &str) -> Option<view::EndOffsets> {
        self.look(|server| server.cluster.topics.get(topic).map(view::EndOffsets::of)).flatten()
    }

    /// All that a partition holds; `None` when it is not there.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.log("orders", 0), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn log(&self, topic: &str, partition: i32) -> Option<view::Log> {
        self.look(|server| server.cluster.topics.get(topic)?.partition(partition).map(view::Log::of)).flatten()
    }

    /// A group with its members and its offsets; `None` when it is not there.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.group("billing"), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn group(&self, id: &str) -> Option<view::Group> {
        self.look(|server| {
            let cluster = &server.cluster;
            cluster.groups.get(id).map(|group| view::Group::of(id, group, cluster))
        })
        .flatten()
    }

    /// All groups, in the order of their ids.
    pub fn groups(&self) -> Vec<view::Group> {
        self.look(|server| {
            let cluster = &server.cluster;
            cluster.groups.iter().map(|(id, group)| view::Group::of(id, group, cluster)).collect()
        })
        .unwrap_or_default()
    }

    /// The transactional ids with their transactions, in order.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert!(kafka.transactions().is_empty());
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn transactions(&self) -> Vec<view::Transaction> {
        self.look(|server| view::Transaction::all(&server.cluster)).unwrap_or_default()
    }

    /// Whether a fault is in force: one that was set up and has not been met often enough yet, a latency, a throttle, an error
    /// of a topic, or a broker that is down.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert!(!kafka.has_faults());
    /// kafka.broker_down(1)?;
    /// assert!(kafka.has_faults());
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn has_faults(&self) -> bool {
        self.look(Server::has_faults).unwrap_or_default()
    }

    /// How many bytes of records the broker keeps.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.memory(), 0);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn memory(&self) -> usize {
        self.look(|server| {
            server
                .cluster
                .topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|partition| partition.log.bytes())
                .sum()
        })
        .unwrap_or_default()
    }

    /// How often the broker's thread has woken up: for its own tests.
    #[doc(hidden)]
    pub fn wakeups(&self) -> usize {
        self.look(|server| server.wakeups()).unwrap_or_default()
    }

    /// How many requests have met a mistake of this crate's: for its own tests.
    #[doc(hidden)]
    pub fn panics(&self) -> usize {
        self.look(|server| server.panics()).unwrap_or_default()
    }
}
