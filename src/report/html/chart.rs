//! The chart: workers as rows, tests as bars along time.
//!
//! Boxes that are placed in percent, so that text stays text, the chart is as wide as the window, and zooming is a matter of
//! the style alone. A bar shows what it is by its shape, pattern and text, never by its colour alone.

use maud::{Markup, html};

use super::page::{outcome, took};
use super::run::{Lease, Run, micros};
use crate::report::summary::Many;

/// How much wider than the window the chart can be; the style knows them too.
const ZOOMS: [u64; 4] = [1, 4, 16, 64];

/// The microseconds of the run as percent of the chart's width.
fn percent(us: u64, length: u64) -> String {
    format!("{:.3}%", us as f64 * 100.0 / length.max(1) as f64)
}

/// The lines of time: 1, 2 or 5 of a power of ten apart, some five of them in what is seen at once.
fn ticks(length: u64, zoom: u64) -> Vec<u64> {
    let mut steps = (0..18).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let step = steps.find(|step| *step >= length / 6 / zoom).unwrap_or(length);
    (0..=length / step).map(|n| n * step).filter(|at| *at < length / 100 * 95 || *at == 0).collect()
}

pub(super) fn draw(run: &Run, leases: &[&Lease]) -> Markup {
    // A little longer than the run, so that the last bar has its right edge.
    let length = micros(run.started(), run.exited()) / 100 * 101 + 2;
    html! {
        h2 id="run" { "The run" }
        ul.legend {
            li { span.bar {} "a test" }
            li { span.bar.bad {} "✕ a failed test" }
            li { span.bar { i style="left:0;width:70%" {} } "waiting" }
            li { span.gen.odd {} "a generation of the worker" }
            @if leases.iter().any(|lease| lease.duration_us.is_none()) { li { span.bar.open {} "not ended at exit" } }
        }
        .box {
            @for zoom in ZOOMS {
                input.zoom type="radio" name="zoom" id={ "z" (zoom) } checked[zoom == 1];
                label for={ "z" (zoom) } { @if zoom == 1 { "whole run" } @else { (zoom) "×" } }
            }
            .scroll tabindex="0" role="group" aria-label="Workers along time" {
                .chart {
                    .who.axis.soft { "worker" }
                    .time.axis {
                        @for zoom in ZOOMS { @for at in ticks(length, zoom) {
                            span class={ "tick z" (zoom) } style={ "left:" (percent(at, length)) } {
                                @if at < 1_000_000 { (at as f64 / 1e3) " ms" } @else { (at as f64 / 1e6) " s" }
                            }
                        } }
                    }
                    @for worker in run.workers() { (row(run, worker, leases, length)) }
                }
            }
        }
    }
}

fn row(run: &Run, worker: &str, leases: &[&Lease], length: u64) -> Markup {
    let own: Vec<(usize, &Lease)> =
        leases.iter().copied().enumerate().filter(|(_, lease)| lease.worker == worker).collect();
    let start = |lease: &Lease| micros(run.started(), lease.started);
    let mut ends: Vec<u64> = Vec::new();
    // Leases of one worker overlap only where a test uses several harnesses: the first track that is free.
    let mut tracks = Vec::new();
    for (_, lease) in &own {
        let track = ends.iter().position(|end| *end <= start(lease)).unwrap_or(ends.len());
        ends.resize(ends.len().max(track + 1), 0);
        ends[track] = start(lease) + lease.took_us(run);
        tracks.push(track);
    }
    let same = |one: &Lease, next: &Lease| (one.generation, &one.binary) == (next.generation, &next.binary);
    let generations: Vec<&[(usize, &Lease)]> = own.chunk_by(|(_, one), (_, next)| same(one, next)).collect();
    // A generation goes on until the next one begins.
    let until = |n: usize| generations.get(n + 1).map_or(ends.iter().copied().max(), |next| Some(start(next[0].1)));
    html! {
        .who.row { (worker) small { (Many(own.len() as u64, "test")) } }
        .time.row.lane style={ "--tracks:" (ends.len()) } {
            @for at in ticks(length, 1) { span.tick style={ "left:" (percent(at, length)) } {} }
            @for (n, generation) in generations.iter().enumerate() {
                @let first = generation[0].1;
                @let width = until(n).unwrap_or(0).saturating_sub(start(first));
                span.gen.odd[first.generation % 2 == 1]
                    style={ "left:" (percent(start(first), length)) ";width:" (percent(width, length)) } {
                    "generation " (first.generation)
                }
            }
            @for ((at, lease), track) in own.iter().zip(tracks) { (bar(run, *at, lease, length, track)) }
        }
    }
}

fn bar(run: &Run, at: usize, lease: &Lease, length: u64, track: usize) -> Markup {
    let (start, duration) = (micros(run.started(), lease.started), lease.took_us(run));
    let topics = lease.topics.iter().map(|topic| &*topic.logical).collect::<Vec<_>>().join(", ");
    // What a bar has room for: the test without its modules, a case or value (`case_1_json`, `n_02_7`) with its test.
    let is_case = lease.test.rsplit("::").next().is_some_and(|last| last.contains(|c: char| c.is_ascii_digit()));
    let module = lease.test.rmatch_indices("::").nth(usize::from(is_case));
    let short = module.map_or(&*lease.test, |(at, _)| &lease.test[at + 2..]);
    html! {
        a.bar.bad[lease.failed].open[lease.duration_us.is_none()] href={ "#l" (at) }
            title={
                (lease.test) "\n" (lease.worker) ", generation " (lease.generation) ", " (outcome(lease)) "\nfrom " (took(start))
                ", took " (took(duration)) ", waited " (took(lease.waited_us)) "\ntopics: " (topics)
            }
            style={ "left:" (percent(start, length)) ";width:" (percent(duration, length)) ";--track:" (track) } {
            b { @if lease.failed { "✕ " } (short) }
            small { (topics) }
            @for (at, waited) in &lease.waits_us {
                i style={ "left:" (percent(*at, duration)) ";width:" (percent(*waited, duration)) } {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(2)]
    #[case(150)]
    #[case(7_000)]
    #[case(3_200_000)]
    #[case(86_400_000_000)]
    #[case(u64::MAX / 200)]
    fn there_are_some_lines_of_time(#[case] length: u64) {
        for zoom in ZOOMS {
            let ticks = ticks(length, zoom);
            // A run of microseconds has a line for each.
            assert!(ticks.len() as u64 <= length.max(7 * zoom) && ticks[0] == 0, "{ticks:?}");
        }
    }
}
