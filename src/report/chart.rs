//! The picture: workers as rows, leases as bars along time.
//!
//! Boxes that are placed in percent, so that text stays text, the page is as wide as its reader's window, and zooming in is a
//! matter of the style alone. What a bar is shows by its shape, pattern and text, never by its colour alone.

use std::fmt::Write as _;

use super::html::Text;
use super::run::{Block, LeaseNote, Moment, Run, micros};
use super::summary::Took;

/// How many bars of one worker may stand above each other; leases of one worker overlap only where a test uses several
/// harnesses, or several processes have one worker's name.
const MOST_TRACKS: usize = 6;

/// How much wider than the window the picture can be made; the style knows them too.
const ZOOMS: [u64; 4] = [1, 4, 16, 64];

/// The part of time that the picture shows.
struct Span {
    from: Moment,
    length: u64,
}

impl Span {
    fn left(&self, at: Moment) -> f64 {
        at.saturating_sub(self.from) as f64 * 100.0 / self.length as f64
    }

    fn width(&self, took: u64) -> f64 {
        took as f64 * 100.0 / self.length as f64
    }
}

/// A lease with its place in the table, or a block of several.
enum Item<'a> {
    Lease(usize, &'a LeaseNote),
    Block(usize, &'a Block),
}

impl Item<'_> {
    fn began(&self) -> Moment {
        match self {
            Self::Lease(_, lease) => lease.began,
            Self::Block(_, block) => block.began,
        }
    }

    fn end(&self, run: &Run) -> Moment {
        match self {
            Self::Lease(_, lease) => lease.end(run),
            Self::Block(_, block) => block.ended,
        }
    }

    fn generation(&self) -> u32 {
        match self {
            Self::Lease(_, lease) => lease.generation,
            Self::Block(_, block) => block.generation,
        }
    }

    /// Several binaries have workers of the same name, each with generations of its own.
    fn binary(&self) -> Option<&str> {
        match self {
            Self::Lease(_, lease) => Some(&lease.binary),
            Self::Block(..) => None,
        }
    }
}

pub(super) fn draw(out: &mut String, run: &Run) {
    let ends = run.leases.iter().map(|lease| lease.end(run)).chain(run.blocks.iter().map(|block| block.ended));
    let (from, to) = (run.began(), ends.max().unwrap_or(0));
    // A little more than it takes, so that the last bar has its right edge.
    let span = Span { from, length: (to.saturating_sub(from) + 1).saturating_mul(101) / 100 + 1 };
    out.push_str(
        "<h2 id=\"run\">The run</h2>\n<ul class=\"legend\">\n\
         <li><span class=\"bar\"></span>a test</li>\n\
         <li><span class=\"bar bad\"></span>✕ a failed test</li>\n\
         <li><span class=\"bar\"><i style=\"left:0;width:70%\"></i></span>waiting</li>\n\
         <li><span class=\"gen odd\"></span>a generation of the worker</li>\n",
    );
    if run.leases.iter().any(|lease| lease.ended.is_none()) {
        out.push_str("<li><span class=\"bar open\"></span>not ended when the process did</li>\n");
    }
    if !run.blocks.is_empty() {
        out.push_str("<li><span class=\"bar many\"></span>several tests in one</li>\n");
    }
    out.push_str("</ul>\n<div class=\"box\">\n");
    for zoom in ZOOMS {
        let (checked, name) = if zoom == 1 { (" checked", "whole run".to_owned()) } else { ("", format!("{zoom}×")) };
        let _ = write!(
            out,
            "<input class=\"zoom\" type=\"radio\" name=\"zoom\" id=\"z{zoom}\"{checked}><label for=\"z{zoom}\">{name}</label>"
        );
    }
    out.push_str("\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Workers along time\">\n<div class=\"chart\">\n");
    out.push_str("<div class=\"who axis soft\">worker</div><div class=\"time axis\">");
    for zoom in ZOOMS {
        for at in ticks(&span, zoom) {
            let left = span.width(at);
            let _ = write!(out, "<span class=\"tick z{zoom}\" style=\"left:{left:.3}%\">{}</span>", Tick(at));
        }
    }
    out.push_str("</div>\n");
    let ticks = ticks(&span, 1);
    for worker in run.workers() {
        row(out, run, worker, &span, &ticks);
    }
    out.push_str("</div>\n</div>\n</div>\n");
}

