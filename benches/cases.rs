//! What a test costs: with this crate, with a fresh topic, consumer or group each, and the bare round trip below which
//! nothing can get. Everything that a user pays for is in it: create, close, delete.
//!
//! All of it in one run, in turn, on the embedded broker or, with `RSTEST_KAFKA_BOOTSTRAP_SERVERS`, on a cluster:
//! `cargo bench --bench cases`.
#![allow(missing_docs, reason = "a benchmark has no callers")]

mod common;

use std::time::{Duration, Instant};

use common::fresh::Fresh;
use common::raw::{OffsetRoundTrip, Raw};
use common::report::{Bench, Target};
use common::served::served_by;
use common::{Times, is_embedded, reused, reused_in_parts};

/// How long the cases of one slow kind may take in all.
const BUDGET: Duration = Duration::from_secs(3);
const MOST_SLOW: usize = 60;

/// How many kinds of cases are measured in turn.
const KINDS: usize = 6;

fn row(bench: &mut Bench, id: &str, label: &str, times: &Times) -> f64 {
    let values = [
        ("median_ms", times.median()),
        ("p10_ms", times.quantile(0.1)),
        ("p90_ms", times.quantile(0.9)),
        ("cases", times.len() as f64),
    ];
    bench.row(id, label, &values);
    times.median()
}

/// So many of a kind, after one that does not count.
fn times(n: usize, times: &mut Times, case: impl Fn()) {
    case();
    (0..n).for_each(|_| times.add(&case));
}

fn slow(bench: &Bench, case: impl Fn()) -> Times {
    let (mut times, started) = (Times::default(), Instant::now());
    let least = bench.pick(3, 1);
    while times.len() < least || (!bench.is_short() && started.elapsed() < BUDGET && times.len() < MOST_SLOW) {
        times.add(&case);
    }
    times
}

