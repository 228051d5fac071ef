//! Random sequences of operations, the same on Apache Kafka and on an embedded broker, and all that is to be seen compared.
//!
//! `scripts/with-kafka --config group.initial.rebalance.delay.ms=0 -- cargo test -p embedded-kafka --test differential --
//! --ignored --nocapture`. `DIFFERENTIAL_STEPS` says how many operations, `DIFFERENTIAL_SEED` where they begin: a failure
//! prints its seed, which repeats it as the first case. `DIFFERENTIAL_KINDS` takes some kinds only: `records,produce`.

mod case;
#[path = "../common/mod.rs"]
mod common;
mod connection;
mod consumers;
mod groups;
mod offsets;
mod op;
mod producers;
mod random;
mod records;
mod shrink;
mod side;
mod text;
mod topics;
mod transactions;

use std::collections::BTreeMap;
use std::env;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_kafka::EmbeddedKafka;
use kafka_protocol::messages::{ApiVersionsRequest, FindCoordinatorRequest};
use kafka_protocol::protocol::StrBytes;

use self::connection::Connection;
use self::random::Random;
use self::side::Versions;

/// How many operations a case has. A difference ends it.
const LENGTH: usize = 100;
/// How many cases run at once: Apache Kafka waits for its disk and its own threads in most of them.
const AT_ONCE: usize = 4;
/// How many cases that differ are enough.
const ENOUGH: usize = 5;

#[test]
#[ignore = "it needs Apache Kafka: set RSTEST_KAFKA_BOOTSTRAP_SERVERS"]
fn both_brokers_answer_alike() {
    let kafka = env::var("RSTEST_KAFKA_BOOTSTRAP_SERVERS").expect("RSTEST_KAFKA_BOOTSTRAP_SERVERS names Apache Kafka");
    let steps = number("DIFFERENTIAL_STEPS").unwrap_or(4_000) as usize;
    let seed = number("DIFFERENTIAL_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16);
    let kinds = kinds();
    warm_up(&kafka);
    let cases = steps.div_ceil(LENGTH) as u64;
    println!("{cases} cases of {LENGTH} steps from seed {seed} on");
    let (next, done, differences) = (AtomicU64::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let versions = versions(&kafka);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= cases || differences.lock().unwrap().len() >= ENOUGH {
                        return;
                    }
                    let seed = seed + n;
                    let ops = op::sequence(&mut Random::new(seed), LENGTH, &kinds);
                    let found = case::run(&kafka, &versions, &ops);
                    // What does not come again has been a matter of time, in Apache Kafka's many threads.
                    let again = found.as_ref().and_then(|_| case::run(&kafka, &versions, &ops));
                    if let (Some(found), None) = (&found, &again) {
                        println!("DIFFERENTIAL_SEED={seed} once, and not again, {found}");
                    }
                    if let Some(found) = again {
                        let told = tell(seed, ops, found, |ops| case::run(&kafka, &versions, ops));
                        println!("{told}");
                        differences.lock().unwrap().push(told);
                    }
                    let done = done.fetch_add(LENGTH, Ordering::Relaxed) + LENGTH;
                    if done % 10_000 < LENGTH {
                        println!("{done} steps, {:.0} a second", done as f64 / began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let done = done.into_inner();
    println!("{done} steps, {:.0} a second", done as f64 / began.elapsed().as_secs_f64());
    let differences = differences.into_inner().unwrap();
    assert!(differences.is_empty(), "{} cases differ, see above", differences.len());
}

/// A case that differs, made as short as can be.
fn tell(
    seed: u64,
    ops: Vec<op::Op>,
    found: case::Difference,
    run: impl Fn(&[op::Op]) -> Option<case::Difference>,
) -> String {
    let limit = Duration::from_secs(number("DIFFERENTIAL_SHRINK_SECONDS").unwrap_or(30));
    let (_, found) = shrink::shrink(ops, found, limit, run);
    format!("DIFFERENTIAL_SEED={seed}\n{found}\n")
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not '{value}'")))
}

fn kinds() -> Vec<usize> {
    let names: Vec<&str> = op::KINDS.iter().map(|(name, _)| *name).collect();
    let Ok(wanted) = env::var("DIFFERENTIAL_KINDS") else { return (0..names.len()).collect() };
    let index = |wanted: &str| names.iter().position(|name| *name == wanted);
    wanted
        .split(',')
        .map(|name| index(name).unwrap_or_else(|| panic!("DIFFERENTIAL_KINDS takes {names:?}, not '{name}'")))
        .collect()
}

/// Has a new Kafka make the topics of its coordinators.
fn warm_up(kafka: &str) {
    let mut connection = Connection::open(kafka).expect("the broker is there");
    for key_type in [0, 1] {
        let key = StrBytes::from_static_str("differential");
        let request = FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![key]);
        common::eventually(|| {
            let response = connection.call(&request, 4).expect("an answer");
            (response.coordinators[0].error_code == 0).then_some(())
        });
    }
}

/// What both brokers serve.
fn versions(kafka: &str) -> Versions {
    let embedded = EmbeddedKafka::start().expect("an embedded broker");
    let of = |address: &str| {
        let mut connection = Connection::open(address).expect("the broker is there");
        let response = connection.call(&ApiVersionsRequest::default(), 0).expect("an answer");
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        ranges.collect::<BTreeMap<_, _>>()
    };
    let ours = of(embedded.bootstrap_servers());
    let common = of(kafka).into_iter().filter_map(|(key, (low, high))| {
        let &(our_low, our_high) = ours.get(&key)?;
        Some((key, (low.max(our_low), high.min(our_high))))
    });
    Rc::new(common.collect())
}
