//! rskafka, which has neither groups nor transactions.

use clients::{Outcome, equal, run, step};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;

async fn partition(client: &Client, topic: &str, n: i32) -> Result<PartitionClient, rskafka::client::error::Error> {
    client.partition_client(topic, n, UnknownTopicHandling::Retry).await
}

async fn send(client: &Client, topic: &str) -> Outcome {
    for n in 0..10 {
        let record = Record {
            key: None,
            value: Some(n.to_string().into_bytes()),
            headers: Default::default(),
            timestamp: chrono::DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
        };
        partition(client, topic, n % 2).await?.produce(vec![record], Compression::NoCompression).await?;
    }
    Ok(())
}

async fn consume(client: &Client, topic: &str) -> Outcome {
    let mut values = Vec::new();
    for n in 0..2 {
        let partition = partition(client, topic, n).await?;
        let mut offset = 0;
        while offset < 5 {
            for found in partition.fetch_records(offset, 1..1_000_000, 20_000).await?.0 {
                values.push(String::from_utf8(found.record.value.unwrap_or_default())?.parse::<i32>()?);
                offset = found.offset + 1;
            }
        }
    }
    values.sort_unstable();
    equal(values, (0..10).collect())
}

fn main() {
    let servers = std::env::args().nth(1).expect("the address of a broker");
    println!("client rskafka 0.6.0");
    let topic = format!("rskafka-{}", run());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = None;
        step("create", async {
            let connected = client.insert(ClientBuilder::new(vec![servers]).build().await?);
            connected.controller_client()?.create_topic(&topic, 2, 1, 20_000).await?;
            Ok(())
        })
        .await;
        let Some(client) = client else { return };
        step("produce", send(&client, &topic)).await;
        step("consume", consume(&client, &topic)).await;
        step("delete", async {
            client.controller_client()?.delete_topic(&topic, 20_000).await?;
            // What a cluster has been told may take a moment to be known to all of its brokers.
            while client.list_topics().await?.iter().any(|found| found.name == topic) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Ok(())
        })
        .await;
    });
    runtime.shutdown_background();
}
