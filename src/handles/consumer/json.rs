//! Typed values.

use serde::de::DeserializeOwned;

use super::PooledConsumer;
use crate::handles::within::Within;
use crate::model::error::{OrRaise, Result};

impl PooledConsumer {
    /// The value of the next message, read as JSON; waits as [`recv`](Self::recv).
    ///
    /// ```
    /// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
    /// # let kafka = harness.lease();
    /// #[derive(Debug, PartialEq, serde::Deserialize)]
    /// struct Order {
    ///     id: u64,
    ///     items: Vec<u64>,
    /// }
    ///
    /// let consumer = kafka.consumer("orders");
    /// kafka.send("orders", "k", r#"{"id":1,"items":[7,8]}"#);
    /// assert_eq!(consumer.recv_json::<Order>(), Order { id: 1, items: vec![7, 8] });
    ///
    /// kafka.send("orders", "k", r#"{"id":2,"items":[7,"8"]}"#);
    /// let error = consumer.try_recv_json::<Order>().unwrap_err();
    /// assert!(error.to_string().contains(r#"items[1]: invalid type: string "8", expected u64"#));
    /// ```
    ///
    /// # Panics
    /// When none comes, as [`recv`](Self::recv), or it is no such JSON: with the path where it differs, topic, partition, offset
    /// and a preview of the value. [`try_recv_json`](Self::try_recv_json) returns that as an error.
    #[track_caller]
    pub fn recv_json<T: DeserializeOwned>(&self) -> T {
        self.try_recv_json().or_raise()
    }

    /// As [`recv_json`](Self::recv_json). A message that is no such JSON counts as received; the error has it.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) when it is no such JSON; else as [`try_recv`](Self::try_recv).
    pub fn try_recv_json<T: DeserializeOwned>(&self) -> Result<T> {
        self.try_recv()?.try_json()
    }

    /// As [`recv_json`](Self::recv_json), without blocking the thread.
    ///
    /// # Panics
    /// As [`recv_json`](Self::recv_json).
    pub async fn recv_json_async<T: DeserializeOwned>(&self) -> T {
        self.try_recv_json_async().await.or_raise()
    }

    /// As [`try_recv_json`](Self::try_recv_json), without blocking the thread.
    ///
    /// # Errors
    /// As [`try_recv_json`](Self::try_recv_json).
    pub async fn try_recv_json_async<T: DeserializeOwned>(&self) -> Result<T> {
        self.try_recv_async().await?.try_json()
    }
}

impl Within<'_, PooledConsumer> {
    /// The value of the next message, read as JSON.
    ///
    /// # Errors
    /// As [`PooledConsumer::try_recv_json`].
    pub fn recv_json<T: DeserializeOwned>(&self) -> Result<T> {
        self.recv()?.try_json()
    }

    /// As [`recv_json`](Self::recv_json), without blocking the thread.
    ///
    /// # Errors
    /// As [`recv_json`](Self::recv_json).
    pub async fn recv_json_async<T: DeserializeOwned>(&self) -> Result<T> {
        self.recv_async().await?.try_json()
    }
}
