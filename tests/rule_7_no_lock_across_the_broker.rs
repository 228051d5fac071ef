//! Rule 7: no lock is held while a broker is asked; a slow topic never holds another lane up.
//!
//! Every test here has one lane wait for a broker that does not answer while another goes through many cases. That the
//! cases are done before the waiting is over is told by the order of events, not by a clock.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::embedded::Embedded;
use common::{alone, lease, put};
use rstest::rstest;
use rstest_kafka::{Error, Harness, HarnessBuilder, Kafka, Topic};

/// A case that is held up ends with the waiting, so a few are enough, and a busy machine has time for them.
const CASES: usize = 10;
/// The broker that is taken away, and the one that leads all that the other lane uses.
const SLOW: i32 = 3;
const QUICK: i32 = 1;

fn case(kafka: &Kafka, logical: &str) {
    let topic = kafka.topic(logical);
    let consumer = kafka.consumer(&topic);
    put(kafka, &topic, 0, "mine");
    assert_eq!(consumer.recv().text(), "mine");
    consumer.assert_empty();
}

/// Has `waits` wait on a lane of its own, and then plays many cases of `quick` on others, which must all end first.
fn waits_alone(slow: &Harness, quick: &Harness, ready: impl FnOnce(&Kafka) + Send, waits: impl FnOnce(&Kafka) + Send) {
    let over = AtomicBool::new(false);
    let (begin, begun) = mpsc::channel();
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let kafka = slow.lease();
            ready(&kafka);
            begin.send(()).unwrap();
            waits(&kafka);
            over.store(true, Ordering::SeqCst);
        });
        begun.recv().unwrap();
        for number in 0..CASES {
            lease(quick, |kafka| case(&kafka, "quick"));
            assert!(!over.load(Ordering::SeqCst), "the waiting was over before the {number}th case");
        }
    });
    assert!(over.into_inner());
}

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("lock").timeout(Duration::from_secs(3))
}

/// Three brokers; the slow topic's leader is one that the quick topic does not need.
fn three_brokers() -> Harness {
    let harness = builder().embedded_brokers(3).build();
    // The lane that will wait is held while the other warms up its own, so that both find theirs warm.
    let led_by = |kafka: &Kafka, logical: &str, leader: i32| {
        let name = kafka.topic_names().name(logical);
        kafka.topic(logical);
        Embedded::of(kafka).broker.move_leader(&name, 0, leader).unwrap();
        case(kafka, logical);
    };
    lease(&harness, |kafka| {
        led_by(&kafka, "slow", SLOW);
        led_by(&kafka, "quick", QUICK);
        lease(&harness, |kafka| led_by(&kafka, "quick", QUICK));
    });
    harness
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Down,
    Slow,
}

impl Trouble {
    fn begin(self, broker: &Embedded) {
        match self {
            Self::Down => broker.take_down(SLOW),
            Self::Slow => broker.slow_down(SLOW, Duration::from_secs(60)),
        }
    }
}

#[rstest]
#[case::fence(|kafka: &Kafka, _: &Topic| kafka.checked().topic("slow").unwrap_err(), false)]
#[case::receive(|kafka: &Kafka, slow: &Topic| kafka.consumer(slow).checked().recv().unwrap_err(), true)]
#[case::send(|kafka: &Kafka, slow: &Topic| kafka.checked().send(slow, "k", "v").unwrap_err(), true)]
#[case::assert_empty(|kafka: &Kafka, slow: &Topic| kafka.consumer(slow).checked().assert_empty().unwrap_err(), true)]
fn embedded_a_leader_that_does_not_answer_holds_up_only_who_asks_it(
    #[case] waits: fn(&Kafka, &Topic) -> Error,
    #[case] fenced_before: bool,
    #[values(Trouble::Down, Trouble::Slow)] trouble: Trouble,
) {
    let _alone = alone();
    let harness = three_brokers();
    let broker = lease(&harness, |kafka| Embedded::of(&kafka));
    let fenced = std::sync::OnceLock::new();
    let ready = |kafka: &Kafka| {
        // A name whose topic is never asked for stands in where the fence itself is what waits.
        let topic = if fenced_before { kafka.topic("slow") } else { kafka.topic("quick") };
        fenced.set(topic).unwrap();
        trouble.begin(&broker);
    };
    waits_alone(&harness, &harness, ready, |kafka| drop(waits(kafka, fenced.get().unwrap())));
    if let Trouble::Down = trouble {
        // Nothing is left of it for those who come later; what a slow broker has begun to delay stays delayed.
        broker.bring_up(SLOW);
        lease(&harness, |kafka| case(&kafka, "slow"));
    }
    (0..CASES).for_each(|_| lease(&harness, |kafka| case(&kafka, "quick")));
}

#[rstest]
#[case::recv(|kafka: &Kafka| drop(kafka.consumer("slow").checked().recv().unwrap_err()))]
#[case::recv_nonblocking(|kafka: &Kafka| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(kafka.consumer("slow").nonblocking().recv()).unwrap_err();
})]
#[case::recv_matching(|kafka: &Kafka| drop(kafka.consumer("slow").checked().recv_matching(|_| false).unwrap_err()))]
fn who_waits_for_a_message_that_never_comes_holds_nobody_up(#[case] waits: fn(&Kafka)) {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        case(&kafka, "quick");
        lease(&harness, |kafka| case(&kafka, "quick"));
    });
    waits_alone(&harness, &harness, |_| {}, waits);
}

#[rstest]
fn embedded_another_harness_is_not_held_up_by_a_broker_that_is_gone() {
    let _alone = alone();
    let (gone, quick) = (builder().embedded_brokers(1).build(), builder().build());
    lease(&quick, |kafka| {
        case(&kafka, "quick");
        lease(&quick, |kafka| case(&kafka, "quick"));
    });
    let ready = |kafka: &Kafka| {
        case(kafka, "slow");
        Embedded::of(kafka).take_down(1);
    };
    let waits = |kafka: &Kafka| {
        kafka.checked().topic("other").unwrap_err();
    };
    waits_alone(&gone, &quick, ready, waits);
}

#[rstest]
fn another_harness_is_not_held_up_by_one_that_cannot_connect() {
    let _alone = alone();
    let quick = builder().build();
    lease(&quick, |kafka| {
        case(&kafka, "quick");
        lease(&quick, |kafka| case(&kafka, "quick"));
    });
    // A listener that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let deaf = builder().bootstrap_servers(address).build();
    let waits = |_: &Kafka| {
        deaf.try_lease().unwrap_err();
    };
    waits_alone(&quick, &quick, |_| {}, waits);
}
