//! The HTML of a report: one document that needs neither a script nor anything from elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart;
use super::run::{Lease, Process, Run, micros};
use crate::report::Origin;
use crate::report::summary::{Many, Took};

/// How a report begins.
pub(super) const BEGINNING: &str =
    r#"<!DOCTYPE html><html lang="en"><head><meta name="generator" content="rstest-kafka">"#;
/// How many failed tests are named above the chart.
const MOST_NAMED: usize = 60;

pub(super) fn draw(run: &Run) -> String {
    let (shown, tests) = (run.shown(), run.leases.len());
    let failed = run.leases.iter().filter(|lease| lease.failed).count();
    let workers = Many(run.workers().len() as u64, "worker");
    let title = format!("{} on {workers}, {failed} failed", Many(tests as u64, "test"));
    let brokers: BTreeSet<&str> =
        run.processes.iter().flat_map(|process| &process.brokers).map(|broker| &**broker).collect();
    let binaries: BTreeSet<&str> = run.processes.iter().map(|process| &*process.binary).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta name="generator" content="rstest-kafka";
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) " · rstest-kafka" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                h1 { (title) }
                p.soft {
                    "rstest-kafka " (env!("CARGO_PKG_VERSION")) " · " (Vec::from_iter(brokers).join(", ")) " · "
                    (run.processes.len()) @if run.processes.len() == 1 { " process of " } @else { " processes of " }
                    (Vec::from_iter(binaries).join(", ")) " · " (took(micros(run.started(), run.exited()))) ", "
                    (run.started().strftime("%F %T UTC"))
                }
                (figures(run, failed))
                @if failed > 0 {
                    h2 { "Failed" }
                    ul.failures {
                        @for (at, lease) in shown.iter().enumerate().filter(|(_, lease)| lease.failed).take(MOST_NAMED) {
                            li {
                                span.failed { "✕" } " " a href={ "#l" (at) } { (path(&lease.test)) } " "
                                span.soft { (lease.worker) ", generation " (lease.generation) }
                            }
                        }
                    }
                    @if failed > MOST_NAMED { p.soft { "and " (failed - MOST_NAMED) " more" } }
                }
                (chart::draw(run, &shown))
                h2 id="tests" { "Tests" }
                @if shown.len() < tests {
                    p.soft { (shown.len()) " of " (tests) " tests; the JSON lines beside this report have them all." }
                }
                (table(run, &shown))
                footer {
                    "Each bar is a test's lease: from its first fixture to the drop of its last. A worker runs one test at a time. \
                     After a failed test the worker goes on in its next generation, with new topics and consumers. Waits are the \
                     time in receiving, in assertions that there is nothing to receive, and in waiting for a group."
                }
            }
        }
    }
    .into_string()
}

fn figures(run: &Run, failed: usize) -> Markup {
    let of = |figure: fn(&Lease) -> u64| run.leases.iter().map(figure).sum::<u64>();
    let origins = || run.leases.iter().flat_map(|lease| &lease.topics).map(|topic| topic.origin);
    let created = origins().filter(|origin| matches!(origin, Origin::Created | Origin::Exclusive)).count();
    let reused = origins().filter(|origin| *origin == Origin::Reused).count();
    let sum = |figure: fn(&Process) -> u64| run.processes.iter().map(figure).sum::<u64>();
    let generations = Many(sum(|process| process.generations), "new generation");
    let messages = Many(sum(|process| process.messages_sent), "message");
    let consumers = (of(|lease| lease.consumers_created), of(|lease| lease.consumers_reused));
    html! {
        dl {
            div { dt { "Tests" } dd { (run.leases.len()) } dd { (failed) " failed" } }
            div { dt { "Workers" } dd { (run.workers().len()) } dd { (generations) } }
            div { dt { "Topics" } dd { (created) " created" } dd { (reused) " reused" } }
            div { dt { "Consumers" } dd { (consumers.0) " created" } dd { (consumers.1) " reused" } }
            div { dt { "Waited" } dd { (took(of(|lease| lease.waited_us))) } dd { (messages) " sent" } }
            div { dt { "Exit" } dd { (took(sum(|process| process.exit_us))) } dd { "to close and delete" } }
        }
    }
}

fn table(run: &Run, shown: &[&Lease]) -> Markup {
    html! {
        .wide { table {
            thead { tr {
                th.n { "from" } th { "test" } th { "binary" } th { "worker" } th.n { "generation" } th { "outcome" }
                th.n { "took" } th.n { "waited" } th { "topics" } th { "consumers" } th { "groups" }
            } }
            tbody { @for (at, lease) in shown.iter().enumerate() {
                tr.bad[lease.failed] id={ "l" (at) } {
                    td.n { (took(micros(run.started(), lease.started))) }
                    td.name { (path(&lease.test)) } td { (lease.binary) } td { (lease.worker) } td.n { (lease.generation) }
                    td.failed[lease.failed] { @if lease.failed { "✕ " } (outcome(lease)) }
                    td.n { (took(lease.took_us(run))) } td.n { (took(lease.waited_us)) }
                    td.things { @for (at, topic) in lease.topics.iter().enumerate() {
                        @if at > 0 { ", " }
                        span title=(topic.name) { (topic.logical) } " " span.soft { (topic.origin.as_str()) }
                    } }
                    td { (lease.consumers_created) " created, " (lease.consumers_reused) " reused" }
                    td { (lease.groups.join(", ")) }
                }
            } }
        } }
    }
}

/// A test's path, which a line may break after its modules.
fn path(test: &str) -> Markup {
    html! { @for (at, part) in test.split("::").enumerate() { @if at > 0 { "::" wbr; } (part) } }
}

pub(super) fn took(us: u64) -> String {
    Took(Duration::from_micros(us)).to_string()
}

pub(super) fn outcome(lease: &Lease) -> &'static str {
    match (lease.failed, lease.duration_us) {
        (true, _) => "failed",
        (false, None) => "not ended",
        (false, Some(_)) => "passed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_leases_has_a_report() {
        let report = draw(&Run::default());
        assert!(report.starts_with(BEGINNING), "{report}");
        assert!(report.contains("<h1>0 tests on 0 workers, 0 failed</h1>"), "{report}");
    }
}
