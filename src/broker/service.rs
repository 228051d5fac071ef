//! Configurations for a service's clients: what each kind of client takes, and what a test wants of it.

use std::time::Duration;

use rdkafka::ClientConfig;

/// librdkafka's properties of consumers, which every other client ignores with a warning.
const OF_CONSUMERS: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Those of producers.
const OF_PRODUCERS: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Any,
    Consumer,
    Producer,
}

/// Of 10 s, which is how late a service sees that its broker is back.
const OF_BOTH: &[(&str, &str)] = &[("reconnect.backoff.max.ms", "500")];

const OF_A_TESTED_CONSUMER: &[(&str, &str)] = &[
    // For a topic that was only named. Everywhere else the group's committed offsets decide.
    ("auto.offset.reset", "earliest"),
    // Of 5 s, which is how long the crate waits too.
    ("auto.commit.interval.ms", "50"),
    // Of 500 ms. After an assignment the first Fetch asks for the partitions that are ready by then, the others wait for its
    // answer.
    ("fetch.wait.max.ms", "50"),
    // Of 500 ms, after an answer such as that the leader has moved.
    ("fetch.error.backoff.ms", "50"),
    // Of 5 minutes: how late it sees a new partition, or a topic of a pattern. A topic that is created after it has
    // subscribed is seen after 150 ms instead of 1 s.
    ("topic.metadata.refresh.interval.ms", "200"),
];

/// Without what a client of that role would ignore with a warning.
pub(super) fn fit(config: &ClientConfig, role: Role) -> ClientConfig {
    let mut fit = config.clone();
    if role != Role::Consumer {
        for key in OF_CONSUMERS {
            fit.remove(key);
        }
    }
    if role != Role::Producer {
        for key in OF_PRODUCERS {
            fit.remove(key);
        }
    }
    fit
}

pub(super) fn consumer(config: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = with(fit(config, Role::Consumer), OF_BOTH.iter().chain(OF_A_TESTED_CONSUMER));
    config.set("group.id", group);
    config
}

pub(super) fn producer(config: &ClientConfig, timeout: Duration) -> ClientConfig {
    // Of 5 minutes: a send that nobody acknowledges fails when the test's own waits do.
    let timeout = timeout.as_millis().to_string();
    // Of 5 ms, which each message that is waited for takes longer: 8 ms instead of 1.8 on Kafka.
    let own = [("linger.ms", "0"), ("message.timeout.ms", &timeout)];
    with(fit(config, Role::Producer), OF_BOTH.iter().chain(&own))
}

/// What the harness was given wins.
fn with<'a>(mut config: ClientConfig, defaults: impl Iterator<Item = &'a (&'a str, &'a str)>) -> ClientConfig {
    for (key, value) in defaults {
        if config.get(key).is_none() {
            config.set(*key, *value);
        }
    }
    config
}

/// The properties of a configuration as plain pairs, for another version of rdkafka or for another client.
///
/// They are what the client gets, passwords too; `Debug` of a [`ClientConfig`] leaves out some of them.
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// use std::collections::HashMap;
///
/// let pairs: HashMap<String, String> = rstest_kafka::pairs(&kafka.producer_config()).collect();
/// assert_eq!(pairs["bootstrap.servers"], kafka.bootstrap_servers());
/// ```
///
/// A `ClientConfig` of any version of rdkafka collects them too.
pub fn pairs(config: &ClientConfig) -> impl Iterator<Item = (String, String)> + use<> {
    // `config_map` has placeholders in the place of passwords.
    let keys = config.config_map().into_keys();
    let pairs = keys.filter_map(|key| Some((key.to_owned(), config.get(key)?.to_owned())));
    pairs.collect::<Vec<_>>().into_iter()
}
