//! The six behaviours that the idea was first tested with, each through the public fixtures' own harness.
//!
//! The exact formats and precedences are table tests beside the code: `worker.rs`, `topic.rs`, `pool.rs`, `config.rs`.

mod common;

use std::sync::mpsc;
use std::thread;

use common::{alone, lease, put};
use rstest::rstest;
use rstest_kafka::Harness;

fn harness() -> Harness {
    Harness::builder().topic_prefix("six").build()
}

#[rstest]
fn worker_id_detection() {
    let _alone = alone();
    let named = Harness::builder().topic_prefix("six").worker_id("relay-ci").build();
    lease(&named, |kafka| {
        assert!(kafka.worker_id().starts_with("relay-ci"), "{}", kafka.worker_id());
        assert!(kafka.topic("events").contains(&format!("-{}-", kafka.worker_id())));
    });
    lease(&harness(), |kafka| {
        let expected = match std::env::var("NEXTEST_TEST_GLOBAL_SLOT") {
            Ok(slot) => format!("slot-{slot}"),
            Err(_) => "main".to_owned(),
        };
        assert!(kafka.worker_id().starts_with(&expected), "{}", kafka.worker_id());
    });
}

#[rstest]
fn state_initialisation() {
    let _alone = alone();
    let harness = harness();
    assert_eq!(harness.stats(), Default::default(), "nothing happens before the first lease");
    lease(&harness, |kafka| {
        assert_eq!((kafka.run_id().len(), kafka.generation()), (8, kafka.topic_names().generation()));
        let stats = kafka.stats();
        assert_eq!((stats.leases, stats.topics_made, stats.consumers_made), (1, 0, 0));
        let consumer = kafka.consumer("events");
        consumer.assert_empty();
        let stats = kafka.stats();
        assert_eq!((stats.topics_made + stats.topics_reused, stats.consumers_made), (1, 1));
    });
}

#[rstest]
fn topic_name_consistency() {
    let _alone = alone();
    let harness = harness();
    let names = || {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            assert_eq!(events, kafka.topic("events"));
            assert_eq!(events, kafka.topic_names().name("events"));
            assert_eq!(*kafka.consumer("events").topic(), events);
            let mut expected = format!("six-events-{}-{}", kafka.worker_id(), kafka.run_id());
            if kafka.generation() > 0 {
                expected.push_str(&format!("-f{}", kafka.generation()));
            }
            assert_eq!(events.name(), expected);
            expected
        })
    };
    assert_eq!(names(), names(), "a passing test leaves its names to the next");
}

#[rstest]
fn failure_and_topic_regeneration() {
    let _alone = alone();
    let harness = harness();
    let seen = |fails: bool| {
        lease(&harness, |kafka| {
            let events = kafka.topic("events");
            kafka.send(&events, "k", "left");
            if fails {
                kafka.mark_failed();
            }
            (kafka.generation(), events.name().to_owned())
        })
    };
    let (first, name) = seen(true);
    let (second, fresh) = seen(false);
    assert_eq!(second, first + 1);
    assert_ne!(name, fresh);
    assert!(fresh.ends_with(&format!("-f{second}")), "{fresh}");
    assert_eq!(seen(false), (second, fresh), "a pass changes nothing");
}

#[rstest]
fn cache_key() {
    let _alone = alone();
    let harness = harness();
    let made_by = |topics: &[&str], fails: bool| {
        lease(&harness, |kafka| {
            let before = kafka.stats().consumers_made;
            topics.iter().for_each(|topic| drop(kafka.consumer(*topic)));
            if fails {
                kafka.mark_failed();
            }
            kafka.stats().consumers_made - before
        })
    };
    assert_eq!(made_by(&["events", "audit"], false), 2, "one per topic");
    assert_eq!(made_by(&["events", "audit", "events"], true), 0, "reused");
    assert_eq!(made_by(&["events"], false), 1, "one per generation");
}

#[rstest]
fn multi_worker_isolation() {
    let _alone = alone();
    let harness = harness();
    let (arrive, arrived) = mpsc::channel();
    let seen: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|n| {
                let (harness, arrive) = (&harness, arrive.clone());
                let (go, may_go) = mpsc::channel::<()>();
                let worker = scope.spawn(move || {
                    let kafka = harness.lease();
                    let events = kafka.topic("events");
                    let consumer = kafka.consumer(&events);
                    put(&kafka, &events, 0, &n.to_string());
                    // All of them run at once: none ends before each has sent.
                    arrive.send(()).unwrap();
                    may_go.recv().unwrap();
                    assert_eq!(consumer.recv().text(), n.to_string());
                    consumer.assert_empty();
                    (kafka.worker_id().to_string(), events.name().to_owned())
                });
                (worker, go)
            })
            .collect();
        workers.iter().for_each(|_| arrived.recv().unwrap());
        workers.iter().for_each(|(_, go)| go.send(()).unwrap());
        workers.into_iter().map(|(worker, _)| worker.join().unwrap()).collect()
    });
    for (at, one) in seen.iter().enumerate() {
        for other in &seen[at + 1..] {
            assert!(one.0 != other.0 && one.1 != other.1, "{one:?} and {other:?}");
        }
    }
}
