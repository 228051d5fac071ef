//! The signals that a test has failed, beside its guard's drop while panicking.

use std::fmt;
use std::panic;
use std::sync::OnceLock;
use std::thread;

use crate::error::with_causes;
use crate::{account, lane};

/// Chains a hook by which a panic is a failure of its thread's test, once per process, at its first lease.
///
/// The hook sees what a drop cannot: a fixture that was moved away or dropped early, an expired sync `#[timeout]`.
///
/// `tell` gives the accounts of the test that runs on this thread whose fixtures cannot give them any more.
pub(crate) fn watch_panics(tell: fn() -> String) {
    // A hook cannot be changed while unwinding; the next lease installs it.
    if thread::panicking() || TELL.set(tell).is_err() {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        lane::this_thread_failed();
        previous(info);
        account::print(&tell());
    }));
}

/// Set with the hook.
static TELL: OnceLock<fn() -> String> = OnceLock::new();

/// The result of a test that uses `?`: an `Err` counts as a failure.
///
/// ```no_run
/// use rstest::rstest;
/// use rstest_kafka::{Kafka, TestResult, kafka};
///
/// #[rstest]
/// fn parses(kafka: Kafka) -> TestResult {
///     let consumer = kafka.consumer("events");
///     kafka.send("events", "id", "42");
///     let id: u32 = consumer.recv().text().parse()?;
///     assert_eq!(id, 42);
///     Ok(())
/// }
/// ```
pub type TestResult<T = ()> = Result<T, TestError>;

/// Any error that `?` meets in a test that returns [`TestResult`].
///
/// The test runner prints the `Err` that a test returns by its `Debug`: that is the signal that moves the test's worker
/// to its next generation. An error that the test handles itself is none; one that it shows by `Debug` counts, and costs
/// one fresh topic. Like other catch-all errors it does not implement [`std::error::Error`]; it has it inside.
pub struct TestError(Box<dyn std::error::Error + Send + Sync>);

impl TestError {
    /// The error that `?` met.
    pub fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for TestError {
    fn from(error: E) -> Self {
        // No sign yet: the test may handle it. The runner shows the one that the test returns.
        Self(error.into())
    }
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On the test's thread, also where the error was made on another one.
        lane::this_thread_failed();
        with_causes(f, &*self.0)?;
        // A part of what the runner prints: what this thread prints by itself meanwhile is not kept with the test.
        let account = TELL.get().map(|tell| tell()).unwrap_or_default();
        if account.is_empty() { Ok(()) } else { write!(f, "\n{}", account.trim_end()) }
    }
}
