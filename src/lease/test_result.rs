//! The result of a test that fails by returning an `Err`.

use std::fmt;

use super::held_lane;
use super::pending_reports::reports_of_this_thread;
use crate::model::error::with_causes;

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
        held_lane::this_thread_failed();
        with_causes(f, &*self.0)?;
        // A part of what the runner prints: what this thread prints by itself meanwhile is not kept with the test.
        let account = reports_of_this_thread();
        if account.is_empty() { Ok(()) } else { write!(f, "\n{}", account.trim_end()) }
    }
}
