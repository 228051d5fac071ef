//! Another deadline than the configured one.

use std::time::Duration;

use crate::sync::wait::Deadline;

/// All that waits, with another deadline than the configured one, and as a `Result`.
///
/// [`PooledConsumer::within`](crate::PooledConsumer::within) and [`Group::within`](crate::Group::within) make it. Each call has the
/// whole time for itself.
///
/// ```
/// use std::time::Duration;
/// # let harness = rstest_kafka::Harness::builder().embedded_brokers(1).build();
/// # let kafka = harness.lease();
///
/// let consumer = kafka.consumer("reports");
/// # kafka.send_all("reports", [("a", "1"), ("b", "2"), ("c", "3")]);
/// // The service takes half a minute for a report.
/// let reports = consumer.within(Duration::from_secs(30)).recv_n(3).unwrap();
/// assert_eq!(reports.len(), 3);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it waits only once it is asked for something"]
pub struct Within<'a, T> {
    pub(crate) of: &'a T,
    pub(crate) timeout: Duration,
}

impl<T> Within<'_, T> {
    /// That of a call which begins now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }
}
