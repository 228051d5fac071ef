//! Leaders and in-sync replicas when a broker stops or starts, as in Kafka's controller.

use kafka_protocol::ResponseError;

use super::Cluster;
use super::api_error::ApiError;
use super::partition::Partition;
use super::topics::Topics;

impl Partition {
    /// Stops a broker. It leaves the in-sync replicas unless it is the last of them, and another replica becomes the leader.
    fn broker_down(&mut self, id: i32, up: &[i32], unclean: bool) -> bool {
        if !self.replicas.contains(&id) {
            return false;
        }
        if self.isr.len() > 1 {
            self.isr.retain(|replica| *replica != id);
        }
        if self.leader == id {
            let unclean = self.replicas.iter().filter(|_| unclean);
            let heir = self.isr.iter().chain(unclean).find(|replica| up.contains(replica)).copied();
            self.lead(heir.unwrap_or(-1));
        }
        true
    }

    /// Starts a broker. It is in sync at once because nothing has to be copied, and becomes the leader if there is none.
    fn broker_up(&mut self, id: i32) -> bool {
        if !self.replicas.contains(&id) {
            return false;
        }
        if self.leader == -1 {
            if !self.isr.contains(&id) {
                return false;
            }
            self.lead(id);
        }
        self.sync(&[id]);
        true
    }

    /// Makes a broker the leader in a new epoch. -1 means no leader.
    pub(crate) fn lead(&mut self, id: i32) {
        self.leader = id;
        self.leader_epoch = self.leader_epoch.saturating_add(1);
        if id >= 0 && !self.isr.contains(&id) {
            // Only an unclean election chooses this broker.
            self.isr = vec![id];
        }
    }

    /// Adds in-sync replicas. They keep the order of the replicas.
    fn sync(&mut self, ids: &[i32]) {
        let isr = std::mem::take(&mut self.isr);
        self.isr = self.replicas.iter().copied().filter(|id| isr.contains(id) || ids.contains(id)).collect();
    }
}

impl Topics {
    /// Changes partitions, and checks the fetches that wait for a changed partition.
    fn change(&mut self, controller: i32, mut change: impl FnMut(&mut Partition, bool) -> bool) {
        let mut changed = Vec::new();
        for topic in self.iter_mut() {
            let unclean = topic.settings.on(controller).unclean_leader_election;
            for (index, partition) in topic.partitions.iter_mut().enumerate() {
                if change(partition, unclean) {
                    changed.push((topic.id, index as i32));
                }
            }
        }
        changed.into_iter().for_each(|(id, index)| self.touch(id, index));
    }
}

impl Cluster {
    fn ids_up(&self) -> Vec<i32> {
        self.live_brokers().map(|broker| broker.id).collect()
    }

    /// Stops a broker. Other brokers become leaders and coordinators in its place.
    pub(crate) fn broker_down(&mut self, id: i32) {
        if !self.set_up(id, false) {
            return;
        }
        let (up, controller) = (self.ids_up(), self.controller());
        for topics in [&mut self.topics, &mut self.dormant] {
            topics.change(controller, |partition, unclean| partition.broker_down(id, &up, unclean));
        }
    }

    /// Starts a stopped broker, which becomes the leader of partitions without a leader.
    pub(crate) fn broker_up(&mut self, id: i32) {
        if !self.set_up(id, true) {
            return;
        }
        let (up, controller) = (self.ids_up(), self.controller());
        for topics in [&mut self.topics, &mut self.dormant] {
            topics.change(controller, |partition, _| {
                let changed = partition.broker_up(id);
                if changed && partition.leader == id {
                    // The other running replicas were only waiting for a leader.
                    partition.sync(&up);
                }
                changed
            });
        }
    }

    /// Makes a broker the leader of a partition, or returns the reason why it cannot be. If it has no replica, it replaces the
    /// old leader as a replica.
    pub(crate) fn move_leader(&mut self, topic: &str, index: i32, broker: i32) -> Result<(), String> {
        if !self.is_up(broker) {
            return Err(format!("there is no broker {broker} that is up"));
        }
        self.reveal(topic);
        let Some(topic) = self.topics.get_mut(topic) else { return Err("there is no such topic".to_owned()) };
        let (id, count) = (topic.id, topic.partitions.len());
        let Some(partition) = topic.partition_mut(index) else {
            return Err(format!("the topic has {count} partitions"));
        };
        if partition.leader == broker {
            return Ok(());
        }
        if !partition.replicas.contains(&broker) {
            let leader = partition.leader;
            let place = partition.replicas.iter().position(|replica| *replica == leader).unwrap_or(0);
            let gone = std::mem::replace(&mut partition.replicas[place], broker);
            partition.isr.retain(|replica| *replica != gone);
        }
        if !partition.isr.contains(&broker) {
            partition.isr.push(broker);
        }
        partition.lead(broker);
        partition.sync(&[]);
        self.topics.touch(id, index);
        Ok(())
    }

