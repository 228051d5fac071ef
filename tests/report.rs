//! The report: what a run did, told at its end, and never on stdout.

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use common::child::{Child, Outcome, only_in_a_child, say};
use rstest::rstest;
use rstest_kafka::{Harness, Kafka, Report, TopicSpec, kafka};

const REPORT: &str = "RSTEST_KAFKA_REPORT";

/// A child on the embedded broker, wherever the other tests are played: what is deleted differs.
fn embedded(child: Child) -> Child {
    child.env("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "").env("RSTEST_KAFKA_PROPERTIES", "")
}

/// The summary on a child's stderr, with its durations masked; 0 stays.
fn summary(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines().skip_while(|line| !line.starts_with("rstest-kafka: "));
    let ours = |line: &&str| line.starts_with("rstest-kafka: ") || line.starts_with("  ");
    lines.take_while(ours).map(masked).collect()
}

fn masked(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let is_unit = matches!(words[at].trim_end_matches(','), "ms" | "s");
        if is_unit && words[at - 1].parse::<f64>().is_ok() && words[at - 1].contains('.') {
            words[at - 1] = "#";
            words[at] = if words[at].ends_with(',') { "ms," } else { "ms" };
        }
    }
    words.join(" ")
}

#[rstest]
fn the_summary_says_what_was_made_and_what_was_reused() {
    let outcome = embedded(Child::of_module("child_reuses::", 1));
    let outcome = outcome.env(REPORT, "summary").env("RSTEST_KAFKA_FAILURE_REPORT", "off").run();
    outcome.exits_with(101).stdout_is_libtests();
    let expected = [
        "rstest-kafka: 4 tests on 1 worker: 1 failed, 1 new generation",
        "  topics     3 made in # ms, 2 reused in # ms",
        "  consumers  2 made in # ms, 2 reused in # ms, 1 retired",
        "  messages   5 sent, # ms spent waiting",
        "  saved      # ms by reuse",
        "  exit       1 consumer closed, 0 topics and 0 groups deleted in # ms",
    ];
    assert_eq!(summary(&outcome), expected, "{outcome}");
}

#[rstest]
fn without_a_reuse_nothing_was_saved() {
    let outcome = Child::of_tests(&["child_reuses::a_makes"], 1).env(REPORT, "summary").run();
    outcome.exits_with(0);
    assert!(outcome.stderr.contains("  saved      0 ms by reuse\n"), "{outcome}");
}

#[rstest]
fn without_being_asked_nothing_is_said() {
    for report in ["", "off"] {
        let outcome = Child::of_tests(&["child_reuses::a_makes"], 1).env(REPORT, report).run();
        assert_eq!(outcome.exits_with(0).stderr, "", "{outcome}");
    }
}

#[rstest]
fn harnesses_that_are_gone_count_too() {
    let outcome = Child::of_tests(&["child_has_two_harnesses"], 1).env(REPORT, "summary").run();
    let said = summary(outcome.exits_with(0));
    assert_eq!(said[0], "rstest-kafka: 3 tests on 1 worker: 0 failed, 0 new generations", "{outcome}");
    assert_eq!(said.len(), 6, "one summary for all: {outcome}");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_has_two_harnesses(kafka: Kafka) {
    only_in_a_child();
    for prefix in ["one", "two"] {
        Harness::builder().topic_prefix(prefix).build().lease().topic("events");
    }
    kafka.topic("events");
}

/// A child that draws its page there.
fn with_page(child: Child, page: &Path) -> Child {
    child.env(REPORT, format!("html:{}", page.display()))
}

/// What a reader sees, a line for each element that has text of its own; what the page's data say is not seen.
fn text_of(page: &str) -> Vec<String> {
    let body = page.split_once("<body>").expect("the page has a body").1.replace("<wbr>", "");
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in body.split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or(("", piece));
        let is_within =
            ["span", "/span", "a ", "/a", "br", "small", "i ", "/i"].iter().any(|inner| tag.starts_with(inner));
        if !is_within {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(text);
        if tag == "small" || tag == "br" {
            line.push(' ');
        }
    }
    lines.push(line);
    lines.into_iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Times, dates and ids masked.
fn page_masked(page: &str) -> Vec<String> {
    let is_id = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: String| {
        // How many lines of time there are is a matter of how long it took.
        if line.starts_with("0 ms") && line.len() > 4 {
            return "AXIS".to_owned();
        }
        let line = line.replace(',', " ,");
        let line = line.replace('\u{a0}', " ").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            if at > 0 && matches!(words[at].as_str(), "ms" | "s") && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "#".to_owned();
                words[at] = "ms".to_owned();
            }
            if words[at].split('-').count() == 3 && words[at].len() == 10 {
                words[at] = "DATE".to_owned();
            }
            if words[at].split(':').count() == 3 && words[at].len() == 8 {
                words[at] = "TIME".to_owned();
            }
            words[at] =
                words[at].split('-').map(|part| if is_id(part) { "RUN" } else { part }).collect::<Vec<_>>().join("-");
        }
        words.join(" ").replace(" ,", ",")
    };
    text_of(page).into_iter().map(line).collect()
}

