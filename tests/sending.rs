//! What is sent goes to the test's own topic, whole, and once the call has returned nothing of it is still to come.

mod common;

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::embedded::Embedded;
use common::{alone, in_order, lease, sorted};
use rstest::rstest;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::{
    Delivery, Error, ErrorCode, Fault, Harness, HarnessBuilder, Kafka, ProducerRecord, Request, TopicSpec,
};

fn builder() -> HarnessBuilder {
    Harness::builder().topic_prefix("sending")
}

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(120);

#[rstest]
fn a_record_goes_to_the_topic_that_the_lease_has_named() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        kafka.send_record("events", ProducerRecord::value("1"));
        kafka.send_all("events", [ProducerRecord::value("2")]);
        kafka.send_record(consumer.topic(), ProducerRecord::value("3"));
        kafka.send_record(consumer.topic().name(), ProducerRecord::value("4"));
        assert_eq!(in_order(&consumer.recv_n(4)), ["1", "2", "3", "4"]);
        let client: BaseConsumer = kafka.client_config().create().unwrap();
        let metadata = client.fetch_metadata(None, LONG).unwrap();
        assert!(metadata.topics().iter().all(|topic| topic.name() != "events"));
    });
    let other = lease(&harness, |kafka| kafka.topic("events"));
    lease(&harness, |kafka| {
        let refused = kafka.checked().send_record(&other, ProducerRecord::value("v")).unwrap_err();
        assert!(matches!(refused, Error::Misuse { .. }), "{refused}");
    });
}

#[rstest]
fn a_record_arrives_as_it_was_sent() {
    let _alone = alone();
    let kafka = builder().build().lease();
    let events = kafka.topic(TopicSpec::new("events").partitions(3));
    let consumer = kafka.consumer(&events);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_600_000_000_123);
    let round_trip = |record: ProducerRecord| {
        let delivery = kafka.send_record(&events, record.partition(2).timestamp(time));
        assert_eq!((delivery.partition, delivery.time), (2, Some(time)));
        let received = consumer.recv();
        assert_eq!((received.partition(), received.offset(), received.time()), (2, delivery.offset, Some(time)));
        received
    };
    for (record, key, value) in [
        (ProducerRecord::new("k", "v"), Some(&b"k"[..]), Some(&b"v"[..])),
        (ProducerRecord::new("", ""), Some(&b""[..]), Some(&b""[..])),
        (ProducerRecord::value("v"), None, Some(&b"v"[..])),
        (ProducerRecord::tombstone("k"), Some(&b"k"[..]), None),
    ] {
        let received = round_trip(record);
        assert_eq!((received.key(), received.payload()), (key, value));
        assert_eq!(received.headers_iter().count(), 0);
    }
    let record = ProducerRecord::value("v").header("trace", "a1").header("trace", "").null_header("span\u{1b}");
    let received = round_trip(record);
    let headers: Vec<_> = received.headers_iter().map(|header| (header.key, header.value)).collect();
    assert_eq!(headers, [("trace", Some(&b"a1"[..])), ("trace", Some(&b""[..])), ("span\u{1b}", None)]);
}

#[rstest]
fn embedded_many_records_go_together() {
    let _alone = alone();
    let kafka = builder().embedded_brokers(1).timeout(LONG).build().lease();
    let faults = kafka.faults();
    let events = kafka.topic(TopicSpec::new("events").partitions(3));
    let consumer = kafka.consumer(&events);
    faults.latency(Duration::from_millis(50));
    let record = |n: i32| ProducerRecord::new(n.to_string(), n.to_string()).partition(n % 3).header("n", n.to_string());
    let sent = kafka.send_all(&events, (0..100).map(record));
    assert_eq!(
        sent.iter().map(|delivery| delivery.partition).collect::<Vec<_>>(),
        (0..100).map(|n| n % 3).collect::<Vec<_>>()
    );
    assert!(faults.requests(Request::Produce) < 50, "{}", faults.requests(Request::Produce));
    let received = consumer.recv_n(100);
    let mut expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    expected.sort();
    assert_eq!(sorted(&received), expected);
}

/// Each on a runtime of its own, since it may be that of the test.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

type Send = fn(&Kafka) -> Option<Error>;

/// The message may still come: the next test has other topics.
#[rstest]
#[case::send(None, |kafka: &Kafka| kafka.checked().send("events", "k", "late").err())]
#[case::send_with_a_longer_timeout(Some("120000"), |kafka: &Kafka| kafka.checked().send("events", "k", "late").err())]
#[case::send_async(Some("120000"), |kafka: &Kafka| block_on(kafka.nonblocking().send("events", "k", "late")).err())]
#[case::send_all(None, |kafka: &Kafka| kafka.checked().send_all("events", [("k", "late"), ("k", "late")]).err())]
#[case::send_records(Some("120000"), |kafka: &Kafka| {
    kafka.checked().send_all("events", [ProducerRecord::value("late")]).err()
})]
fn embedded_a_send_whose_time_ran_out_is_a_failure(#[case] delivery_timeout: Option<&str>, #[case] send: Send) {
    let _alone = alone();
    let builder = builder().embedded_brokers(1).timeout(Duration::from_secs(2));
    let harness = match delivery_timeout {
        Some(millis) => builder.property("delivery.timeout.ms", millis).build(),
        None => builder.build(),
    };
    let before = lease(&harness, |kafka| {
        kafka.send("events", "k", "connected");
        kafka.generation()
    });
    let broker = lease(&harness, |kafka| {
        let broker = Embedded::of(&kafka).broker;
        broker.fault(Fault::on(Request::Produce).delay(LONG)).unwrap();
        let error = send(&kafka).expect("no acknowledgement comes");
        assert!(error.to_string().contains("no acknowledgement within"), "{error}");
        broker
    });
    broker.clear_faults().unwrap();
    lease(&harness, |kafka| {
        assert_eq!(kafka.generation(), before + 1);
        kafka.consumer("events").assert_no_more_within(Duration::from_millis(100));
    });
}

