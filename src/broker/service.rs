//! Configurations for a service's clients: the properties of each kind of client, and defaults that suit a test.

use std::time::Duration;

use rdkafka::ClientConfig;

/// librdkafka's consumer properties. Other clients ignore them with a warning.
const CONSUMER_PROPERTIES: &[&str] = &[
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

/// librdkafka's producer properties. Other clients ignore them with a warning.
const PRODUCER_PROPERTIES: &[&str] = &[
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

/// The kind of client that a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Any,
    Consumer,
    Producer,
}

/// Defaults for consumers and producers. With librdkafka's 10 s, a service would notice that late that its broker is back.
const SHARED_DEFAULTS: &[(&str, &str)] = &[("reconnect.backoff.max.ms", "500")];

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    // Matters only for a topic that did not exist when the group was created. Other topics have committed offsets.
    ("auto.offset.reset", "earliest"),
    // librdkafka's 5 s is as long as this crate's default timeout.
    ("auto.commit.interval.ms", "50"),
    // librdkafka's default is 500 ms. After an assignment, the first Fetch covers only the partitions that are ready by then.
    // The others wait for its response.
    ("fetch.wait.max.ms", "50"),
    // librdkafka's default is 500 ms. Applies after an error response, such as that the leader has moved.
    ("fetch.error.backoff.ms", "50"),
    // librdkafka's default is 5 minutes. Determines how late a consumer finds a new partition or a topic of a pattern. It
    // finds a topic that is created after it has subscribed in 150 ms instead of 1 s.
    ("topic.metadata.refresh.interval.ms", "200"),
];

/// Returns the configuration without the properties that a client of this role would ignore with a warning.
pub(super) fn for_role(config: &ClientConfig, role: Role) -> ClientConfig {
    let mut filtered = config.clone();
    if role != Role::Consumer {
        for key in CONSUMER_PROPERTIES {
            filtered.remove(key);
        }
    }
    if role != Role::Producer {
        for key in PRODUCER_PROPERTIES {
            filtered.remove(key);
        }
    }
    filtered
}

pub(super) fn consumer(config: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = with_defaults(for_role(config, Role::Consumer), SHARED_DEFAULTS.iter().chain(CONSUMER_DEFAULTS));
    config.set("group.id", group);
    config
}

pub(super) fn producer(config: &ClientConfig, timeout: Duration) -> ClientConfig {
    // librdkafka's default is 5 minutes. A send that is not acknowledged should fail within the test's timeout.
    let timeout = timeout.as_millis().to_string();
    // librdkafka's default of 5 ms delays each message by that much: sending one takes 8 ms instead of 1.8 ms on Kafka.
    let own = [("linger.ms", "0"), ("message.timeout.ms", &timeout)];
    with_defaults(for_role(config, Role::Producer), SHARED_DEFAULTS.iter().chain(&own))
}

/// Adds defaults. The properties of the harness override them.
fn with_defaults<'a>(mut config: ClientConfig, defaults: impl Iterator<Item = &'a (&'a str, &'a str)>) -> ClientConfig {
    for (key, value) in defaults {
        if config.get(key).is_none() {
            config.set(*key, *value);
        }
    }
    config
}

/// Returns the properties of a configuration as key-value pairs, for another version of rdkafka or for another client.
///
/// The pairs contain every value, including passwords. The `Debug` output of a [`ClientConfig`] leaves some of them out.
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
/// A `ClientConfig` of any version of rdkafka can collect the pairs too.
pub fn pairs(config: &ClientConfig) -> impl Iterator<Item = (String, String)> + use<> {
    // Not the values of `config_map`, which has placeholders for passwords.
    let keys = config.config_map().into_keys();
    let pairs = keys.filter_map(|key| Some((key.to_owned(), config.get(key)?.to_owned())));
    pairs.collect::<Vec<_>>().into_iter()
}
