//! The embedded broker from behind: its requests counted, its brokers slowed down or taken away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded_kafka::{EmbeddedKafka, Fault};
use rstest_kafka::{Kafka, Request};

/// The embedded broker of a harness, whether or not that lives on.
#[derive(Clone)]
pub struct Embedded {
    pub broker: Arc<EmbeddedKafka>,
    /// What was counted before.
    before: Arc<Mutex<BTreeMap<i16, usize>>>,
}

impl Embedded {
    pub fn of(kafka: &Kafka) -> Self {
        Self::new(kafka.embedded().expect("this test builds an embedded broker"))
    }

    pub fn new(broker: Arc<EmbeddedKafka>) -> Self {
        Self { broker, before: Arc::default() }
    }

    pub fn start_counting(&self) {
        *self.before.lock().unwrap() = self.all();
    }

    /// How many requests of each kind came since counting started, by their number in the protocol.
    pub fn count(&self) -> BTreeMap<i16, usize> {
        let before = self.before.lock().unwrap();
        let mut requests = self.all();
        for (kind, n) in &mut requests {
            *n -= before.get(kind).copied().unwrap_or_default();
        }
        requests.retain(|_, n| *n > 0);
        requests
    }

    /// How many of one kind.
    pub fn count_of(&self, request: Request) -> usize {
        self.count().get(&(request as i16)).copied().unwrap_or_default()
    }

    fn all(&self) -> BTreeMap<i16, usize> {
        Request::iter().map(|request| (request as i16, self.broker.requests(request))).collect()
    }

    /// From now on the broker answers each request so much later.
    pub fn slow_down(&self, broker: i32, by: Duration) {
        for request in Request::iter() {
            // Of the requests that it does not serve none comes.
            let _ = self.broker.fault(Fault::on(request).broker(broker).delay(by));
        }
    }

    pub fn take_down(&self, broker: i32) {
        self.broker.broker_down(broker).unwrap();
    }

    pub fn bring_up(&self, broker: i32) {
        self.broker.broker_up(broker).unwrap();
    }
}