#[rstest]
fn the_page_tells_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    let outcome = with_page(embedded(Child::of_module("child_reuses::", 1)), &page).run();
    outcome.exits_with(101).stdout_is_libtests();
    let said = format!("rstest-kafka: the report is in {}\n", page.display());
    assert!(outcome.stderr.ends_with(&said), "{outcome}");
    let page = std::fs::read_to_string(&page).unwrap();
    let expected = include_str!("report/page.txt").lines().collect::<Vec<_>>();
    assert_eq!(page_masked(&page), expected, "{}", page_masked(&page).join("\n"));
    // Bars, waits and failures, each where the style has something to show.
    let count = |what: &str| page.matches(what).count();
    assert_eq!((count("<a class=\"bar\""), count("<a class=\"bar bad\"")), (3, 1), "{page}");
    assert_eq!(count("<span class=\"gen\""), 1, "{page}");
    assert_eq!(count("<span class=\"gen odd\""), 2, "one in the legend: {page}");
    assert_eq!(count("<i style="), 5, "one in the legend: {page}");
    is_self_contained(&page);
}

/// One document that asks for nothing and runs nothing: of known tags and attributes alone, each tag closed, each link to a
/// place of its own.
#[track_caller]
fn is_self_contained(page: &str) {
    const ALONE: [&str; 5] = ["meta", "input", "br", "wbr", "!doctype"];
    const TAGS: [&str; 28] = [
        "a", "b", "body", "dd", "div", "dl", "dt", "footer", "h1", "h2", "head", "html", "i", "label", "li", "p",
        "small", "span", "style", "table", "tbody", "td", "th", "thead", "title", "tr", "ul", "main",
    ];
    const ATTRIBUTES: [&str; 15] = [
        "aria-label",
        "charset",
        "checked",
        "class",
        "content",
        "for",
        "href",
        "http-equiv",
        "id",
        "lang",
        "name",
        "role",
        "style",
        "tabindex",
        "title",
    ];
    let document = page.split_once("-->").expect("the data are a comment").1;
    let style = document.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'), "{style}");
    let (mut open, mut links, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
    for piece in document.split('<').skip(1) {
        let tag = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}")).0;
        if let Some(ended) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ended), "</{ended}>");
            continue;
        }
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(ALONE.contains(&name) || TAGS.contains(&name), "<{tag}>");
        if !ALONE.contains(&name) {
            open.push(name);
        }
        while !rest.is_empty() {
            let (attribute, after) = rest.split_once("=\"").unwrap_or((rest, "\""));
            let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("<{tag}>"));
            assert!(
                ATTRIBUTES.contains(&attribute) || attribute == "type" && value == "radio",
                "{attribute} in <{tag}>"
            );
            if attribute == "href" {
                let id = value.strip_prefix('#').unwrap_or_else(|| panic!("{value} is elsewhere"));
                links.push(id);
            }
            if attribute == "id" {
                assert!(ids.insert(value), "two #{value}");
            }
            rest = after.trim_start();
        }
    }
    assert!(open.is_empty(), "not ended: {open:?}");
    assert!(links.iter().all(|link| ids.contains(link)), "a link leads nowhere");
}