    fn set_up(&mut self, id: i32, up: bool) -> bool {
        let broker = self.brokers.iter_mut().find(|broker| broker.id == id && broker.up != up);
        broker.map(|broker| broker.up = up).is_some()
    }
}

/// The types of leader elections, with their numbers in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Election {
    Preferred,
    Unclean,
}

impl Cluster {
    /// Elects the preferred replica, or, if a partition has no leader, any running replica.
    pub(crate) fn elect(&mut self, topic: &str, index: i32, election: Election) -> Result<(), ApiError> {
        let missing = |message: String| ApiError::new(ResponseError::UnknownTopicOrPartition, message);
        let up = self.ids_up();
        let Some(found) = self.topics.get_mut(topic) else { return Err(missing(format!("No such topic as {topic}"))) };
        let id = found.id;
        let Some(partition) = found.partition_mut(index) else {
            return Err(missing(format!("No such partition as {topic}-{index}")));
        };
        let (needless, heir, unavailable) = match election {
            Election::Preferred => {
                let preferred = partition.replicas.first().copied();
                (
                    preferred == Some(partition.leader),
                    preferred.filter(|id| up.contains(id) && partition.isr.contains(id)),
                    ResponseError::PreferredLeaderNotAvailable,
                )
            }
            Election::Unclean => (
                partition.leader != -1,
                partition.isr.iter().chain(&partition.replicas).find(|id| up.contains(id)).copied(),
                ResponseError::EligibleLeadersNotAvailable,
            ),
        };
        if needless {
            return Err(ApiError::plain(ResponseError::ElectionNotNeeded));
        }
        partition.lead(heir.ok_or_else(|| ApiError::plain(unavailable))?);
        partition.sync(&up);
        self.topics.touch(id, index);
        Ok(())
    }

    /// Changes the replicas of a partition. `None` cancels a reassignment, which always fails because reassignments complete at
    /// once.
    pub(crate) fn reassign(
        &mut self,
        topic: &str,
        index: i32,
        replicas: Option<Vec<i32>>,
        may_change_number: bool,
    ) -> Result<(), ApiError> {
        let missing = |message: String| ApiError::new(ResponseError::UnknownTopicOrPartition, message);
        let Some(found) = self.topics.get(topic) else {
            return Err(missing(format!("Unable to find a topic named {topic}.")));
        };
        let Some(partition) = found.partition(index) else {
            return Err(missing(format!("Unable to find partition {topic}:{index}.")));
        };
        let Some(replicas) = replicas else { return Err(ResponseError::NoReassignmentInProgress.into()) };
        self.check_replicas(&replicas, None)?;
        let (had, has) = (partition.replicas.len(), replicas.len());
        if !may_change_number && had != has {
            let message = format!("The replication factor is changed from {had} to {has}");
            return Err(ApiError::new(ResponseError::InvalidReplicationFactor, message));
        }
        let up = self.ids_up();
        let Some(topic) = self.topics.get_mut(topic) else { return Ok(()) };
        let id = topic.id;
        let Some(partition) = topic.partition_mut(index) else { return Ok(()) };
        // Kafka waits for a running replica.
        if let Some(heir) = replicas.iter().copied().find(|id| up.contains(id)) {
            partition.isr = replicas.iter().copied().filter(|id| up.contains(id)).collect();
            partition.replicas = replicas;
            if !partition.isr.contains(&partition.leader) {
                partition.lead(heir);
                partition.sync(&up);
            }
            self.topics.touch(id, index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(partition: &Partition) -> (i32, i32, &[i32]) {
        (partition.leader, partition.leader_epoch, &partition.isr)
    }

    #[test]
    fn another_replica_in_sync_leads_when_the_leader_goes() {
        let mut partition = Partition::new(vec![1, 2, 3]);
        assert!(partition.broker_down(1, &[2, 3], false));
        assert_eq!(state(&partition), (2, 1, &[2, 3][..]));
        assert!(partition.broker_down(3, &[2], false));
        assert_eq!(state(&partition), (2, 1, &[2][..]));
        assert!(partition.broker_up(1));
        assert_eq!(state(&partition), (2, 1, &[1, 2][..]));
        assert!(!partition.broker_down(9, &[], false));
    }

    #[test]
    fn the_last_in_sync_is_waited_for() {
        let mut partition = Partition::new(vec![1, 2]);
        partition.broker_down(1, &[2], false);
        partition.broker_down(2, &[], false);
        assert_eq!(state(&partition), (-1, 2, &[2][..]));
        assert!(!partition.broker_up(1), "it is not in sync");
        assert!(partition.broker_up(2));
        assert_eq!(state(&partition), (2, 3, &[2][..]));
    }

    #[test]
    fn an_unclean_election_takes_any_replica() {
        let mut partition = Partition::new(vec![1, 2]);
        partition.broker_down(2, &[1], true);
        partition.broker_up(2);
        partition.isr = vec![1];
        partition.broker_down(1, &[2], true);
        assert_eq!(state(&partition), (2, 1, &[2][..]));
    }
}