fn main() {
    let Some(mut bench) = Bench::begin("cases") else { return };
    let harness = bench.harness("bench-cases");
    let kafka = harness.lease();
    let (raw, offset) = (Raw::new(&kafka, "raw"), OffsetRoundTrip::new(&kafka, &kafka.topic("raw")));
    drop(kafka);

    let mut all = [(); 5].map(|()| Times::default());
    let mut parts = [(); 3].map(|()| Times::default());
    let [reused_times, raw_times, acknowledged_times, by_hand_times, offset_times] = &mut all;
    let (blocks, per_block) = bench.pick((24, 100), (KINDS, 10));
    let by_hand = || {
        offset.ask();
        raw.acknowledged_round_trip();
    };
    for block in 0..blocks {
        // Each kind in each place: what comes first after the clients of another kind finds its own cold.
        for turn in 0..KINDS {
            let kind = (block + turn) % KINDS;
            raw.pause(!matches!(kind, 2..=4));
            match kind {
                0 => times(per_block, reused_times, || reused(&harness)),
                1 => {
                    reused(&harness);
                    for _ in 0..per_block {
                        parts.iter_mut().zip(reused_in_parts(&harness)).for_each(|(times, took)| times.push(took));
                    }
                }
                2 => times(per_block, raw_times, || raw.round_trip()),
                3 => times(per_block, acknowledged_times, || raw.acknowledged_round_trip()),
                4 => times(per_block, by_hand_times, by_hand),
                _ => times(per_block, offset_times, || offset.ask()),
            }
        }
    }
    raw.pause(true);
    // Only real brokers count by themselves.
    let count = || served_by(|| (0..per_block * 10).for_each(|_| reused(&harness)));
    let requests = if is_embedded(&harness.lease()) { None } else { count() };
    drop((raw, offset));

    let reused = row(&mut bench, "reused", "reused topic and consumer, fenced: this crate's way", reused_times);
    let [fence, message, rest] = &parts;
    row(&mut bench, "fence", "of it the fence", fence);
    row(&mut bench, "message", "of it the message, acknowledged and received", message);
    row(&mut bench, "rest", "of it all else: lease, names, consumer out of the pool and back", rest);
    let raw = row(&mut bench, "raw", "raw round trip, no isolation at all", raw_times);
    let acknowledged =
        row(&mut bench, "acknowledged", "the same, its acknowledgement waited for first", acknowledged_times);
    let by_hand = row(&mut bench, "by_hand", "an offset request before that: a reused case by hand", by_hand_times);
    let offset = row(&mut bench, "offset", "one offset request", offset_times);
    if let Some(requests) = requests {
        let cases = (per_block * 10) as f64;
        let of = |kind: &str| requests.get(kind).copied().unwrap_or(0.0) / cases;
        let all = requests.values().sum::<f64>() / cases;
        let values = [("Produce", of("Produce")), ("Fetch", of("Fetch")), ("ListOffsets", of("ListOffsets"))];
        let others = all - values.iter().map(|(_, n)| n).sum::<f64>();
        let values: Vec<_> = values.into_iter().chain([("others", others)]).collect();
        bench.row("requests", "requests that the broker served for a reused case", &values);
        let beyond = all - of("Produce") - of("Fetch");
        // Clients ask for metadata now and then, whatever is done with them.
        let now_and_then = 5.0 / cases;
        let label = "requests of a reused case beyond Produce and Fetch";
        // Which topic it is now with its partitions, and where they end.
        bench.figure("requests_beyond", label, beyond, Target::AtMost(2.0 + now_and_then));
    }

    let fresh = Fresh::new(&harness.lease());
    let mut own_way = |id: &str, label: &str, case: &dyn Fn()| {
        let part = id.split('_').next().unwrap_or(id);
        bench.wants(part).then(|| {
            let times = slow(&bench, case);
            row(&mut bench, id, label, &times)
        })
    };
    own_way("consumer", "reused topic, fresh consumer, assign", &|| fresh.consumer());
    let assign = own_way("assign", "fresh topic, fresh consumer, assign", &|| fresh.assign());
    own_way("kip848", "fresh topic, fresh group, subscribe, KIP-848", &|| fresh.subscribe("consumer"));
    let delay = fresh.rebalance_delay();
    let shown = delay.map_or("unknown".to_owned(), |delay| format!("{delay} ms"));
    let label = format!("fresh topic, fresh group, subscribe, join delay {shown}");
    let classic = own_way(&format!("classic_{}", delay.unwrap_or_default()), &label, &|| fresh.subscribe("classic"));
    let classic = classic.filter(|_| delay == Some(3000));

    let on_cluster = !is_embedded(&harness.lease());
    let most = if on_cluster { Target::None } else { Target::AtMost(1.3) };
    bench.figure("reused_over_raw", "reused case / raw round trip", reused / raw, most);
    let most = if on_cluster { Target::AtMost(1.25) } else { Target::None };
    let beyond = (reused - raw) / offset;
    bench.figure("beyond_raw", "(reused case - raw round trip) / offset request", beyond, most);
    // Between other requests an offset request takes longer than after another of its kind.
    let beyond = (reused - acknowledged) / (by_hand - acknowledged);
    bench.figure("beyond_by_hand", "the same, by what an offset request adds to a case by hand", beyond, Target::None);
    bench.figure("reused_over_by_hand", "reused case / the same requests by hand", reused / by_hand, Target::None);
    let aims = [
        ("assign", "fresh topic + assign / reused case", assign, if on_cluster { 75.0 } else { 60.0 }),
        ("classic", "fresh topic + group + subscribe, default delay / reused case", classic, 1000.0),
    ];
    for (id, label, median, least) in aims {
        let id = format!("{id}_over_reused");
        match median {
            Some(median) => bench.figure(&id, label, median / reused, Target::AtLeast(least)),
            None => bench.skip(&id, "it was not asked for, or the broker's join delay is another"),
        }
    }
    bench.end();
}