/// Where the lines of time stand: 1, 2 or 5 of a power of ten apart, some five of them in what is seen at once.
fn ticks(span: &Span, zoom: u64) -> Vec<u64> {
    let wished = span.length / 6 / zoom;
    let step = (0..18)
        .flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)))
        .find(|step| *step >= wished.max(1))
        .unwrap_or(span.length);
    (0..=span.length / step).map(|n| n * step).filter(|at| span.width(*at) < 97.0).collect()
}

fn row(out: &mut String, run: &Run, worker: &str, span: &Span, ticks: &[u64]) {
    let leases = run.leases.iter().enumerate().filter(|(_, lease)| lease.worker == worker);
    let blocks = run.blocks.iter().enumerate().filter(|(_, block)| block.worker == worker);
    let mut items: Vec<Item<'_>> = leases.map(|(at, lease)| Item::Lease(at, lease)).collect();
    let mut tests = items.len() as u64;
    items.extend(blocks.map(|(at, block)| {
        tests += block.leases;
        Item::Block(at, block)
    }));
    items.sort_by_key(Item::began);
    let mut ends: Vec<Moment> = Vec::new();
    let tracks: Vec<usize> = items.iter().map(|item| track_for(&mut ends, item.began(), item.end(run))).collect();
    let _ = write!(
        out,
        "<div class=\"who row\">{}<small>{}</small></div><div class=\"time row lane\" style=\"--tracks:{}\">",
        Text(worker),
        super::summary::Many(tests, "test"),
        ends.len().max(1)
    );
    for at in ticks {
        let _ = write!(out, "<span class=\"tick\" style=\"left:{:.3}%\"></span>", span.width(*at));
    }
    generations(out, run, &items, span);
    for (item, track) in items.iter().zip(tracks) {
        match item {
            Item::Lease(at, lease) => bar(out, run, *at, lease, span, track),
            Item::Block(at, block) => block_bar(out, *at, block, span, track),
        }
    }
    out.push_str("</div>\n");
}

/// The first track that is free at `began`.
fn track_for(ends: &mut Vec<Moment>, began: Moment, ended: Moment) -> usize {
    let free = ends.iter().position(|end| *end <= began);
    let track = free.unwrap_or_else(|| {
        if ends.len() < MOST_TRACKS {
            ends.push(0);
        }
        ends.len() - 1
    });
    ends[track] = ends[track].max(ended);
    track
}

fn generations(out: &mut String, run: &Run, items: &[Item<'_>], span: &Span) {
    let several = run.only_binary().is_none();
    let mut at = 0;
    while let Some(first) = items.get(at) {
        let same = |item: &&Item<'_>| {
            let binary = item.binary().is_none() || first.binary().is_none() || item.binary() == first.binary();
            item.generation() == first.generation() && binary
        };
        let of_it = items[at..].iter().take_while(same).count();
        let last = items[at..at + of_it].iter().map(|item| item.end(run)).max().unwrap_or(first.began());
        // Up to the next one, so that the strip tells where a worker stands at any time.
        let end = items.get(at + of_it).map_or(last, Item::began);
        let binary = first.binary().filter(|_| several).map(|binary| format!("{binary} · ")).unwrap_or_default();
        let _ = write!(
            out,
            "<span class=\"gen{}\" style=\"left:{:.3}%;width:{:.3}%\">{}generation {}</span>",
            if first.generation() % 2 == 1 { " odd" } else { "" },
            span.left(first.began()),
            span.width(end.saturating_sub(first.began())),
            Text(&binary),
            first.generation()
        );
        at += of_it;
    }
}

