//! A run that lives while its parent looks, and one that cannot write.

use rstest_kafka::Harness;

use crate::common::lease;

/// Makes a topic and a group, says so, and stays until its stdin ends.
#[test]
fn a_run_that_waits() {
    let harness = Harness::builder().build();
    lease(&harness, |kafka| {
        let events = kafka.topic("events");
        let _group = kafka.group("service", [&events]);
        println!("made {events}");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    });
}

#[test]
fn a_run_whose_disk_is_full() {
    let state = std::env::var_os("FULL_DISK").unwrap();
    let harness = Harness::builder().build();
    lease(&harness, |kafka| {
        let refused = (0..20).find_map(|n| kafka.checked().topic(format!("topic-{n}")).err());
        let message = refused.expect("20 topics do not fit").to_string();
        assert!(message.contains(&*state.to_string_lossy()), "{message}");
    });
}
