//! How a test's calls report errors, and whether they block. The mode is chosen once on the `Kafka`, or for one call.

use std::future::Future;
use std::pin::Pin;

use crate::model::error::{OrRaise, Result};
use crate::sync::wait;

/// How the calls of a [`Kafka`](crate::Kafka), and of everything that it returns, report errors and wait.
///
/// | mode | from | a call that waits returns | on an error |
/// |---|---|---|---|
/// | [`Panics`] | the fixture, [`Harness::lease`](crate::Harness::lease) | the value | panics at the caller's line |
/// | [`Checked`] | `checked()` | a `Result` | returns it |
/// | [`Nonblocking`] | `nonblocking()` | a future of a `Result` | returns it |
///
/// Consumers and groups have the mode of the `Kafka` that they come from. Their own `checked()`, `nonblocking()` and `within()`
/// change it for one call.
///
/// ```
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
/// let consumer = kafka.consumer("events");
/// kafka.send("events", "key", "value");
/// assert_eq!(consumer.recv().text(), "value"); // blocks, and panics if no message arrives
///
/// let error = consumer.checked().assert_empty().err(); // blocks, and returns an error
/// assert!(error.is_none());
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let kafka = kafka.nonblocking();
/// let consumer = kafka.consumer("audit")?;
/// kafka.send("audit", "key", "value").await?;
/// assert_eq!(consumer.recv().await?.text(), "value"); // other tasks run meanwhile
/// # Ok::<_, rstest_kafka::Error>(())
/// # }).unwrap();
/// ```
pub trait Mode: sealed::Finish {
    /// The return type of a call that sets something up, such as [`Kafka::topic`](crate::Kafka::topic). It blocks in every mode.
    type Setup<T>;
    /// The return type of a call that waits, such as [`PooledConsumer::recv`](crate::PooledConsumer::recv).
    type Wait<'a, T: 'a>;
    /// The mode of a call with its own deadline. It never panics.
    type Fallible: Mode;
}

/// A call blocks the thread and panics if it fails, at the caller's line and with the whole reason. The default.
#[derive(Debug, Clone, Copy)]
pub struct Panics;

/// A call blocks the thread and returns a [`Result`].
#[derive(Debug, Clone, Copy)]
pub struct Checked;

/// A call that waits returns a future of a [`Result`], which works on any runtime and can be cancelled.
///
/// Some requests are blocking calls in librdkafka, for example the request for end offsets. Such a call runs on a separate
/// thread.
#[derive(Debug, Clone, Copy)]
pub struct Nonblocking;

pub(crate) mod sealed {
    use super::*;

    /// How a mode finishes a call. Only this crate can implement it.
    pub trait Finish: wait::Blocks + Copy + Send + Sync + 'static {
        #[track_caller]
        fn set_up<T>(outcome: Result<T>) -> Self::Setup<T>
        where
            Self: Mode;

        #[track_caller]
        fn wait<'a, T: 'a>(call: impl Future<Output = Result<T>> + Send + 'a) -> Self::Wait<'a, T>
        where
            Self: Mode;
    }
}

impl Mode for Panics {
    type Setup<T> = T;
    type Wait<'a, T: 'a> = T;
    type Fallible = Checked;
}

impl wait::Blocks for Panics {
    const BLOCKS: bool = true;
}

impl sealed::Finish for Panics {
    #[track_caller]
    fn set_up<T>(outcome: Result<T>) -> T {
        outcome.or_raise()
    }

    #[track_caller]
    fn wait<'a, T: 'a>(call: impl Future<Output = Result<T>> + Send + 'a) -> T {
        wait::block_on_to_end(call).or_raise()
    }
}

impl Mode for Checked {
    type Setup<T> = Result<T>;
    type Wait<'a, T: 'a> = Result<T>;
    type Fallible = Self;
}

impl wait::Blocks for Checked {
    const BLOCKS: bool = true;
}

impl sealed::Finish for Checked {
    fn set_up<T>(outcome: Result<T>) -> Result<T> {
        outcome
    }

    fn wait<'a, T: 'a>(call: impl Future<Output = Result<T>> + Send + 'a) -> Result<T> {
        wait::block_on_to_end(call)
    }
}

impl Mode for Nonblocking {
    type Setup<T> = Result<T>;
    type Wait<'a, T: 'a> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;
    type Fallible = Self;
}

impl wait::Blocks for Nonblocking {
    const BLOCKS: bool = false;
}

impl sealed::Finish for Nonblocking {
    fn set_up<T>(outcome: Result<T>) -> Result<T> {
        outcome
    }

    fn wait<'a, T: 'a>(call: impl Future<Output = Result<T>> + Send + 'a) -> <Self as Mode>::Wait<'a, T> {
        Box::pin(call)
    }
}
