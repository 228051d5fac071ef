//! Runs whose broker is gone at their end.

use std::sync::LazyLock;
use std::time::Duration;

use rstest::rstest;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Harness, Kafka, PooledConsumer};

use super::leave_something;
use crate::common::child::say;
use crate::common::comes_true;
use crate::common::embedded::Embedded;

/// A harness that is closed at exit only, as those of a suite are.
static LOST: LazyLock<Harness> =
    LazyLock::new(|| Harness::builder().embedded_brokers(2).exit_deadline(Duration::from_secs(2)).build());

/// Makes a consumer a member of its group.
fn join(consumer: &PooledConsumer) {
    consumer.client().unassign().unwrap();
    consumer.client().subscribe(&[consumer.topic().name()]).unwrap();
    let joined = comes_true(|| {
        let _ = consumer.within(Duration::from_millis(20)).recv();
        consumer.client().assignment().unwrap().count() > 0
    });
    assert!(joined);
}

fn lose_the_broker(kafka: &Kafka) {
    let embedded = Embedded::of(kafka);
    (1..=2).for_each(|broker| embedded.take_down(broker));
}

mod loses_its_embedded_broker {
    use super::*;

    #[rstest]
    fn at_the_end() {
        let kafka = LOST.lease();
        leave_something(&kafka);
        let consumers: Vec<PooledConsumer> = (0..8).map(|_| kafka.consumer("events")).collect();
        // It is closed off the test's path, where it would wait for its coordinator.
        join(&consumers[0]);
        lose_the_broker(&kafka);
        say("consumers", consumers.len());
        drop(consumers);
        // So are those of a failed lease.
        kafka.mark_failed();
    }
}

mod leaks_a_member_of_a_group {
    use super::*;

    #[rstest]
    fn at_the_end() {
        let kafka = LOST.lease();
        leave_something(&kafka);
        let consumer = kafka.consumer("events");
        join(&consumer);
        // The answer to its LeaveGroup comes long after all that is allowed.
        let embedded = Embedded::of(&kafka);
        (1..=2).for_each(|broker| embedded.slow_down(broker, Duration::from_secs(600)));
        std::mem::forget(consumer);
    }
}

mod loses_its_cluster {
    use super::*;

    /// The cluster: an embedded broker, which only the other harness knows as such.
    static CLUSTER: LazyLock<Harness> = LazyLock::new(|| Harness::builder().embedded_brokers(1).build());
    static CLIENT: LazyLock<Harness> = LazyLock::new(|| {
        let servers = CLUSTER.lease().bootstrap_servers().to_owned();
        Harness::builder().bootstrap_servers(servers).exit_deadline(Duration::from_secs(2)).build()
    });

    #[rstest]
    fn at_the_end() {
        let (cluster, client) = (CLUSTER.lease(), CLIENT.lease());
        // Named, so that it is to be deleted.
        say("named", client.topic_names().name("events").name());
        Embedded::of(&cluster).take_down(1);
    }
}

mod has_no_broker {
    use super::*;

    #[rstest]
    fn at_all() {
        let nobody = Harness::builder().bootstrap_servers("127.0.0.1:1").timeout(Duration::from_millis(300)).build();
        drop(nobody.lease());
    }
}
