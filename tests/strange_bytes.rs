//! Records as clients in other languages write them: nothing that shows them panics, and what is not text is escaped.

mod common;

use common::foreign::send_with_header;
use rstest::{fixture, rstest};
use rstest_kafka::{Harness, Kafka};

#[fixture]
fn kafka() -> Kafka {
    Harness::builder().topic_prefix("strange").build().lease()
}

#[rstest]
#[case::other_bytes(b"\xfftrace", r"\xfftrace")]
#[case::a_terminals_commands(b"\x1b[2J", r"\u{1b}[2J")]
fn a_headers_name_is_shown_escaped(kafka: Kafka, #[case] name: &[u8], #[case] shown: &str) {
    let events = kafka.topic("events");
    let consumer = kafka.consumer(&events);
    for _ in 0..2 {
        send_with_header(&kafka, &events, name);
    }
    let record = consumer.recv();
    assert_eq!(record.header("x"), None);
    let headers: Vec<_> = record.headers_iter().map(|header| (header.key.to_owned(), header.value)).collect();
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].1, Some(&b"a1"[..]));
    assert_eq!(record.header(&headers[0].0), Some(&b"a1"[..]));
    let debug = format!("{record:?}");
    assert!(debug.ends_with(&format!(r#" value "v" {shown}="a1""#)), "{debug}");
    let refused = consumer.checked().assert_empty().unwrap_err().to_string();
    assert!(refused.contains(&format!(r#"{shown}="a1""#)), "{refused}");
}
