//! The page: one document with everything in it, that needs neither a script nor anything from elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use super::html::{Path, Text};
use super::run::Run;
use super::summary::{Many, Took};
use super::{chart, data, table};

/// How many failed tests are named above the picture; the table has them all.
const MOST_NAMED: usize = 60;

/// The whole document.
pub(super) fn draw(run: &Run, runner: &str) -> String {
    let mut run = run.clone();
    run.leases.sort_by(|one, other| (one.began, &one.worker).cmp(&(other.began, &other.worker)));
    run.blocks.sort_by_key(|block| block.began);
    let mut out = data::encode(&run, runner);
    head(&mut out, &run);
    figures(&mut out, &run);
    failures(&mut out, &run);
    chart::draw(&mut out, &run);
    table::leases(&mut out, &run);
    table::topics(&mut out, &run);
    out.push_str(
        "<footer>Each bar is a test's lease: from its first fixture to the drop of its last. A worker runs one test at a time, \
         and after a failed one it goes on in its next generation, with new topics and consumers. Waits are the time in \
         receiving, in assertions that nothing is there, and in waiting for a group. Saved by reuse is what a topic, and a \
         consumer, cost on average where it was made in this run, times the reuses, less what the reuses cost; closing and \
         deleting are not counted.</footer>\n</body>\n</html>\n",
    );
    out
}

fn head(out: &mut String, run: &Run) {
    let title = format!(
        "{} on {}, {} failed",
        Many(run.stats.leases, "test"),
        Many(run.workers().len() as u64, "worker"),
        run.stats.failed_leases
    );
    let brokers: Vec<&str> = run.brokers.iter().map(String::as_str).collect();
    let _ = write!(
        out,
        "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title} · rstest-kafka</title>\n<style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"soft\">rstest-kafka {} · {} · {} · {}, <span class=\"when\">{}</span></p>\n",
        include_str!("style.css"),
        env!("CARGO_PKG_VERSION"),
        Text(&brokers.join(", ")),
        Processes(run.processes, run.only_binary()),
        Took(super::run::micros(run.until.saturating_sub(run.began()))),
        Utc(run.began() / 1_000_000),
    );
}

/// The figures of the summary.
fn figures(out: &mut String, run: &Run) {
    let (stats, closing) = (&run.stats, &run.closing);
    out.push_str("<dl>\n");
    let mut figure = |name: &str, value: String, more: String| {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd><dd>{more}</dd></div>");
    };
    figure("Tests", stats.leases.to_string(), format!("{} failed", stats.failed_leases));
    figure("Workers", run.workers().len().to_string(), Many(stats.generations, "new generation").to_string());
    figure(
        "Topics",
        format!("{} made", stats.topics_made),
        format!(
            "in {},<br>{} reused in {}",
            unbroken(stats.topics_made_in),
            stats.topics_reused,
            unbroken(stats.topics_reused_in)
        ),
    );
    figure(
        "Consumers",
        format!("{} made", stats.consumers_made),
        format!(
            "in {},<br>{} reused in {}",
            unbroken(stats.consumers_made_in),
            stats.consumers_reused,
            unbroken(stats.consumers_reused_in)
        ),
    );
    figure("Saved by reuse", Took(stats.time_saved()).to_string(), "as measured in this run".to_owned());
    figure("Waited", Took(stats.waited).to_string(), format!("{} sent", Many(stats.messages_sent, "message")));
    figure("Exit", Took(closing.took).to_string(), {
        let (consumers, topics) = (Many(closing.consumers, "consumer"), Many(closing.topics, "topic"));
        format!("{consumers} closed, {topics} and {} deleted", Many(closing.groups, "group"))
    });
    out.push_str("</dl>\n");
}

/// A duration whose unit stays on its line.
fn unbroken(took: Duration) -> String {
    Took(took).to_string().replace(' ', "\u{a0}")
}

fn failures(out: &mut String, run: &Run) {
    let failed: Vec<usize> = (0..run.leases.len()).filter(|at| run.leases[*at].failed).collect();
    if failed.is_empty() {
        return;
    }
    out.push_str("<h2>Failed</h2>\n<ul class=\"failures\">\n");
    for at in failed.iter().take(MOST_NAMED) {
        let lease = &run.leases[*at];
        let _ = writeln!(
            out,
            "<li><span class=\"failed\">✕</span> <a href=\"#l{at}\">{}</a> <span class=\"soft\">{}, generation {}</span></li>",
            Path(&lease.test),
            Text(&lease.worker),
            lease.generation
        );
    }
    out.push_str("</ul>\n");
    if failed.len() > MOST_NAMED {
        let _ = writeln!(out, "<p class=\"soft\">and {} more, in the table</p>", failed.len() - MOST_NAMED);
    }
}

/// How many they are, and of which binary if of one.
struct Processes<'a>(u64, Option<&'a str>);

impl std::fmt::Display for Processes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 1 {
            f.write_str("1 process")?
        } else {
            write!(f, "{} processes", self.0)?
        }
        self.1.map_or(Ok(()), |binary| write!(f, " of {}", Text(binary)))
    }
}

/// Seconds since 1970 as a date and time, by the days of the proleptic Gregorian calendar.
struct Utc(u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Years begin in March here, so that a leap day is a year's last; 400 years have 146,097 days.
        let days = self.0 / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let date = of_year - (153 * month + 2) / 5 + 1;
        let (month, early) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let (hours, minutes, seconds) = (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        let year = era * 400 + year + early;
        write!(f, "{year}-{month:02}-{date:02} {hours:02}:{minutes:02}:{seconds:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "1970-01-01 00:00:00 UTC")]
    #[case(951_827_696, "2000-02-29 12:34:56 UTC")]
    #[case(1_735_689_599, "2024-12-31 23:59:59 UTC")]
    #[case(4_107_542_400, "2100-03-01 00:00:00 UTC")]
    fn a_date_is_the_calendars(#[case] seconds: u64, #[case] shown: &str) {
        assert_eq!(Utc(seconds).to_string(), shown);
    }

    #[test]
    fn a_run_without_a_lease_is_a_page_too() {
        let page = draw(&Run::default(), "runner");
        assert!(page.contains("<h1>0 tests on 0 workers, 0 failed</h1>"), "{page}");
    }
}