#[rstest]
fn nothing_that_a_test_is_called_gets_out_of_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    let child = with_page(Child::of_tests(&["child_has_odd_names"], 1), &page);
    child.env("RSTEST_KAFKA_WORKER_ID", "w").run().exits_with(0);
    let page = std::fs::read_to_string(&page).unwrap();
    is_self_contained(&page);
    let seen = text_of(&page).join("\n");
    assert!(seen.contains("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;--&gt;&lt;!--"), "{seen}");
    assert!(seen.contains("&quot; onclick=&quot;alert(1)") && seen.contains("&amp;amp;"), "{seen}");
    assert_eq!(page.matches("-->").count(), 1, "the data end once");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_has_odd_names() {
    only_in_a_child();
    for name in ["</td><script>alert(1)</script>--><!--", "\" onclick=\"alert(1)", "&amp;\u{1b}[31m"] {
        let test = || drop(Harness::from_environment().lease().topic("events"));
        std::thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join().unwrap();
    }
}

/// Of a harness that works and has a secret in its configuration.
#[rstest]
#[case::summary("summary")]
#[case::page("html:kafka.html")]
fn no_report_has_a_secret(#[case] report: &str) {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Child::of_tests(&["child_has_a_secret"], 1).env(REPORT, report).in_folder(folder.path()).run();
    let page = std::fs::read_to_string(folder.path().join("kafka.html")).unwrap_or_default();
    let said = outcome.exits_with(0).to_string() + &page;
    assert!(said.contains("1 worker") && said.contains("2 tests on") && !said.contains("hunter2"), "{said}");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_has_a_secret() {
    only_in_a_child();
    let embedded = Harness::builder().embedded_brokers(1).build();
    let kafka = embedded.lease();
    // The same broker as a cluster, which takes properties; it has no admin calls to make a topic with.
    let secret = Harness::builder().bootstrap_servers(kafka.bootstrap_servers()).property("sasl.password", "hunter2");
    drop(secret.build().lease());
}

#[rstest]
fn a_page_that_cannot_be_written_is_said_and_decides_no_test() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("Cargo.toml");
    std::fs::write(&foreign, "[package]").unwrap();
    for page in [folder.path(), &folder.path().join("missing/kafka.html"), &foreign] {
        let outcome = with_page(Child::of_tests(&["child_reuses::a_makes"], 1), page).run();
        outcome.exits_with(0).stdout_is_libtests().exits_within(Duration::from_secs(5));
        let said = format!("rstest-kafka: the report could not be written to {}: ", page.display());
        assert!(outcome.stderr.starts_with(&said) && outcome.stderr.lines().count() == 1, "{outcome}");
    }
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "[package]");
}

#[cfg(unix)]
#[rstest]
fn a_pipe_that_nobody_reads_holds_no_exit_up() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let outcome = with_page(Child::of_tests(&["child_reuses::a_makes"], 1), &pipe).run();
    outcome.exits_with(0).exits_within(Duration::from_secs(5));
    assert!(outcome.stderr.contains("it is there and is not a file"), "{outcome}");
}

#[rstest]
fn a_value_that_is_not_taken_is_named() {
    for value in ["html", "html:", "HTML:a", "yes"] {
        let outcome = Child::of_tests(&["child_reuses::a_makes"], 1).env(REPORT, value).run();
        outcome.exits_with(101);
        let says = format!("RSTEST_KAFKA_REPORT is {value:?}: it takes off, summary, or html: and the path of a file");
        assert!(outcome.stderr.contains(&says), "{outcome}");
    }
}

