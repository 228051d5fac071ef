//! A relay between Kafka topics, and its tests: what a service's tests look like with rstest-kafka.
//!
//! It reads orders as JSON from one topic, with a consumer group of its own. Those that are in order go to a second topic;
//! the others go to a third, with the reason in a header. Its offset is committed once the broker has what it wrote.
//!
//! ```text
//! cargo test --example relay                                                      the tests, no broker needed
//! RELAY_BOOTSTRAP_SERVERS=localhost:9092 cargo run --example relay                the service, until Ctrl-C
//! ```

use std::env;
use std::process::ExitCode;
use std::time::Duration;

// A service of yours depends on rdkafka itself; the re-export is the same crate.
use rstest_kafka::rdkafka::ClientConfig;
use rstest_kafka::rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rstest_kafka::rdkafka::error::KafkaResult;
use rstest_kafka::rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rstest_kafka::rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};

/// What stands in the events topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    id: u64,
    item: String,
    cents: i64,
}

/// The order in a message's value, or why it is none.
fn parse(payload: Option<&[u8]>) -> Result<Order, String> {
    let payload = payload.ok_or("no value")?;
    let order: Order = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    match order {
        Order { cents, .. } if cents <= 0 => Err(format!("{cents} cents is no price")),
        Order { ref item, .. } if item.trim().is_empty() => Err("no item".to_owned()),
        order => Ok(order),
    }
}

/// The topics that a relay reads and writes.
#[derive(Debug, Clone)]
struct Topics {
    events: String,
    accepted: String,
    rejected: String,
}

struct Relay {
    consumer: StreamConsumer,
    producer: FutureProducer,
    topics: Topics,
}

impl Relay {
    /// A relay whose clients have these configurations: where the broker is, how to reach it, and the consumer's group.
    fn new(mut consumer: ClientConfig, mut producer: ClientConfig, topics: Topics) -> KafkaResult<Self> {
        // Committed by hand, after delivery: a relay that dies repeats an order rather than losing it.
        let consumer: StreamConsumer = consumer.set("enable.auto.commit", "false").create()?;
        let producer = producer.set("enable.idempotence", "true").create()?;
        consumer.subscribe(&[&topics.events])?;
        Ok(Self { consumer, producer, topics })
    }

