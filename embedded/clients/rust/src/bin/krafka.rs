//! krafka.

use std::sync::Mutex;
use std::time::Duration;

use clients::{Outcome, equal, run, step};
use krafka::admin::{AdminClient, NewTopic};
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerBuilder, GroupProtocol, IsolationLevel};
use krafka::producer::{Producer, ProducerRecord, TopicPartitionOffset, TransactionalProducer};

const SOON: Duration = Duration::from_secs(20);

struct Run {
    servers: String,
    topic: String,
    ledger: String,
    group: String,
}

impl Run {
    async fn admin(&self) -> Result<AdminClient, krafka::error::KrafkaError> {
        AdminClient::builder().bootstrap_servers(&self.servers).build().await
    }

    fn consumer(&self) -> ConsumerBuilder {
        let builder = Consumer::builder().bootstrap_servers(&self.servers);
        builder.auto_offset_reset(AutoOffsetReset::Earliest).enable_auto_commit(false)
    }

    async fn member(
        &self,
        group: &str,
        protocol: GroupProtocol,
    ) -> Result<Consumer, Box<dyn std::error::Error + Send + Sync>> {
        let consumer = self.consumer().group_id(group).group_protocol(protocol).build().await?;
        consumer.subscribe(&[&self.topic]).await?;
        Ok(consumer)
    }

    async fn create(&self) -> Outcome {
        let topics = vec![NewTopic::new(&self.topic, 2, 1)?, NewTopic::new(&self.ledger, 1, 1)?];
        for made in self.admin().await?.create_topics(topics, SOON, false).await? {
            equal(made.error, None)?;
        }
        Ok(())
    }

    async fn send(&self, numbers: std::ops::Range<i32>) -> Outcome {
        let producer = Producer::builder().bootstrap_servers(&self.servers).idempotent(true).build().await?;
        for n in numbers {
            let record = ProducerRecord::new(&self.topic, n.to_string()).with_partition(n % 2);
            let _ = producer.send_record(record).await?;
        }
        producer.close().await;
        Ok(())
    }

    async fn consume(&self) -> Outcome {
        let consumer = self.consumer().build().await?;
        consumer.assign(&self.topic, vec![0, 1]).await?;
        read(&consumer, (0..10).collect()).await?;
        Ok(consumer.close().await?)
    }

    async fn join(&self) -> Outcome {
        let consumer = self.member(&self.group, GroupProtocol::Classic).await?;
        read(&consumer, (0..10).collect()).await?;
        consumer.commit_sync().await?;
        consumer.close().await?;
        self.send(10..20).await
    }

    async fn rejoin(&self, described: &Mutex<Option<String>>) -> Outcome {
        let consumer = self.member(&self.group, GroupProtocol::Classic).await?;
        read(&consumer, (10..20).collect()).await?;
        consumer.commit_sync().await?;
        let groups = self.admin().await?.describe_consumer_groups(vec![self.group.clone()]).await?;
        *described.lock().unwrap() = groups.first().map(|group| group.state.clone());
        Ok(consumer.close().await?)
    }

    async fn kip848(&self) -> Outcome {
        let name = format!("{}-848", self.group);
        let consumer = self.member(&name, GroupProtocol::Consumer).await?;
        read(&consumer, (0..20).collect()).await?;
        consumer.commit_sync().await?;
        consumer.close().await?;
        self.send(20..22).await?;
        let consumer = self.member(&name, GroupProtocol::Consumer).await?;
        read(&consumer, vec![20, 21]).await?;
        Ok(consumer.close().await?)
    }

    async fn committed(&self, expected: Vec<i32>) -> Outcome {
        let consumer = self.consumer().isolation_level(IsolationLevel::ReadCommitted).build().await?;
        consumer.assign(&self.ledger, vec![0]).await?;
        read(&consumer, expected).await?;
        Ok(consumer.close().await?)
    }

    async fn producer(&self) -> Result<TransactionalProducer, krafka::error::KrafkaError> {
        let builder = TransactionalProducer::builder().bootstrap_servers(&self.servers);
        let producer = builder.transactional_id(&self.ledger).build().await?;
        producer.init_transactions().await?;
        Ok(producer)
    }

    async fn transaction(&self, producer: &TransactionalProducer, numbers: &[i32], commit: bool) -> Outcome {
        producer.begin_transaction()?;
        for n in numbers {
            let _ = producer.send(&self.ledger, None, Some(n.to_string().as_bytes())).await?;
        }
        if commit {
            producer.commit_transaction().await?
        } else {
            producer.abort_transaction().await?
        };
        Ok(())
    }

    async fn commit(&self) -> Outcome {
        self.transaction(&self.producer().await?, &[0, 1, 2], true).await?;
        self.committed(vec![0, 1, 2]).await
    }

    async fn abort(&self) -> Outcome {
        let producer = self.producer().await?;
        self.transaction(&producer, &[3, 4], false).await?;
        self.transaction(&producer, &[5], true).await?;
        self.committed(vec![0, 1, 2, 5]).await
    }

    async fn offsets(&self) -> Outcome {
        let consumer = self.member(&format!("{}-offsets", self.group), GroupProtocol::Classic).await?;
        read(&consumer, (0..22).collect()).await?;
        let producer = self.producer().await?;
        producer.begin_transaction()?;
        let metadata = consumer.group_metadata().await.ok_or("not a member of the group")?;
        producer.send_offsets_to_transaction(&[TopicPartitionOffset::new(&self.topic, 0, 7)], &metadata).await?;
        producer.commit_transaction().await?;
        // The answer to the commit may come before its markers are written.
        let stored = loop {
            if let Some(position) = consumer.committed(&[(&self.topic, 0)]).await?.values().next() {
                break position.offset;
            }
        };
        equal(stored, 7)?;
        Ok(consumer.close().await?)
    }

    async fn delete(&self) -> Outcome {
        let admin = self.admin().await?;
        for deleted in admin.delete_topics(vec![self.topic.clone(), self.ledger.clone()], SOON).await? {
            equal(deleted.error, None)?;
        }
        // What a cluster has been told may take a moment to be known to all of its brokers.
        while admin.list_topics().await?.contains(&self.topic) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn read(consumer: &Consumer, expected: Vec<i32>) -> Outcome {
    let mut values = Vec::new();
    while values.len() < expected.len() {
        for record in consumer.poll(SOON).await? {
            values.push(std::str::from_utf8(record.value.as_deref().unwrap_or_default())?.parse()?);
        }
    }
    values.sort_unstable();
    equal(values, expected)
}

fn main() {
    let servers = std::env::args().nth(1).expect("the address of a broker");
    println!("client krafka 0.25.0");
    let name = format!("krafka-{}", run());
    let (ledger, group) = (format!("{name}-ledger"), format!("{name}-group"));
    let run = Run { servers, topic: name, ledger, group };
    let described = Mutex::new(None);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        step("create", run.create()).await;
        step("produce", run.send(0..10)).await;
        step("consume", run.consume()).await;
        step("group", run.join()).await;
        step("rejoin", run.rejoin(&described)).await;
        step("describe", async { equal(described.lock().unwrap().as_deref(), Some("Stable")) }).await;
        step("kip848", run.kip848()).await;
        step("commit", run.commit()).await;
        step("abort", run.abort()).await;
        step("offsets", run.offsets()).await;
        step("delete", run.delete()).await;
    });
    runtime.shutdown_background();
}
