//! Snapshots of the broker's state.

use kafka_protocol::messages::ApiKey;

use super::EmbeddedKafka;
use crate::server::Server;
use crate::view;

/// Observation: requests, logs, groups and transactions, as plain values.
impl EmbeddedKafka {
    /// Returns the number of received requests of an API, including refused requests.
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

    /// Returns the last requests, at most 1000, the oldest first.
    pub fn last_requests(&self) -> Vec<view::Request> {
        self.look(|server| server.requests().last()).unwrap_or_default()
    }

    /// Returns the connections that the broker closed because it does not serve what the client sent. They are at most 1000,
    /// the oldest first.
    ///
    /// If a client does not work with this broker, look here first.
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

    /// Returns the open connections, in the order in which the clients connected.
    pub fn connections(&self) -> Vec<view::Connection> {
        self.look(|server| server.connections()).unwrap_or_default()
    }

    /// Returns all topics, sorted by name.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert!(kafka.topics().is_empty());
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn topics(&self) -> Vec<view::Topic> {
        self.look(|server| view::Topic::all(&server.cluster)).unwrap_or_default()
    }

    /// Returns a topic with its id, partitions and configuration, or `None` if there is no such topic.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.topic("orders"), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn topic(&self, name: &str) -> Option<view::Topic> {
        self.look(|server| server.cluster.topics.get(name).map(view::Topic::of)).flatten()
    }

    /// Returns the end offsets of a topic's partitions, or `None` if there is no such topic.
    ///
    /// This is faster than [`topic`](Self::topic), because it copies only the offsets.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.end_offsets("orders"), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn end_offsets(&self, topic: &str) -> Option<view::EndOffsets> {
        self.look(|server| server.cluster.topics.get(topic).map(view::EndOffsets::of)).flatten()
    }

    /// Returns the records of a partition, or `None` if there is no such partition.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert_eq!(kafka.log("orders", 0), None);
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn log(&self, topic: &str, partition: i32) -> Option<view::Log> {
        self.look(|server| server.cluster.topics.get(topic)?.partition(partition).map(view::Log::of)).flatten()
    }

    /// Returns a group with its members and offsets, or `None` if there is no such group.
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

    /// Returns all groups, sorted by id.
    pub fn groups(&self) -> Vec<view::Group> {
        self.look(|server| {
            let cluster = &server.cluster;
            cluster.groups.iter().map(|(id, group)| view::Group::of(id, group, cluster)).collect()
        })
        .unwrap_or_default()
    }

    /// Returns all transactional ids with their transactions, sorted by transactional id.
    ///
    /// ```
    /// let kafka = embedded_kafka::EmbeddedKafka::start()?;
    /// assert!(kafka.transactions().is_empty());
    /// # Ok::<(), embedded_kafka::Error>(())
    /// ```
    pub fn transactions(&self) -> Vec<view::Transaction> {
        self.look(|server| view::Transaction::all(&server.cluster)).unwrap_or_default()
    }

    /// Returns whether the broker has a fault: a [`Fault`](crate::Fault) that can still affect requests, a latency, a throttle,
    /// an error for a topic, or a stopped broker.
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

    /// Returns the total size of all records in bytes.
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

    /// Returns how often the broker's thread has woken up. Only for the tests of this crate.
    #[doc(hidden)]
    pub fn wakeups(&self) -> usize {
        self.look(|server| server.wakeups()).unwrap_or_default()
    }

    /// Returns how many requests panicked. Only for the tests of this crate.
    #[doc(hidden)]
    pub fn panics(&self) -> usize {
        self.look(|server| server.panics()).unwrap_or_default()
    }
}
