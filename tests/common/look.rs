//! What a test has got of its worker: whether the next one has the same shows in the names.

use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::consumer::Consumer;
use rstest_kafka::{Kafka, PooledConsumer};

use super::child::{Outcome, say};

/// What a lease is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub worker: String,
    pub generation: u32,
    pub topic: String,
    pub group: String,
    pub consumer: String,
}

impl Look {
    pub fn at(kafka: &Kafka) -> Self {
        let consumer = kafka.consumer("events");
        Self {
            worker: kafka.worker_id().to_string(),
            generation: kafka.generation(),
            topic: consumer.topic().name().to_owned(),
            group: group_of(&consumer),
            consumer: name_of(&consumer),
        }
    }

    /// For the parent, which reads it by [`Look::of`].
    pub fn say(&self, who: &str) {
        let Self { worker, generation, topic, group, consumer } = self;
        say(who, format_args!("{worker} {generation} {topic} {group} {consumer}"));
    }

    #[track_caller]
    pub fn of(outcome: &Outcome, who: &str) -> Self {
        let said = outcome.once_by(who);
        let [worker, generation, topic, group, consumer] = said.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{said:?}")
        };
        let [worker, topic, group, consumer] = [worker, topic, group, consumer].map(str::to_owned);
        Self { worker, generation: generation.parse().unwrap(), topic, group, consumer }
    }
}

/// The group of a consumer, as its client has it.
fn group_of(consumer: &PooledConsumer) -> String {
    let mut value = [0_u8; 512];
    let mut size = value.len();
    // SAFETY: the client is alive, its configuration with it; the buffer is writable for the size that is given.
    let code = unsafe {
        let configuration = rdsys::rd_kafka_conf(consumer.client().client().native_ptr());
        rdsys::rd_kafka_conf_get(configuration, c"group.id".as_ptr(), value.as_mut_ptr().cast(), &mut size)
    };
    assert_eq!(code, rdsys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK);
    std::ffi::CStr::from_bytes_until_nul(&value).unwrap().to_str().unwrap().to_owned()
}

/// librdkafka's name of a client, `rstest-kafka-consumer#consumer-3`, of which a process has each once.
pub fn name_of(consumer: &PooledConsumer) -> String {
    // SAFETY: the client is alive, and the name is its own.
    let name = unsafe { std::ffi::CStr::from_ptr(rdsys::rd_kafka_name(consumer.client().client().native_ptr())) };
    name.to_str().unwrap().to_owned()
}