/// All on one page, whichever is first and however they run beside each other.
#[cfg(target_os = "linux")]
#[rstest]
fn processes_of_one_run_share_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                with_page(Child::of_tests(&["child_reuses::a_makes", "child_reuses::d_reuses"], 1), &page)
                    .run()
                    .exits_with(0);
            });
        }
    });
    let text = text_of(&std::fs::read_to_string(&page).unwrap());
    assert_eq!(text[0], "8 tests on 1 worker, 0 failed");
    assert!(text[1].contains(" · 4 processes of report · "), "{text:?}");
    assert_eq!(text.iter().filter(|line| *line == "child_reuses::d_reuses").count(), 4, "{text:?}");
}

#[rstest]
fn a_page_of_a_run_that_is_over_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    let run = || {
        with_page(Child::of_tests(&["child_reuses::a_makes"], 1), &page).run().exits_with(0);
        std::fs::read_to_string(&page).unwrap()
    };
    let first = run();
    // As if another runner had begun it: one that has ended.
    let runner = first.lines().find(|line| line.starts_with("runner ")).unwrap();
    std::fs::write(&page, first.replace(runner, "runner run%20elsewhere")).unwrap();
    assert_eq!(text_of(&run())[0], "1 test on 1 worker, 0 failed");
}

#[rstest]
fn a_path_may_give_each_process_a_page_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let page = folder.path().join("{binary}-{pid}.html");
        with_page(Child::of_tests(&["child_reuses::a_makes"], 1), &page).run().exits_with(0);
    }
    let mut pages = 0;
    for page in std::fs::read_dir(folder.path()).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("report-") && name.ends_with(".html"), "{name}");
        pages += 1;
    }
    assert_eq!(pages, 2);
}

#[rstest]
fn twenty_thousand_leases_are_one_page_of_bounded_size() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    let outcome = with_page(Child::of_tests(&["child_has_many_leases"], 1), &page).run();
    outcome.exits_with(0).exits_within(Duration::from_secs(6));
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    let text = text_of(&page);
    assert_eq!(text[0], "20000 tests on 1 worker, 20 failed");
    let told = text.iter().find(|line| line.contains("one by one. ")).expect("the page says that it left some out");
    assert!(told.starts_with("2018 tests stand here one by one. 17982 more are told in "), "{told}");
    assert_eq!(page.matches("<tr id=\"l").count(), 2_018);
    assert_eq!(page.matches("<tr id=\"l").count() + blocks(&page), 2_018 + page.matches("<tr id=\"b").count());
    assert!(blocks(&page) < 400 && page.contains("<a class=\"bar many\""), "{} blocks", blocks(&page));
    is_self_contained(&page);
}

fn blocks(page: &str) -> usize {
    page.lines().filter(|line| line.starts_with("block ")).count()
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_has_many_leases() {
    only_in_a_child();
    for n in 0..20_000 {
        let test = move || {
            let kafka = Harness::from_environment().lease();
            if n % 100 == 0 {
                kafka.topic("events");
            }
            if n % 1_000 == 999 {
                kafka.mark_failed();
            }
        };
        std::thread::Builder::new().name(format!("module::test_{n}")).spawn(test).unwrap().join().unwrap();
    }
}

/// One that hangs or was left in the middle is on the page, and said not to have ended.
#[rstest]
fn a_test_that_has_not_ended_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    with_page(Child::of_tests(&["child_leaks_its_lease"], 1), &page).run().exits_with(0);
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("<a class=\"bar open\"") && text_of(&page).iter().any(|line| line == "not ended"), "{page}");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_leaks_its_lease(kafka: Kafka) {
    only_in_a_child();
    std::mem::forget(kafka);
}

#[rstest]
fn the_builder_takes_a_page_and_two_harnesses_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("kafka.html");
    let child = Child::of_tests(&["child_builds_two"], 1).env("PAGE", &page).in_folder(folder.path());
    let outcome = child.run();
    assert_eq!(outcome.exits_with(0).stderr.matches("the report is in").count(), 2, "{outcome}");
    let page = std::fs::read_to_string(&page).unwrap();
    let text = text_of(&page);
    assert_eq!(text[0], "2 tests on 1 worker, 0 failed");
    assert!(text.iter().any(|line| line.starts_with("one-events-")), "{text:?}");
    assert!(text.iter().any(|line| line.starts_with("two-events-")), "{text:?}");
    assert!(page.contains("--tracks:2"), "leases of one worker at one time stand above each other: {page}");
    assert_eq!(outcome.once_by("made"), "false", "at exit, not before");
    assert!(folder.path().join("relative.html").exists(), "where the process stood");
}

