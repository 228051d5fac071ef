//! Services that process each message exactly once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::common::*;
use crate::librdkafka::*;

/// Takes messages from one topic to another, each with its offset in one transaction.
struct Service {
    consumer: BaseConsumer,
    producer: BaseProducer,
    from: String,
    to: String,
}

impl Service {
    fn start(kafka: &Kafka, group: &str, transactional_id: &str, from: &str, to: &str) -> Self {
        let consumer = consumer(kafka, group, "read_committed");
        consumer.subscribe(&[from]).unwrap();
        Self { consumer, producer: producer(kafka, transactional_id), from: from.to_owned(), to: to.to_owned() }
    }

    fn poll(&self) -> Option<BorrowedMessage<'_>> {
        match self.consumer.poll(Duration::from_millis(10))? {
            Ok(message) => Some(message),
            Err(KafkaError::PartitionEOF(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Works on a message, up to before its transaction's end.
    fn work(&self, message: &BorrowedMessage<'_>) {
        self.producer.begin_transaction().unwrap();
        send(&self.producer, &self.to, &format!("{}!", String::from_utf8_lossy(message.payload().unwrap())));
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.from, message.partition(), Offset::Offset(message.offset() + 1)).unwrap();
        let group = self.consumer.group_metadata().unwrap();
        self.producer.send_offsets_to_transaction(&offsets, &group, LONG).unwrap();
        self.producer.flush(LONG).unwrap();
    }

    fn work_on_next(&self) -> i64 {
        let message = eventually(|| self.poll());
        self.work(&message);
        message.offset()
    }

    fn commit(&self) {
        self.producer.commit_transaction(LONG).unwrap();
    }
}

/// Sends messages with these numbers, spread over the partitions; what the service is to make of them.
fn fill(kafka: &Kafka, topic: &str, partitions: i32, messages: Range<i32>) -> BTreeSet<String> {
    let mut raw = kafka.leader(topic, 0);
    let fill = |n| {
        produce(&mut raw, topic, n % partitions, &Batch::of(&[&format!("m{n:02}")]));
        format!("m{n:02}!")
    };
    messages.map(fill).collect()
}

#[test]
fn a_service_that_is_restarted_in_mid_transaction_works_on_each_message_once() {
    let kafka = Kafka::start();
    let (from, to) = (kafka.topic("from", 1).name, kafka.topic("to", 1).name);
    let expected = fill(&kafka, &from, 1, 0..6);
    let id = unique("service");
    let start = || Service::start(&kafka, &id, &id, &from, &to);
    for round in 0..3 {
        let service = start();
        assert_eq!(service.work_on_next(), 2 * round);
        service.commit();
        assert_eq!(service.work_on_next(), 2 * round + 1);
        if round == 1 {
            // It goes without a word: its successor has to see to the transaction, and to the message.
            std::mem::forget(service.producer);
            drop(service.consumer);
            let service = start();
            assert_eq!(service.work_on_next(), 2 * round + 1);
            service.commit();
        } else {
            service.commit();
        }
    }
    assert_eq!(read(&kafka, &to, "read_committed"), expected.iter().cloned().collect::<Vec<_>>());
    let all = read(&kafka, &to, "read_uncommitted");
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>()), (7, expected), "one was aborted");
}

#[test]
fn two_instances_of_a_service_share_the_work_and_do_none_of_it_twice() {
    let kafka = Kafka::start();
    let (from, to) = (kafka.topic("from", 4).name, kafka.topic("to", 1).name);
    let mut expected = fill(&kafka, &from, 4, 0..20);
    let group = unique("service");
    let start = |n: usize| Service::start(&kafka, &group, &format!("{group}-{n}"), &from, &to);
    let first = start(1);
    for _ in 0..10 {
        first.work_on_next();
        first.commit();
    }
    // The first one has a message in work while the second one comes.
    let message = eventually(|| first.poll());
    first.work(&message);
    let second = start(2);
    first.commit();
    let mut worked = [11, 0];
    let mut both_work = || {
        for (service, worked) in [&first, &second].into_iter().zip(&mut worked) {
            if let Some(message) = service.poll() {
                service.work(&message);
                service.commit();
                *worked += 1;
            }
        }
        worked
    };
    eventually(|| {
        both_work();
        (second.consumer.assignment().unwrap().count() == 2).then_some(())
    });
    expected.append(&mut fill(&kafka, &from, 4, 20..40));
    let worked = eventually(|| Some(both_work()).filter(|worked| worked[0] + worked[1] == 40));
    assert!(worked[1] >= 10, "half of the second half: {worked:?}");
    let mut seen = read(&kafka, &to, "read_committed");
    seen.sort_unstable();
    assert_eq!(seen, expected.into_iter().collect::<Vec<_>>());
}
