//! A run without a broker and with a secret.

use std::time::Duration;

use rstest_kafka::Harness;

/// A real test run, with all that it may write.
#[test]
fn fails() {
    let builder = Harness::builder().topic_prefix("secrets").timeout(Duration::from_millis(300));
    let harness = match std::env::var("CASE").unwrap().as_str() {
        "environment" => builder.build(),
        _ => builder
            .bootstrap_servers("127.0.0.1:1")
            .property("sasl.password", std::env::var("SECRET").unwrap())
            .property("debug", "all")
            .build(),
    };
    eprintln!("{harness:?}");
    drop(harness.lease());
}
