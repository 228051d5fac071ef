//! A real cluster, seen through plain rdkafka: what the crate says of itself is not what is counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};

const PATIENCE: Duration = Duration::from_secs(10);

/// The address of the cluster; a test that needs one and has none fails.
pub fn servers() -> String {
    std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS")
        .ok()
        .filter(|servers| !servers.is_empty())
        .expect("this test needs a real cluster: name it in RSTEST_KAFKA_BOOTSTRAP_SERVERS, or use scripts/with-kafka")
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers());
    config
}

/// The topics and groups whose names begin so.
pub fn named(prefix: &str) -> BTreeSet<String> {
    let client: BaseConsumer = config().create().unwrap();
    let metadata = client.fetch_metadata(None, PATIENCE).unwrap();
    let topics = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let groups = client.fetch_group_list(None, PATIENCE).unwrap();
    let groups = groups.groups().iter().map(|group| group.name().to_owned());
    topics.chain(groups).filter(|name| name.starts_with(prefix)).collect()
}

/// Waits until exactly these begin so; what the metadata say follows a deletion with a delay.
pub fn assert_only(prefix: &str, expected: &[&str], context: &str) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let late = Instant::now() + PATIENCE;
    loop {
        let found = named(prefix);
        if found == expected {
            return;
        }
        assert!(Instant::now() < late, "{context}: {found:?} where {expected:?} was expected");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn admin() -> AdminClient<DefaultClientContext> {
    config().create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A topic that is not the crate's.
pub fn make(name: &str) {
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    for made in wait(admin().create_topics([&topic], &AdminOptions::new())).unwrap() {
        made.unwrap();
    }
}

/// Cleans up after the test itself.
pub fn delete(names: &BTreeSet<String>) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        let _ = wait(admin().delete_topics(&names, &AdminOptions::new()));
        let _ = wait(admin().delete_groups(&names, &AdminOptions::new()));
    }
}
