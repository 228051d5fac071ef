//! The result type of tests that use `?`.

use std::fmt;

use super::held_lane;
use super::pending_reports::reports_of_this_thread;
use crate::model::error::with_causes;

/// The result of a test that uses `?`. An `Err` counts as a failure.
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

/// The error of a test that returns [`TestResult`]. `?` converts any error to it.
///
/// If a test returns an `Err`, the test runner prints it with `Debug`. That is the sign of failure, which moves the
/// test's worker to its next generation. If a test handles an error, it is not a sign of failure. If a test prints the
/// error with `Debug` itself, the error counts as a failure and costs one new topic.
///
/// Like other catch-all errors this type does not implement [`std::error::Error`]. [`get_ref`](Self::get_ref) returns
/// the error inside.
pub struct TestError(Box<dyn std::error::Error + Send + Sync>);

impl TestError {
    /// Returns the error that `?` converted.
    pub fn get_ref(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for TestError {
    fn from(error: E) -> Self {
        // This is no sign of failure yet, because the test may handle the error. The runner prints only an error that
        // the test returns.
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
        // The runner prints on the thread of the test, even if another thread has created the error.
        held_lane::this_thread_failed();
        with_causes(f, &*self.0)?;
        // Write the failure report here, because the runner does not keep output that this thread prints now.
        let report = reports_of_this_thread();
        if report.is_empty() { Ok(()) } else { write!(f, "\n{}", report.trim_end()) }
    }
}
