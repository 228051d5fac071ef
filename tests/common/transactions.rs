//! A service that writes in transactions.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// For what ends sooner unless something is wrong.
pub const LONG: Duration = Duration::from_secs(20);

/// A service's producer that writes in transactions, under an id that nobody else has: a second one would fence it.
pub fn transactional(kafka: &Kafka) -> BaseProducer {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = format!("rstest-{}-{}-{}", kafka.run_id(), process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut config = kafka.client_config();
    let producer: BaseProducer = config.set("transactional.id", id).create().unwrap();
    producer.init_transactions(LONG).unwrap();
    producer
}

/// Sends to the first partition, and waits until the broker has it.
pub fn write(producer: &BaseProducer, topic: &str, text: &str) {
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(text)).map_err(|(error, _)| error).unwrap();
    producer.flush(LONG).unwrap();
}