    /// Relays until `stop` is ready; an order that it has taken up by then is relayed to its end.
    async fn run(&self, stop: impl Future<Output = ()>) -> KafkaResult<()> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let received = tokio::select! {
                // What was taken up is delivered, and dropping the consumer waits for its commits.
                () = &mut stop => return Ok(()),
                received = self.consumer.recv() => received,
            };
            match received {
                Ok(message) => self.relay(&message).await?,
                // librdkafka goes on by itself after all but a fatal error.
                Err(error) if self.consumer.client().fatal_error().is_none() => eprintln!("relay: {error}"),
                Err(error) => return Err(error),
            }
        }
    }

    async fn relay(&self, message: &BorrowedMessage<'_>) -> KafkaResult<()> {
        let (topic, headers) = match parse(message.payload()) {
            Ok(_) => (&self.topics.accepted, OwnedHeaders::new()),
            Err(reason) => {
                let reason = Header { key: "reason", value: Some(&reason) };
                (&self.topics.rejected, OwnedHeaders::new().insert(reason))
            }
        };
        // The key goes along, so that what belongs together stays in its order.
        let record = FutureRecord { key: message.key(), payload: message.payload(), ..FutureRecord::to(topic) };
        let sent = self.producer.send(record.headers(headers), Duration::from_secs(10)).await;
        sent.map_err(|(error, _)| error)?;
        self.consumer.commit_message(message, CommitMode::Async)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Ok(servers) = env::var("RELAY_BOOTSTRAP_SERVERS") else {
        eprintln!(
            "relay: set RELAY_BOOTSTRAP_SERVERS to host:port, and RELAY_EVENTS, RELAY_ACCEPTED and RELAY_REJECTED to \
             topics other than events, accepted and rejected; its tests need none of that: cargo test --example relay"
        );
        return ExitCode::from(2);
    };
    let topic = |variable: &str, default: &str| env::var(variable).unwrap_or_else(|_| default.to_owned());
    let topics = Topics {
        events: topic("RELAY_EVENTS", "events"),
        accepted: topic("RELAY_ACCEPTED", "accepted"),
        rejected: topic("RELAY_REJECTED", "rejected"),
    };
    let mut producer = ClientConfig::new();
    producer.set("bootstrap.servers", &servers).set("linger.ms", "0");
    let mut consumer = ClientConfig::new();
    consumer.set("bootstrap.servers", &servers).set("group.id", "relay").set("auto.offset.reset", "earliest");
    eprintln!("relay: {} to {} or {} on {servers}", topics.events, topics.accepted, topics.rejected);
    let relayed = match Relay::new(consumer, producer, topics) {
        Ok(relay) => relay.run(async { drop(tokio::signal::ctrl_c().await) }).await,
        Err(error) => Err(error),
    };
    match relayed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread::{self, JoinHandle};

    use rstest::{fixture, rstest};
    use rstest_kafka::{Group, Kafka, PooledConsumer, ProducerRecord, Record, TestResult, Topic, TopicSpec, kafka};
    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    /// A relay that runs on a thread of its own, and what a test needs to talk to it.
    struct Running {
        events: Topic,
        accepted: PooledConsumer,
        rejected: PooledConsumer,
        group: Group,
        // Last: the fields above need no running relay, and this one's drop waits for its end.
        relay: Background,
    }

    impl Running {
        fn start(kafka: &Kafka, partitions: i32) -> Self {
            let topic = |name| kafka.topic(TopicSpec::new(name).partitions(partitions));
            let (events, accepted, rejected) = (topic("events"), topic("accepted"), topic("rejected"));
            // The group stands at the end of what earlier cases left in `events`. With a group of its own making the
            // relay would begin at the beginning of the topic and relay their messages too.
            let group = kafka.group("relay", [&events]);
            let topics =
                Topics { events: events.to_string(), accepted: accepted.to_string(), rejected: rejected.to_string() };
            let relay = Background::start(kafka.consumer_config(&group), kafka.producer_config(), topics);
            Self { accepted: kafka.consumer(&accepted), rejected: kafka.consumer(&rejected), events, group, relay }
        }
    }

    /// Stops its relay when it is dropped, so that nobody writes to a topic that is the next test's.
    struct Background {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
    }

    impl Background {
        fn start(consumer: ClientConfig, producer: ClientConfig, topics: Topics) -> Self {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            // rdkafka's StreamConsumer wants a runtime already when it is made.
            let relay = {
                let _entered = runtime.enter();
                Relay::new(consumer, producer, topics).expect("the configuration is taken")
            };
            let (stop, stopped) = oneshot::channel();
            let thread = thread::spawn(move || {
                let run = relay.run(async { drop(stopped.await) });
                runtime.block_on(run).expect("a relay goes on until it is stopped");
            });
            Self { stop: Some(stop), thread: Some(thread) }
        }

        fn stop(&mut self) {
            drop(self.stop.take());
            if let Some(thread) = self.thread.take() {
                let ended = thread.join();
                assert!(ended.is_ok() || thread::panicking(), "the relay has panicked, its message is above");
            }
        }
    }

    impl Drop for Background {
        fn drop(&mut self) {
            self.stop();
        }
    }

    #[fixture]
    fn relay(kafka: Kafka) -> Running {
        Running::start(&kafka, 1)
    }

    fn order(id: u64) -> String {
        serde_json::to_string(&Order { id, item: "tea".to_owned(), cents: 450 }).unwrap()
    }

    // With the crate's feature `json` this is `record.json()`.
    fn read(record: &Record) -> Order {
        serde_json::from_str(record.text()).expect("what is accepted is an order")
    }

    #[rstest]
    #[case::in_order(br#"{"id":1,"item":"tea","cents":450}"#, None)]
    #[case::spaced(br#" {"id": 2, "item": "tea", "cents": 1} "#, None)]
    #[case::no_json(b"one tea, please", Some("expected value"))]
    #[case::no_text(&[0xff, 0x00], Some("expected value"))]
    #[case::no_price(br#"{"id":3,"item":"tea","cents":0}"#, Some("0 cents is no price"))]
    #[case::no_item(br#"{"id":4,"item":" ","cents":450}"#, Some("no item"))]
    #[case::unknown_field(br#"{"id":5,"item":"tea","cents":450,"vip":true}"#, Some("unknown field `vip`"))]
    fn an_order_goes_where_it_belongs(
        // Both are of one lease: a fixture that takes `kafka` and a test that does.
        kafka: Kafka,
        relay: Running,
        #[case] payload: &[u8],
        #[case] reason: Option<&str>,
    ) {
        kafka.send(&relay.events, "customer-7", payload);
        let (taken, other) = match reason {
            None => (&relay.accepted, &relay.rejected),
            Some(_) => (&relay.rejected, &relay.accepted),
        };
        let message = taken.recv();
        assert_eq!(message.payload(), Some(payload), "the value goes through unaltered");
        assert_eq!(message.key(), Some(&b"customer-7"[..]));
        let header = message.header("reason").map(String::from_utf8_lossy);
        match reason {
            None => assert_eq!(header, None),
            Some(reason) => assert!(header.as_deref().is_some_and(|header| header.contains(reason)), "{header:?}"),
        }
        taken.assert_empty();
        other.assert_empty();
    }

    #[rstest]
    fn a_tombstone_is_rejected(kafka: Kafka, relay: Running) {
        kafka.send_record(&relay.events, ProducerRecord::tombstone("customer-7"));
        let message = relay.rejected.recv();
        assert_eq!((message.payload(), message.header("reason")), (None, Some(&b"no value"[..])));
    }

    /// Each case leaves all three topics full of what nobody has read. On the same worker the next case gets the same
    /// topics and the same consumers, and sees none of it; its relay does not either.
    #[rstest]
    fn what_a_case_leaves_is_not_the_next_ones(kafka: Kafka, mut relay: Running, #[values(10, 20, 30, 40)] case: u64) {
        kafka.send(&relay.events, "k", order(case));
        assert_eq!(read(&relay.accepted.recv()).id, case);
        relay.rejected.assert_empty();

        relay.relay.stop();
        let backlog = (1..=5).map(|n| ("k", order(case + n)));
        kafka.send_all(&relay.events, backlog.clone());
        kafka.send_all(relay.accepted.topic(), backlog.clone());
        kafka.send_all(relay.rejected.topic(), backlog);
        assert_eq!(relay.group.lag(), 5, "the relay had committed what it relayed, and no more");
    }

    #[rstest]
    fn orders_of_a_customer_stay_in_their_order_on_many_partitions(kafka: Kafka) {
        let relay = Running::start(&kafka, 6);
        let customers = ["ada", "bob", "cyd", "dan", "eve", "fay"];
        let sent = kafka.send_all(&relay.events, (0..60).map(|id| (customers[id as usize % 6], order(id))));
        assert!(sent.iter().any(|delivery| delivery.partition != sent[0].partition), "more than one partition is used");

        let mut ids: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
        for message in relay.accepted.recv_n(60) {
            let customer = message.key().unwrap_or_default().to_vec();
            ids.entry(customer).or_default().push(read(&message).id);
        }
        for (nth, customer) in (0..).zip(customers) {
            let in_order: Vec<u64> = (0..60).filter(|id| id % 6 == nth).collect();
            assert_eq!(ids[customer.as_bytes()], in_order, "{customer}");
        }
        relay.group.wait_until_consumed();
        relay.accepted.assert_empty();
    }

    /// The relay and the test share the test's own runtime.
    #[rstest]
    #[tokio::test]
    async fn a_relay_stops_between_two_orders(kafka: Kafka) -> TestResult {
        let kafka = kafka.nonblocking();
        let (events, accepted, rejected) =
            (kafka.topic("events")?, kafka.consumer("accepted")?, kafka.topic("rejected")?);
        let group = kafka.group("relay", [&events])?;
        let topics = Topics {
            events: events.to_string(),
            accepted: accepted.topic().to_string(),
            rejected: rejected.to_string(),
        };
        let relay = Relay::new(kafka.consumer_config(&group), kafka.producer_config(), topics)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move { relay.run(async { drop(stopped.await) }).await });

        kafka.send(&events, "k", order(1)).await?;
        assert_eq!(accepted.recv().await?.text(), order(1));
        group.wait_until_consumed().await?;

        drop(stop);
        running.await??;
        kafka.send(&events, "k", order(2)).await?;
        accepted.assert_empty().await?;
        assert_eq!(group.lag().await?, 1);
        Ok(())
    }

    /// With `?`, an error of any kind fails the test, and its worker's next test gets fresh topics.
    #[rstest]
    #[case::one(1)]
    #[case::several(4)]
    fn accepted_orders_are_what_was_sent(kafka: Kafka, relay: Running, #[case] count: u64) -> TestResult {
        for id in 0..count {
            kafka.checked().send(&relay.events, "k", order(id))?;
        }
        for id in 0..count {
            let accepted: Order =
                serde_json::from_slice(relay.accepted.checked().recv()?.payload().unwrap_or_default())?;
            assert_eq!(accepted.id, id);
        }
        relay.group.checked().wait_until_consumed()?;
        Ok(())
    }
}
