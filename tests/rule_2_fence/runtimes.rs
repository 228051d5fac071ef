//! Sync and async tests, on whichever runtime, share the pooled consumers.

use std::time::Duration;

use futures_util::StreamExt;
use rstest::rstest;
use rstest_kafka::Kafka;

use super::{builder, leave};
use crate::common::{alone, in_order, lease, put, sorted};

/// What a sync test does with its consumer, and what an async one does on whichever runtime it has.
fn sync_case(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.send("events", "k", text);
    assert_eq!(consumer.recv().text(), text);
    consumer.assert_empty();
    put(kafka, consumer.topic(), 0, "left");
}

async fn async_case(kafka: &Kafka, text: &str) {
    let consumer = kafka.consumer("events");
    kafka.nonblocking().send("events", "k", text).await.unwrap();
    assert_eq!(consumer.nonblocking().recv().await.unwrap().text(), text);
    let texts = ["a", "b", "c"];
    for text in texts {
        kafka.nonblocking().send("events", "k", text).await.unwrap();
    }
    assert_eq!(in_order(&consumer.nonblocking().recv_n(3).await.unwrap()), texts);
    consumer.assert_empty();
    kafka.nonblocking().send("events", "k", "left").await.unwrap();
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[rstest]
fn one_pooled_consumer_serves_sync_and_async_tests_with_runtimes_of_their_own() {
    let _alone = alone();
    let harness = builder().build();
    for round in 0..3 {
        lease(&harness, |kafka| sync_case(&kafka, &format!("sync {round}")));
        lease(&harness, |kafka| current_thread().block_on(async_case(&kafka, &format!("current_thread {round}"))));
        lease(&harness, |kafka| multi_thread().block_on(async_case(&kafka, &format!("multi_thread {round}"))));
        // A task of the runtime's own threads, too, with a `Kafka` that was moved there.
        lease(&harness, |kafka| {
            let runtime = multi_thread();
            runtime.block_on(runtime.spawn(async move { async_case(&kafka, "in a task").await })).unwrap();
        });
        // No tokio at all.
        lease(&harness, |kafka| futures_executor_block_on(async_case(&kafka, "any executor")));
    }
    assert_eq!(harness.stats().consumers_made, 1);
}

/// An executor that is none of tokio's.
fn futures_executor_block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[rstest]
fn recv_in_a_runtime_works_and_says_what_to_call_when_nothing_comes() {
    let _alone = alone();
    let harness = builder().timeout(Duration::from_millis(700)).build();
    for runtime in [current_thread(), multi_thread()] {
        lease(&harness, |kafka| {
            runtime.block_on(async {
                sync_case(&kafka, "in a runtime");
                let consumer = kafka.consumer("events");
                consumer.drain();
                let message = consumer.checked().recv().unwrap_err().to_string();
                assert!(message.contains("nonblocking().recv().await"), "{message}");
                let message = consumer.nonblocking().recv().await.unwrap_err().to_string();
                assert!(!message.contains("nonblocking()"), "{message}");
            });
        });
    }
}

#[rstest]
fn an_async_receive_that_is_cancelled_loses_nothing() {
    let _alone = alone();
    let harness = builder().build();
    lease(&harness, |kafka| {
        current_thread().block_on(async {
            let consumer = kafka.consumer("events");
            let send = async {
                for n in 0..300 {
                    kafka.nonblocking().send("events", "k", n.to_string()).await.unwrap();
                }
            };
            let receive = async {
                let (mut seen, mut cancelled) = (Vec::new(), 0);
                while seen.len() < 300 {
                    // A receive that is given up wherever it stands, and the next begins.
                    let patience = Duration::from_micros(cancelled % 7 * 100);
                    match tokio::time::timeout(
                        patience,
                        consumer.nonblocking().recv_n((1 + seen.len() % 3).min(300 - seen.len())),
                    )
                    .await
                    {
                        Ok(records) => seen.extend(records.unwrap()),
                        Err(_) => cancelled += 1,
                    }
                }
                assert!(cancelled > 0, "none was cancelled");
                in_order(&seen)
            };
            let ((), seen) = futures_util::future::join(send, receive).await;
            let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
            assert_eq!(seen, expected);
            consumer.assert_empty();
        });
    });
}

#[rstest]
fn a_stream_has_every_message_and_ends_with_its_holder() {
    let _alone = alone();
    let harness = builder().partitions(3).build();
    leave(&harness, 0..3, 2);
    lease(&harness, |kafka| {
        let consumer = kafka.consumer("events");
        for partition in 0..3 {
            put(&kafka, consumer.topic(), partition, &partition.to_string());
        }
        consumer.recv_matching(|record| record.partition() == 2);
        current_thread().block_on(async {
            let rest: Vec<_> = consumer.stream().take(2).map(Result::unwrap).collect().await;
            assert_eq!(sorted(&rest), ["0", "1"], "also what was read ahead");
            let mut stream = consumer.stream();
            assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
            kafka.nonblocking().send("events", "k", "more").await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap().text(), "more");
        });
        consumer.assert_empty();
    });
}