fn bar(out: &mut String, run: &Run, at: usize, lease: &LeaseNote, span: &Span, track: usize) {
    let took = lease.end(run) - lease.began;
    let class = match (lease.failed, lease.ended) {
        (true, _) => " bad",
        (false, None) => " open",
        (false, Some(_)) => "",
    };
    let topics: Vec<&str> = lease.topics.iter().map(|topic| topic.logical.as_str()).collect();
    let topics = topics.join(", ");
    let _ = write!(
        out,
        "<a class=\"bar{class}\" href=\"#l{at}\" style=\"left:{:.3}%;width:{:.3}%;--track:{track}\" title=\"{}&#10;{}, generation \
         {}, {}&#10;from {}, took {}, waited {}&#10;topics: {}\"><b>{}{}</b><small>{}</small>",
        span.left(lease.began),
        span.width(took),
        Text(&lease.test),
        Text(&lease.worker),
        lease.generation,
        outcome(lease),
        Took(micros(lease.began - span.from)),
        Took(micros(took)),
        Took(micros(lease.waited)),
        Text(if topics.is_empty() { "none" } else { &topics }),
        if lease.failed { "✕ " } else { "" },
        Text(short(&lease.test)),
        Text(&topics),
    );
    for (begin, waited) in &lease.waits {
        let part = |micros: u64| (micros as f64 * 100.0 / took.max(1) as f64).min(100.0);
        let _ = write!(out, "<i style=\"left:{:.2}%;width:{:.2}%\"></i>", part(*begin), part(*waited));
    }
    out.push_str("</a>");
}

fn block_bar(out: &mut String, at: usize, block: &Block, span: &Span, track: usize) {
    let _ = write!(
        out,
        "<a class=\"bar many\" href=\"#b{at}\" style=\"left:{:.3}%;width:{:.3}%;--track:{track}\" title=\"{} tests, {} failed, \
         generation {}\"><b>{} tests</b></a>",
        span.left(block.began),
        span.width(block.ended.saturating_sub(block.began)),
        block.leases,
        block.failed,
        block.generation,
        block.leases,
    );
}

/// What a bar has room for: the test without its modules, a case or value (`case_1_json`, `n_02_7`) with its test.
fn short(test: &str) -> &str {
    let mut from = test.len();
    loop {
        let begin = test[..from].rfind("::").map_or(0, |at| at + 2);
        let segment = &test[begin..from];
        let numbered =
            segment.match_indices('_').any(|(at, _)| segment[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        if begin == 0 || !numbered {
            return &test[begin..];
        }
        from = begin - 2;
    }
}

/// A time on the axis, without the digits that all of them have in common.
struct Tick(u64);

impl std::fmt::Display for Tick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, name) = if self.0 < 1_000_000 { (1e3, "ms") } else { (1e6, "s") };
        write!(f, "{} {name}", self.0 as f64 / unit)
    }
}

pub(super) fn outcome(lease: &LeaseNote) -> &'static str {
    match (lease.failed, lease.ended) {
        (true, _) => "failed",
        (false, None) => "not ended",
        (false, Some(_)) => "passed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("smoke", "smoke")]
    #[case("a::b::smoke", "smoke")]
    #[case("a::b::case_1_json", "b::case_1_json")]
    #[case("b::case_1", "b::case_1")]
    #[case("a::b::case_1::n_02_7", "b::case_1::n_02_7")]
    #[case("n_02_7", "n_02_7")]
    #[case("", "")]
    fn a_bar_says_the_test(#[case] test: &str, #[case] shown: &str) {
        assert_eq!(short(test), shown);
    }

    #[rstest]
    #[case(1)]
    #[case(150)]
    #[case(7_000)]
    #[case(3_200_000)]
    #[case(86_400_000_000)]
    #[case(u64::MAX / 200)]
    fn there_are_some_lines_of_time(#[case] length: u64) {
        for zoom in ZOOMS {
            let ticks = ticks(&Span { from: 5, length: length + 1 }, zoom);
            // Of a run of microseconds there is one for each.
            assert!(ticks.len() as u64 <= length.max(7 * zoom) && ticks[0] == 0, "{ticks:?}");
        }
    }

    #[test]
    fn bars_that_overlap_stand_above_each_other() {
        let mut ends = Vec::new();
        assert_eq!(
            [(0, 9), (9, 20), (10, 30), (12, 15), (20, 25)].map(|(a, b)| track_for(&mut ends, a, b)),
            [0, 0, 1, 2, 0]
        );
    }
}
