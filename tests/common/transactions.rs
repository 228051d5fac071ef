//! A service that writes in transactions.

use std::time::Duration;

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// For what ends sooner unless something is wrong.
pub const LONG: Duration = Duration::from_secs(20);

/// A service's producer that writes in transactions.
pub fn transactional(kafka: &Kafka, id: &str) -> BaseProducer {
    let mut config = kafka.client_config();
    config.remove("fetch.wait.max.ms");
    let producer: BaseProducer = config.set("transactional.id", format!("{id}-{}", kafka.run_id())).create().unwrap();
    producer.init_transactions(LONG).unwrap();
    producer
}

/// Sends to the first partition, and waits until the broker has it.
pub fn write(producer: &BaseProducer, topic: &str, text: &str) {
    producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload(text)).map_err(|(error, _)| error).unwrap();
    producer.flush(LONG).unwrap();
}
