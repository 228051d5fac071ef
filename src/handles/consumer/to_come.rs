//! A topic that does not exist yet: looked for until it does, then read from the beginning of each partition.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::LeasedConsumer;
use crate::model::error::{Error, Result};
use crate::sync::wait::{Calls, Deadline};

/// How long to wait between two looks, at first; every look doubles it up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl LeasedConsumer {
    /// Whether the topic existed when it was last looked for; until then the consumer is assigned to nothing, unless the
    /// test has assigned or subscribed it itself.
    fn has_topic(&self) -> bool {
        !self.starts().is_empty() || (self.touched.load(Ordering::Relaxed) && self.is_in_the_tests_hands())
    }

    pub(super) fn is_in_the_tests_hands(&self) -> bool {
        let named = |list: KafkaResult<TopicPartitionList>| list.is_ok_and(|list| list.count() > 0);
        named(self.client.assignment()) || named(self.client.subscription())
    }

    /// Waits for as long as it is polled until the topic exists.
    pub(super) async fn wait_for_topic(&self) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look_for_topic(Calls::OnAnotherThread, self.lease.lease().deadline()).await {
                Ok(true) => return Ok(()),
                // A broker that is down comes back within the caller's deadline, or the timeout shows it.
                Ok(false) | Err(Error::Unreachable { .. }) => {}
                Err(error) => return Err(error),
            }
            futures_timer::Delay::new(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether the topic exists by now. The consumer is then assigned to all of its partitions.
    pub(super) async fn look_for_topic(&self, calls: Calls, deadline: Deadline) -> Result<bool> {
        if self.has_topic() {
            return Ok(true);
        }
        let ask = self.ask_if_there();
        let Some(now) = calls.run(move || ask(deadline)).await? else { return Ok(false) };
        self.follow(&now)?;
        Ok(true)
    }

    /// Looks for the topic once, for what reads to its end.
    pub(super) async fn must_have_topic(&self, calls: Calls, deadline: Deadline) -> Result<()> {
        if self.look_for_topic(calls, deadline).await? {
            return Ok(());
        }
        Err(Error::Broker {
            action: format!("read topic {:?} to its end", self.topic().name()),
            broker: self.lease.lease().cluster().broker().name().to_owned(),
            advice: format!(
                "the topic does not exist, so nothing was looked at: check the name that the service uses, or create it \
                 first with kafka.topic({:?}) if the service may leave it empty",
                self.topic().logical_name()
            ),
            source: None,
        })
    }
}
