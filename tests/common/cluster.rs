//! A real cluster, seen through plain rdkafka: what the crate says of itself is not what is counted.
//!
//! A test that needs one is compiled always, stands in a module `on_a_cluster` and is `#[ignore]`d with a
//! reason, so that a run without a cluster shows it as ignored. With one:
//!
//! ```sh
//! scripts/with-kafka --sasl-plain tester:secret --acl -- \
//!     cargo test --features json --test cluster --test cluster_faults -- --ignored on_a_cluster
//! ```
//!
//! Where something is not there that it needs (the cluster, the SASL listener, the right to stop a broker) it fails and
//! says so: none passes because there was no broker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::client::DefaultClientContext;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};

const PATIENCE: Duration = Duration::from_secs(10);

/// The address of the cluster; a test that needs one and has none fails.
#[track_caller]
pub fn servers() -> String {
    std::env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS")
        .ok()
        .filter(|servers| !servers.is_empty())
        .expect("this test needs a real cluster: run it by scripts/with-kafka, or set RSTEST_KAFKA_BOOTSTRAP_SERVERS")
}

pub fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers());
    config
}

/// The topics and groups whose names begin so.
pub fn named(prefix: &str) -> BTreeSet<String> {
    let client: BaseConsumer = config().create().unwrap();
    let metadata = client.fetch_metadata(None, PATIENCE).unwrap();
    let topics = metadata.topics().iter().map(|topic| topic.name().to_owned());
    // A broker that is still making or loading its topic of the groups' offsets does not tell.
    let late = Instant::now() + PATIENCE;
    let groups = loop {
        match client.fetch_group_list(None, PATIENCE) {
            Ok(groups) => break groups,
            Err(error) => assert!(Instant::now() < late, "no list of the groups: {error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
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

pub fn admin() -> AdminClient<DefaultClientContext> {
    config().create().unwrap()
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
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

/// At how many moments a run is killed: `KILL_POINTS`, else as many as a change of what is swept wants.
pub fn kill_points(usual: u32) -> u32 {
    let told = std::env::var("KILL_POINTS").ok();
    told.map_or(usual, |points| points.parse().expect("KILL_POINTS is a number of kills"))
}

/// What `scripts/with-kafka` tells its command.
#[track_caller]
fn told(variable: &str, option: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("this test needs scripts/with-kafka{option}: {variable} is not set"))
}

/// The path of a Java client's file for the second listener.
#[track_caller]
pub fn client_properties() -> String {
    told("WITH_KAFKA_CLIENT_PROPERTIES", " --tls --sasl-scram USER:PASSWORD")
}

/// The second listener's address, a user and the password.
pub fn sasl() -> (String, String, String) {
    let told = |name| told(name, " --sasl-plain or --sasl-scram USER:PASSWORD");
    (told("WITH_KAFKA_SECURE_BOOTSTRAP_SERVERS"), told("WITH_KAFKA_SASL_USERNAME"), told("WITH_KAFKA_SASL_PASSWORD"))
}

/// A broker that the test may stop and start again, on its ports and its data.
pub struct Stoppable {
    folder: PathBuf,
    number: usize,
}

impl Stoppable {
    /// All brokers of the cluster.
    pub fn all() -> Vec<Self> {
        let folder = PathBuf::from(told("WITH_KAFKA_DIR", ""));
        let count: usize = told("WITH_KAFKA_BROKERS", "").parse().unwrap();
        (1..=count).map(|number| Self { folder: folder.clone(), number }).collect()
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("broker-{}.{ending}", self.number))
    }

    pub fn properties(&self) -> PathBuf {
        self.file("properties")
    }

    /// At once, as in a crash. The cluster has it back only after its session has timed out, 9 s unless configured.
    pub fn crash(&self) {
        self.signal("-KILL");
    }

    /// In an orderly way.
    pub fn stop(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.file("pid")).unwrap();
        let pid = pid.trim();
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
        let late = Instant::now() + 2 * PATIENCE;
        // A zombie has closed its sockets too.
        while std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < late, "broker {} does not end", self.number);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn start(&self) {
        let mut start = Command::new(self.file("start"));
        let status = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
    }
}

/// Waits until the cluster answers again and takes a topic.
pub fn wait_until_up() {
    let late = Instant::now() + Duration::from_secs(60);
    loop {
        let client: BaseConsumer = config().create().unwrap();
        if client.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| {
            let led = |topic: &rstest_kafka::rdkafka::metadata::MetadataTopic| {
                topic.partitions().iter().all(|partition| partition.leader() >= 0)
            };
            !metadata.brokers().is_empty() && metadata.topics().iter().all(led)
        }) {
            return;
        }
        assert!(Instant::now() < late, "the cluster did not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Adds an ACL for all topics whose names begin so, or for the cluster itself; it ends with the cluster.
pub fn acl(user: &str, prefix: Option<&str>, operation: rdsys::rd_kafka_AclOperation_t, allow: bool) {
    use rdsys::rd_kafka_AclPermissionType_t as Permission;
    use rdsys::rd_kafka_ResourcePatternType_t as Pattern;
    use rdsys::rd_kafka_ResourceType_t as Resource;
    let (resource, pattern) = match prefix {
        Some(_) => (Resource::RD_KAFKA_RESOURCE_TOPIC, Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED),
        None => (Resource::RD_KAFKA_RESOURCE_BROKER, Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
    };
    let permission = match allow {
        true => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
        false => Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
    };
    let prefix = prefix.unwrap_or("kafka-cluster");
    use std::ffi::CString;
    let (prefix, principal) = (CString::new(prefix).unwrap(), CString::new(format!("User:{user}")).unwrap());
    let client = admin();
    let native = client.inner().native_ptr();
    // SAFETY: the client outlives the call, the strings are copied, each object is destroyed once, after its last use.
    unsafe {
        let mut message = [0; 256];
        let mut binding = rdsys::rd_kafka_AclBinding_new(
            resource,
            prefix.as_ptr(),
            pattern,
            principal.as_ptr(),
            c"*".as_ptr(),
            operation,
            permission,
            message.as_mut_ptr(),
            message.len(),
        );
        assert!(!binding.is_null());
        let queue = rdsys::rd_kafka_queue_new(native);
        rdsys::rd_kafka_CreateAcls(native, &mut binding, 1, std::ptr::null(), queue);
        let event = rdsys::rd_kafka_queue_poll(queue, 10_000);
        let result = rdsys::rd_kafka_event_CreateAcls_result(event);
        assert!(!result.is_null(), "the ACL was not answered");
        let mut count = 0;
        let results = rdsys::rd_kafka_CreateAcls_result_acls(result, &mut count);
        let error = rdsys::rd_kafka_acl_result_error(*results);
        assert!(error.is_null(), "ACLs need scripts/with-kafka --acl");
        rdsys::rd_kafka_event_destroy(event);
        rdsys::rd_kafka_queue_destroy(queue);
        rdsys::rd_kafka_AclBinding_destroy(binding);
    }
}