/// What the broker has refused will not come.
#[rstest]
fn embedded_a_refused_send_is_no_failure() {
    let _alone = alone();
    let harness = builder().embedded_brokers(1).build();
    let before = lease(&harness, |kafka| kafka.generation());
    lease(&harness, |kafka| {
        let broker = Embedded::of(&kafka).broker;
        kafka.topic("events");
        for code in [ErrorCode::TopicAuthorizationFailed, ErrorCode::InvalidTimestamp, ErrorCode::MessageTooLarge] {
            broker.fail(Request::Produce, 1, code).unwrap();
            kafka.checked().send("events", "k", "refused").unwrap_err();
        }
        kafka.checked().send("events", "k", "x".repeat(2_000_000)).unwrap_err();
        kafka.checked().send_record("events", ProducerRecord::value("nowhere").partition(99)).unwrap_err();
    });
    assert_eq!(lease(&harness, |kafka| kafka.generation()), before);
}

/// More than librdkafka's queue holds, of the number and of the size.
#[rstest]
#[case::of_the_default_number(builder(), 110_000, 10)]
#[case::of_a_small_number(builder().property("queue.buffering.max.messages", "10"), 1_000, 10)]
#[case::of_a_small_size(builder().property("queue.buffering.max.kbytes", "20"), 1_000, 1_000)]
fn more_than_the_queue_holds_wait_for_room(#[case] builder: HarnessBuilder, #[case] many: usize, #[case] size: usize) {
    let _alone = alone();
    let harness = builder.timeout(LONG).build();
    let value = "v".repeat(size);
    let records = || (0..many).map(|_| ("k", &value));
    thread::scope(|scope| {
        let ends = scope.spawn(|| {
            lease(&harness, |kafka| {
                let events = kafka.topic("many");
                // Lanes share producers by pairs: one of these has that of the many.
                let singles = [(); 3].map(|()| {
                    scope.spawn(|| {
                        lease(&harness, |kafka| {
                            for n in 0..100 {
                                kafka.send("single", "k", n.to_string());
                            }
                        });
                    })
                });
                let sent = kafka.send_all(&events, records());
                let sent_async = block_on(kafka.nonblocking().send_all(&events, records())).unwrap();
                singles.into_iter().for_each(|single| single.join().unwrap());
                (sent.len(), sent_async.last().unwrap().offset - events.fence(0))
            })
        });
        assert_eq!(ends.join().unwrap(), (many, 2 * many as i64 - 1));
    });
}

/// The timeout is for the next acknowledgement, not for all of them.
#[rstest]
fn embedded_many_records_take_longer_than_the_timeout() {
    let _alone = alone();
    let builder = builder().embedded_brokers(1).timeout(Duration::from_secs(2));
    let kafka = builder.property("queue.buffering.max.messages", "10").build().lease();
    let faults = kafka.faults();
    let events = kafka.topic("events");
    faults.latency(Duration::from_millis(100));
    let records = || (0..300).map(|n: i32| ProducerRecord::value(n.to_string()));
    let take_longer = |send: &dyn Fn() -> Vec<Delivery>| {
        let began = Instant::now();
        assert_eq!(send().len(), 300);
        assert!(began.elapsed() > Duration::from_secs(2), "it took {:?}", began.elapsed());
    };
    take_longer(&|| kafka.send_all(&events, records()));
    take_longer(&|| block_on(kafka.nonblocking().send_all(&events, records())).unwrap());
}

#[rstest]
fn embedded_no_room_within_the_deadline_says_which_setting() {
    let _alone = alone();
    let builder = builder().embedded_brokers(1).timeout(Duration::from_millis(500));
    let harness = builder.property("queue.buffering.max.kbytes", "1").build();
    lease(&harness, |kafka| {
        let error = kafka.checked().send("events", "k", "x".repeat(5_000)).unwrap_err().to_string();
        assert!(error.contains("queue.buffering.max.kbytes"), "{error}");
    });
}

#[rstest]
fn its_futures_go_to_other_threads() {
    let _alone = alone();
    fn is_send<T: std::marker::Send>(future: T) -> T {
        future
    }
    lease(&builder().build(), |kafka| {
        let records = vec![ProducerRecord::value("v")];
        drop(is_send(kafka.nonblocking().send("events", "k", "v")));
        drop(is_send(kafka.nonblocking().send_all("events", [("k", "v")])));
        drop(is_send(kafka.nonblocking().send_all("events", records)));
    });
}
