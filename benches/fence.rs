//! What a fence costs, by partitions and brokers: what `Kafka::topic` takes for a topic that the worker has.
//!
//! Beside it what it must cost at least, one request for a single partition on a connection of its own. `cargo bench --bench
//! fence`; on a cluster it takes the brokers that there are.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use common::raw::OffsetRoundTrip;
use common::report::{Bench, Target};
use common::{Times, is_embedded};
use rstest_kafka::{Harness, TopicSpec};

const PARTITIONS: [i32; 3] = [1, 12, 64];

fn main() {
    let Some(mut bench) = Bench::begin("fence") else { return };
    let harness = bench.harness("bench-fence");
    if is_embedded(&harness.lease()) {
        for brokers in [1, 3] {
            let prefix = format!("bench-fence-{brokers}");
            let harness = Harness::builder().topic_prefix(prefix).embedded_brokers(brokers).build();
            fences(&mut bench, &harness, brokers);
        }
    } else {
        let brokers = harness.lease().bootstrap_servers().split(',').count();
        fences(&mut bench, &harness, brokers);
    }
    bench.end();
}

fn fences(bench: &mut Bench, harness: &Harness, brokers: usize) {
    let spec = |partitions| TopicSpec::new(format!("fenced-{partitions}")).partitions(partitions);
    let fence = |partitions| drop(harness.lease().topic(spec(partitions)));
    let offset = {
        let kafka = harness.lease();
        OffsetRoundTrip::new(&kafka, &kafka.topic(spec(1)))
    };
    let mut times = PARTITIONS.map(|_| Times::default());
    let mut offset_times = Times::default();
    let (blocks, per_block) = bench.pick((20, 50), (1, 10));
    for block in 0..=blocks {
        for (times, partitions) in times.iter_mut().zip(PARTITIONS) {
            // The first of each makes it, and connects to its leaders.
            (0..if block == 0 { 20 } else { 1 }).for_each(|_| fence(partitions));
            if block > 0 {
                (0..per_block).for_each(|_| times.add(|| fence(partitions)));
            }
        }
        offset.ask();
        (0..per_block).for_each(|_| offset_times.add(|| offset.ask()));
    }
    let plural = if brokers == 1 { "" } else { "s" };
    for (times, partitions) in times.iter().zip(PARTITIONS) {
        let label = format!("a lease and its fence, {partitions} partitions, {brokers} broker{plural}");
        let values = [
            ("median_ms", times.median()),
            ("p90_ms", times.quantile(0.9)),
            ("over_one_offset_request", times.median() / offset_times.median()),
        ];
        bench.row(&format!("{brokers}_{partitions}"), &label, &values);
    }
    let values = [
        ("median_ms", offset_times.median()),
        ("p90_ms", offset_times.quantile(0.9)),
        ("over_one_offset_request", 1.0),
    ];
    bench.row(&format!("{brokers}_offset"), "one request for one partition", &values);
    let ratio = times[2].median() / times[0].median();
    bench.figure(&format!("wide_{brokers}"), "64 partitions / 1 partition", ratio, Target::None);
}