#[rstest]
#[ignore = "the other process of a test above"]
fn child_builds_two() {
    only_in_a_child();
    let page = std::env::var("PAGE").unwrap();
    let harness = |prefix: &str| {
        Harness::builder().topic_prefix(prefix).embedded_brokers(1).report(Report::Html(page.clone().into())).build()
    };
    let (one, two) = (harness("one"), harness("two"));
    let (first, second) = (one.lease(), two.lease());
    first.topic("events");
    second.topic("events");
    drop((first, second, one, two));
    Harness::builder().embedded_brokers(1).report(Report::Html("relative.html".into())).build().lease().topic("events");
    std::env::set_current_dir("/").unwrap();
    say("made", Path::new(&page).exists());
}

/// One after another on one worker; the second fails.
mod child_reuses {
    use super::*;

    fn plays(kafka: &Kafka) {
        only_in_a_child();
        let consumer = kafka.consumer("events");
        kafka.send("events", "key", "value");
        consumer.recv();
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn a_makes(kafka: Kafka) {
        plays(&kafka);
        kafka.topic(TopicSpec::new("scratch").exclusive());
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn b_reuses_and_fails(kafka: Kafka) {
        plays(&kafka);
        panic!("as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn c_makes_anew(kafka: Kafka) {
        plays(&kafka);
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn d_reuses(kafka: Kafka) {
        plays(&kafka);
        kafka.send("events", "key", "left");
    }
}

/// A run as it may be: 44 tests of all kinds, a few of which fail. For the page.
mod child_plays {
    use super::*;
    use rstest_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    use rstest_kafka::{TopicNames, topic_names};

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn a_message_is_forwarded(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)] n: u64) {
        only_in_a_child();
        let [orders, invoices] = kafka.topics(["orders", "invoices"]);
        let consumer = kafka.consumer(&invoices);
        kafka.send(&orders, "key", "value");
        kafka.send(&invoices, "key", "value");
        consumer.recv();
        consumer.assert_no_more_within(Duration::from_millis(3 * (n % 7)));
        assert_ne!(n % 11, 10, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn a_service_works_off(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7)] n: u64) {
        only_in_a_child();
        let orders = kafka.topic("orders");
        let group = kafka.group("billing", [&orders]);
        kafka.send(&orders, "key", "value");
        let mut config = kafka.client_config();
        config.set("group.id", &*group).set("auto.offset.reset", "earliest");
        let service: BaseConsumer = config.create().unwrap();
        service.subscribe(&[&orders]).unwrap();
        while service.poll(Duration::from_secs(5)).is_none() {}
        service.commit_consumer_state(CommitMode::Sync).unwrap();
        group.wait_until_consumed();
        assert_ne!(n, 5, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn nothing_comes(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] n: u64) {
        only_in_a_child();
        let consumer = kafka.consumer("audit");
        let waited = consumer.within(Duration::from_millis(4 * n + 5)).recv();
        assert!(waited.is_err() && n != 8, "as it must");
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn it_has_a_topic_to_itself(kafka: Kafka, #[values(0, 1, 2, 3, 4, 5)] n: u64) {
        only_in_a_child();
        let scratch = kafka.topic(TopicSpec::new("scratch").exclusive());
        (0..20 * n).for_each(|_| {
            kafka.send(&scratch, "key", "left behind");
        });
        kafka.consumer(&scratch).recv_n(20 * n as usize);
    }

    #[rstest]
    #[ignore = "the other process of a test above"]
    fn the_service_makes_it(kafka: Kafka, topic_names: TopicNames, #[values(0, 1, 2, 3)] n: u64) {
        only_in_a_child();
        let audit = topic_names.name("audit-log");
        kafka.send(&audit, "key", "value");
        kafka.consumer(&audit).recv();
        assert!(n < 9);
    }
}
