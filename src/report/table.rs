//! The tables beneath the picture: every lease in words, and every topic with its name on the broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chart::outcome;
use super::html::{Path, Text};
use super::run::{Had, LeaseNote, Run, micros};
use super::summary::{Many, Took};

/// How many topics stand in their table.
const MOST_TOPICS: usize = 500;

pub(super) fn leases(out: &mut String, run: &Run) {
    out.push_str("<h2 id=\"tests\">Tests</h2>\n");
    let folded = run.folded();
    if folded > 0 {
        let _ = writeln!(
            out,
            "<p class=\"soft\">{} stand here one by one. {folded} more are told in {}.</p>",
            Many(run.leases.len() as u64, "test"),
            Many(run.blocks.len() as u64, "block")
        );
    }
    // One binary for all stands in the page's head.
    let binaries = run.only_binary().is_none();
    let binary = if binaries { "<th>binary</th>" } else { "" };
    let _ = writeln!(
        out,
        "<div class=\"wide\"><table>\n<thead><tr><th class=\"n\">from</th><th>test</th>{binary}<th>worker</th>\
         <th class=\"n\">generation</th><th>outcome</th><th class=\"n\">took</th><th class=\"n\">waited</th><th>topics</th>\
         <th>consumers</th><th>groups</th></tr></thead>\n<tbody>"
    );
    let began = run.began();
    let mut blocks = run.blocks.iter().enumerate().peekable();
    for (at, lease) in run.leases.iter().enumerate() {
        while let Some((number, block)) = blocks.next_if(|(_, block)| block.began < lease.began) {
            block_row(out, number, block, began, binaries);
        }
        row(out, run, at, lease, began, binaries);
    }
    blocks.for_each(|(number, block)| block_row(out, number, block, began, binaries));
    out.push_str("</tbody>\n</table></div>\n");
}

fn row(out: &mut String, run: &Run, at: usize, lease: &LeaseNote, began: u64, binaries: bool) {
    let (class, mark) = if lease.failed { (" class=\"bad\"", "✕ ") } else { ("", "") };
    let _ = write!(
        out,
        "<tr id=\"l{at}\"{class}><td class=\"n\">{}</td><td class=\"name\">{}</td>{}<td>{}</td><td class=\"n\">{}</td>\
         <td{}>{mark}{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"things\">",
        Took(micros(lease.began - began)),
        Path(&lease.test),
        if binaries { format!("<td>{}</td>", Text(&lease.binary)) } else { String::new() },
        Text(&lease.worker),
        lease.generation,
        if lease.failed { " class=\"failed\"" } else { "" },
        outcome(lease),
        Took(micros(lease.end(run) - lease.began)),
        Took(micros(lease.waited)),
    );
    for (n, topic) in lease.topics.iter().enumerate() {
        let comma = if n > 0 { ", " } else { "" };
        let (logical, name) = (Text(&topic.logical), Text(&topic.name));
        let _ = write!(
            out,
            "{comma}<span title=\"{name}\">{logical}</span> <span class=\"soft\">{}</span>",
            topic.had.as_str()
        );
    }
    let consumers = [(lease.consumers_made, "made"), (lease.consumers_reused, "reused")]
        .iter()
        .filter(|(many, _)| *many > 0)
        .map(|(many, how)| format!("{many} {how}"))
        .collect::<Vec<_>>();
    let _ = writeln!(out, "</td><td>{}</td><td>{}</td></tr>", consumers.join(", "), Text(&lease.groups.join(", ")));
}

fn block_row(out: &mut String, number: usize, block: &super::run::Block, began: u64, binaries: bool) {
    let _ = writeln!(
        out,
        "<tr id=\"b{number}\"><td class=\"n\">{}</td><td class=\"name soft\">{}, not told one by one</td>{}<td>{}</td>\
         <td class=\"n\">{}</td><td>{} failed</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td></td><td></td><td></td></tr>",
        Took(micros(block.began.saturating_sub(began))),
        Many(block.leases, "test"),
        if binaries { "<td></td>" } else { "" },
        Text(&block.worker),
        block.generation,
        block.failed,
        Took(micros(block.ended.saturating_sub(block.began))),
        Took(micros(block.waited)),
    );
}

/// Which topic the broker knows under which name, and who used it.
pub(super) fn topics(out: &mut String, run: &Run) {
    struct Used<'a> {
        logical: &'a str,
        had: Had,
        first: usize,
        leases: u64,
        failed: u64,
    }
    let mut used: BTreeMap<&str, Used<'_>> = BTreeMap::new();
    for (at, lease) in run.leases.iter().enumerate() {
        for topic in &lease.topics {
            let (logical, had) = (topic.logical.as_str(), topic.had);
            let topic = used.entry(&topic.name).or_insert(Used { logical, had, first: at, leases: 0, failed: 0 });
            topic.leases += 1;
            topic.failed += u64::from(lease.failed);
        }
    }
    if used.is_empty() {
        return;
    }
    out.push_str("<h2 id=\"topics\">Topics</h2>\n");
    if used.len() > MOST_TOPICS {
        let _ = writeln!(out, "<p class=\"soft\">The first {MOST_TOPICS} of {}, by name.</p>", used.len());
    }
    out.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>topic</th><th>on the broker</th><th>worker</th><th class=\"n\">generation</th>\
         <th>first used by</th><th class=\"n\">tests</th><th class=\"n\">failed</th></tr></thead>\n<tbody>\n",
    );
    for (name, Used { logical, had, first, leases, failed }) in used.iter().take(MOST_TOPICS) {
        let lease = &run.leases[*first];
        let own = if *had == Had::Own { " <span class=\"soft\">own</span>" } else { "" };
        let _ = writeln!(
            out,
            "<tr><td>{}{own}</td><td class=\"name\">{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"name\"><a href=\"#l{first}\">{}</a></td><td class=\"n\">{leases}</td><td class=\"n\">{failed}</td></tr>",
            Text(logical),
            Text(name),
            Text(&lease.worker),
            lease.generation,
            Path(&lease.test),
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}
