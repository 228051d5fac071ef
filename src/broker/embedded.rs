//! librdkafka's mock cluster, in this process, on loopback ports that a child process reaches too.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as rdsys;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::{Broker, Capabilities, Control, Creation, Shape};
use crate::error::{Error, Result};
use crate::wait::Deadline;

/// The mock answers an empty Fetch only when its wait is over, also when a message arrives meanwhile, so it must be
/// short: librdkafka's 500 ms would be the time that a message takes.
const FETCH_WAIT_MS: &str = "1";

#[derive(Debug)]
pub(crate) struct Embedded {
    /// The client that owns the mock: the mock ends with it.
    control: Arc<Control>,
    name: String,
    bootstrap_servers: String,
    brokers: usize,
    /// The topics of which metadata say an error.
    pub(super) faulty_topics: Mutex<BTreeSet<String>>,
}

impl Embedded {
    pub(crate) fn start(brokers: usize) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", brokers.to_string()).set("client.id", "rstest-kafka-control");
        let control = Control::new(config, "embedded broker")?;
        // SAFETY: the client was made with `test.mock.num.brokers`, so it has a mock cluster (checked for null), which
        // lives as long as the client; the call only stores a number.
        unsafe {
            let mock = rdsys::rd_kafka_handle_mock_cluster(control.native());
            assert!(!mock.is_null(), "a client made with test.mock.num.brokers has a mock cluster");
            rdsys::rd_kafka_mock_group_initial_rebalance_delay_ms(mock, 0);
        }
        let bootstrap_servers =
            control.client().client().mock_cluster().map(|mock| mock.bootstrap_servers()).unwrap_or_default();
        let name = format!("embedded broker {bootstrap_servers}");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &bootstrap_servers);
        Ok(Self {
            control: Arc::new(control.reached_at(config, &name)),
            name,
            bootstrap_servers,
            brokers,
            faulty_topics: Mutex::default(),
        })
    }

    /// Has the mock's thread do something, within the deadline.
    ///
    /// Its thread can miss the wake-up of a command that arrives while it is finishing another one, and then sleeps up
    /// to a second (`rd_kafka_mock_cluster_io_poll` serves its commands before it empties the wake-up pipe). Anything
    /// on one of its sockets wakes it again: a connection is opened and closed. While every broker is down there is no
    /// such socket, and a second command does it.
    pub(super) fn command(
        &self,
        command: impl FnOnce(&Control) -> KafkaResult<()> + Send + 'static,
        deadline: Deadline,
    ) -> KafkaResult<()> {
        let (done, outcome) = mpsc::channel();
        let control = Arc::clone(&self.control);
        thread::Builder::new()
            .name("rstest-kafka mock".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                let _ = done.send(command(&control));
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let mut nudged = false;
        loop {
            match outcome.recv_timeout(deadline.remaining().min(Duration::from_millis(3))) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if !deadline.has_passed() => {
                    if !self.wake() && !nudged {
                        nudged = self.nudge();
                    }
                }
                Err(_) => return Err(KafkaError::MockCluster(RDKafkaErrorCode::OperationTimedOut)),
            }
        }
    }

    /// Whether there is a socket to do it with.
    fn wake(&self) -> bool {
        for address in self.bootstrap_servers.split(',') {
            if let Ok(address) = address.parse()
                && TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok()
            {
                return true;
            }
        }
        false
    }

    /// Sends a command that changes nothing: the latency of broker 0, which there is not.
    fn nudge(&self) -> bool {
        let control = Arc::clone(&self.control);
        let nudge = move || {
            // SAFETY: the mock lives as long as the control client.
            unsafe { rdsys::rd_kafka_mock_broker_set_rtt(rdsys::rd_kafka_handle_mock_cluster(control.native()), 0, 0) }
        };
        thread::Builder::new().name("rstest-kafka mock".to_owned()).stack_size(256 * 1024).spawn(nudge).is_ok()
    }

    /// How many brokers there are; their ids are 1 to so many.
    pub(super) fn brokers(&self) -> usize {
        self.brokers
    }

    fn unsupported(&self, what: &str, advice: &str) -> Error {
        Error::Unsupported { what: what.to_owned(), broker: self.name.clone(), advice: advice.to_owned() }
    }
}

impl Broker for Embedded {
    fn name(&self) -> &str {
        &self.name
    }

    fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers).set("fetch.wait.max.ms", FETCH_WAIT_MS);
        config
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            delete_topics: false,
            delete_groups: false,
            describe_groups: false,
            topic_config: false,
            abort_markers: false,
            faults: true,
            outlives_process: false,
        }
    }

    fn lanes_of_a_producer(&self) -> usize {
        // One thread serves all connections, and a new one may have to wait for a second, for more than five at once.
        4
    }

    fn control(&self) -> &Control {
        &self.control
    }

    /// The mock takes one at a time.
    fn create_topics(&self, topics: &[(&str, &Shape)], deadline: Deadline) -> Vec<Result<Creation>> {
        topics.iter().map(|(name, shape)| self.create_topic(name, shape, deadline)).collect()
    }

    /// The mock has no DeleteTopics, and its topics end with the process.
    fn delete_topics(&self, _: &[String], _: Deadline) -> Vec<(String, String)> {
        Vec::new()
    }

    /// A DeleteGroups to the mock would abort the process when its answer times out; its groups end with the process.
    fn delete_groups(&self, _: &[String], _: Deadline) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl Embedded {
    fn create_topic(&self, name: &str, shape: &Shape, deadline: Deadline) -> Result<Creation> {
        if !shape.config.is_empty() {
            return Err(self.unsupported(
                "take a topic configuration",
                "name a real cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS, or leave the configuration out",
            ));
        }
        let replication_factor = shape.replication_factor.unwrap_or(1);
        if replication_factor as usize > self.brokers {
            return Err(self.unsupported(
                &format!("keep {replication_factor} replicas on {} of them", self.brokers),
                "start more with Harness::builder().embedded_brokers or RSTEST_KAFKA_EMBEDDED_BROKERS",
            ));
        }
        let (topic, partitions) = (name.to_owned(), shape.partitions);
        let create = move |control: &Control| {
            let mock = control.client().client().mock_cluster();
            let mock = mock.ok_or(KafkaError::MockCluster(RDKafkaErrorCode::Fail))?;
            mock.create_topic(&topic, partitions, replication_factor)
        };
        match self.command(create, deadline) {
            Ok(()) => Ok(Creation::Created),
            Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(Creation::AlreadyExists),
            Err(error) => Err(self.control.failed(format!("create topic {name:?}"), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Partitions;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(5))
    }

    #[test]
    fn topics_are_made_in_their_shape_also_back_to_back() {
        let broker = Embedded::start(3).unwrap();
        for n in 0..50 {
            let shape = Shape { partitions: 1 + n % 64, replication_factor: Some(3), config: Vec::new() };
            let name = format!("topic-{n}");
            assert_eq!(broker.create_topic(&name, &shape, soon()).unwrap(), Creation::Created);
            assert_eq!(broker.create_topic(&name, &shape, soon()).unwrap(), Creation::AlreadyExists);
            assert_eq!(broker.control().wait_for_leaders(&name, soon()).unwrap(), shape.partitions);
            let ends = broker.control().end_offsets(&name, shape.partitions, soon()).unwrap();
            assert_eq!(ends, Some(vec![0; shape.partitions as usize]));
        }
    }

    #[test]
    fn a_look_at_a_missing_topic_does_not_make_it() {
        let broker = Embedded::start(1).unwrap();
        for _ in 0..3 {
            assert_eq!(broker.control().partitions("missing", soon()).unwrap(), Partitions::Unknown);
        }
        assert_eq!(broker.control().end_offsets("missing", 1, soon()).unwrap(), None);
    }

    /// Whatever is left of the time for the last look.
    #[test]
    fn a_topic_that_does_not_come_is_not_taken_for_a_broker_that_does_not_answer() {
        let broker = Embedded::start(1).unwrap();
        broker.control().partitions("missing", soon()).unwrap();
        for quarters in 80..124 {
            let deadline = Deadline::after(Duration::from_micros(250 * quarters));
            let error = broker.control().wait_for_leaders("missing", deadline).unwrap_err();
            assert!(matches!(error, Error::Broker { .. }), "{quarters}: {error}");
        }
    }

    /// With more brokers than one, one of them may not have heard yet of a topic that another has made.
    #[test]
    fn each_connection_soon_finds_a_topic_that_it_has_looked_for_in_vain() {
        let broker = Embedded::start(1).unwrap();
        let shape = Shape { partitions: 2, replication_factor: None, config: Vec::new() };
        for lane in [0, 4, 8] {
            let [early, late] = ["early", "late"].map(|name| format!("{name}-{lane}"));
            let ends = |name: &str| broker.control().end_offsets_for(lane, name, shape.partitions, soon()).unwrap();
            // What a client knows of this one is good for a quarter of an hour, and what it learns afterwards is not
            // forgotten before it.
            broker.create_topic(&early, &shape, soon()).unwrap();
            assert_eq!(ends(&early), Some(vec![0, 0]));
            assert_eq!(ends(&late), None);
            broker.create_topic(&late, &shape, soon()).unwrap();
            assert_eq!(ends(&late), Some(vec![0, 0]), "on the connection of lane {lane}");
        }
    }

    #[test]
    fn what_it_cannot_do_says_so() {
        let broker = Embedded::start(1).unwrap();
        let shape = Shape { partitions: 1, replication_factor: Some(2), config: Vec::new() };
        let message = broker.create_topic("t", &shape, soon()).unwrap_err().to_string();
        assert!(message.contains("2 replicas on 1"), "{message}");
        let config = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
        let shape = Shape { partitions: 1, replication_factor: None, config };
        let message = broker.create_topic("t", &shape, soon()).unwrap_err().to_string();
        assert!(message.contains("topic configuration"), "{message}");
    }
}
