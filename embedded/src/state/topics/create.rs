//! Creation, growth and deletion of topics, as in Kafka's controller.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::names::{check_name, collision_key};
use super::placement::place;
use super::{Topic, Topics};
use crate::state::Cluster;
use crate::state::api_error::ApiError;
use crate::state::configs::topic;

/// The maximum number of partitions that one request may create.
pub(crate) const MOST_PARTITIONS: i64 = 10_000;

/// A topic to create.
#[derive(Debug, Default)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// The number of partitions, or -1 for the broker's default.
    pub(crate) partitions: i32,
    /// The replication factor, or -1 for the broker's default.
    pub(crate) replication: i16,
    /// The replicas of each partition, if the client assigns them.
    pub(crate) assignments: Vec<(i32, Vec<i32>)>,
    pub(crate) config: Vec<(String, Option<String>)>,
}

/// A valid topic, with everything that is needed to create it.
#[derive(Debug)]
pub(crate) struct Plan {
    name: String,
    replicas: Vec<Vec<i32>>,
    config: BTreeMap<String, String>,
}

impl Plan {
    /// Refuses a request for more partitions than one request may create.
    pub(crate) fn too_many() -> ApiError {
        ApiError::new(ResponseError::PolicyViolation, "Excessively large number of partitions per request.")
    }

    pub(crate) fn replicas(self) -> Vec<Vec<i32>> {
        self.replicas
    }

    pub(crate) fn partitions(&self) -> usize {
        self.replicas.len()
    }

    pub(crate) fn replication(&self) -> usize {
        self.replicas.first().map_or(0, Vec::len)
    }

    pub(crate) fn config(&self) -> &BTreeMap<String, String> {
        &self.config
    }
}

impl Topics {
    /// Checks whether a new topic may have this name.
    fn check_new_name(&self, name: &str) -> Result<(), ApiError> {
        if self.get(name).is_some() {
            return Err(ApiError::new(ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if let Some(other) = collision_key(name).and_then(|key| self.colliding.get(&key)?.first()) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(ApiError::new(ResponseError::InvalidTopicException, message));
        }
        check_name(name).map_err(|message| ApiError::new(ResponseError::InvalidTopicException, message))
    }
}

impl Cluster {
    /// Checks a topic and places its partitions, without changing anything.
    pub(crate) fn plan_topic(&self, wanted: NewTopic) -> Result<Plan, ApiError> {
        self.topics.check_new_name(&wanted.name)?;
        let config = self.check_topic_config(wanted.config)?;
        let replicas = if wanted.assignments.is_empty() {
            self.place(wanted.partitions, wanted.replication)?
        } else {
            if wanted.replication != -1 {
                return Err(ApiError::new(
                    ResponseError::InvalidRequest,
                    "A manual partition assignment was specified, but replication factor was not set to -1.",
                ));
            }
            if wanted.partitions != -1 {
                return Err(ApiError::new(
                    ResponseError::InvalidRequest,
                    "A manual partition assignment was specified, but numPartitions was not set to -1.",
                ));
            }
            self.check_assignments(wanted.assignments)?
        };
        Ok(Plan { name: wanted.name, replicas, config })
    }

    /// Creates a planned topic. Returns its id.
    pub(crate) fn create_topic(&mut self, plan: Plan) -> Uuid {
        self.dormant.remove(&plan.name);
        let settings = self.configs.effective(&plan.config);
        let up: Vec<i32> = self.live_brokers().map(|broker| broker.id).collect();
        let topic = self.topics.add(&plan.name, plan.replicas, plan.config);
        topic.settings = settings;
        topic.partitions.iter_mut().for_each(|partition| partition.lead_by_live(&up));
        topic.id
    }

    /// Creates a topic that a client named in Metadata. It exists at once.
    ///
    /// # Errors
    /// Returns `INVALID_TOPIC_EXCEPTION` if the name is invalid. Otherwise returns `UNKNOWN_TOPIC_OR_PARTITION`: Kafka
    /// logs the reason, and the client only learns that the topic does not exist.
    pub(crate) fn create_automatically(&mut self, name: &str) -> Result<(), ResponseError> {
        if self.reveal(name) {
            return Ok(());
        }
        check_name(name).map_err(|_| ResponseError::InvalidTopicException)?;
        let topic = NewTopic { name: name.to_owned(), partitions: -1, replication: -1, ..NewTopic::default() };
        let plan = self.plan_topic(topic).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
        self.create_topic(plan);
        Ok(())
    }

    /// Deletes a topic, and everything that belongs to it elsewhere.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Option<Topic> {
        let deleted = self.topics.remove(name);
        self.groups.forget_topic(name);
        self.lay_out_internal();
        deleted
    }

    /// Adds partitions to a topic until it has `count`; with `apply` only, else it is checked only.
    pub(crate) fn create_partitions(
        &mut self,
        name: &str,
        count: i32,
        assignments: Option<Vec<Vec<i32>>>,
        apply: bool,
    ) -> Result<(), ApiError> {
        let topic = self.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let invalid = |message: String| Err(ApiError::new(ResponseError::InvalidPartitions, message));
        let has = topic.partitions.len();
        let additional = match usize::try_from(count) {
            Ok(count) if count == has => return invalid(format!("Topic already has {has} partition(s).")),
            Ok(count) if count > has => count - has,
            _ => {
                return invalid(format!(
                    "The topic {name} currently has {has} partition(s); {count} would not be an increase."
                ));
            }
        };
        let replication = topic.partitions.first().map_or(1, |partition| partition.replicas.len());
        let replicas = match assignments {
            // So many partitions do not fit in a batch of the controller's log.
            None if additional as i64 > MOST_PARTITIONS => return Err(ResponseError::UnknownServerError.into()),
            None => self.place(additional as i32, replication as i16)?,
            Some(assignments) => {
                let given = assignments.len();
                if given != additional {
                    let message = format!(
                        "Attempted to add {additional} additional partition(s), but only {given} assignment(s) were specified."
                    );
                    return Err(ApiError::new(ResponseError::InvalidReplicaAssignment, message));
                }
                for replicas in &assignments {
                    self.check_replicas(replicas, Some(replication))?;
                }
                assignments
            }
        };
        if apply {
            let up: Vec<i32> = self.live_brokers().map(|broker| broker.id).collect();
            self.topics.grow(name, replicas, &up);
        }
        Ok(())
    }

    fn place(&self, partitions: i32, replication: i16) -> Result<Vec<Vec<i32>>, ApiError> {
        if replication < -1 || replication == 0 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(ApiError::new(ResponseError::InvalidReplicationFactor, message));
        }
        if partitions < -1 || partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(ApiError::new(ResponseError::InvalidPartitions, message));
        }
        let or_default = |number: i64, name| if number == -1 { self.configs.broker_number(name) } else { number };
        let partitions = or_default(partitions.into(), "num.partitions");
        let replication = or_default(replication.into(), "default.replication.factor");
        let (up, down): (Vec<&_>, Vec<&_>) = self.brokers.iter().partition(|broker| broker.up);
        let refuse = |why: String| {
            let message = format!("Unable to replicate the partition {replication} time(s): {why}");
            Err(ApiError::new(ResponseError::InvalidReplicationFactor, message))
        };
        if up.is_empty() {
            return refuse("All brokers are currently fenced.".to_owned());
        }
        let brokers = self.brokers.len();
        if usize::try_from(replication).map_or(true, |replication| replication > brokers) {
            return refuse(format!(
                "The target replication factor of {replication} cannot be reached because only {brokers} broker(s) are \
                 registered."
            ));
        }
        if partitions > MOST_PARTITIONS {
            return Err(Plan::too_many());
        }
        let ids = |brokers: &[&crate::state::Broker]| brokers.iter().map(|broker| broker.id).collect::<Vec<i32>>();
        Ok(place(&ids(&up), &ids(&down), partitions as usize, replication as usize, self.topics.added()))
    }

    /// Returns the replicas that a client assigned to the partitions of a new topic, sorted by partition.
    fn check_assignments(&self, assignments: Vec<(i32, Vec<i32>)>) -> Result<Vec<Vec<i32>>, ApiError> {
        let invalid = |message: String| Err(ApiError::new(ResponseError::InvalidReplicaAssignment, message));
        let mut placed = BTreeMap::new();
        let mut replication = None;
        for (partition, replicas) in assignments {
            if placed.contains_key(&partition) {
                return invalid(format!("Found multiple manual partition assignments for partition {partition}"));
            }
            self.check_replicas(&replicas, replication)?;
            replication = Some(replicas.len());
            if !replicas.iter().any(|id| self.is_up(*id)) {
                return invalid(format!(
                    "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                     controlled shutdown."
                ));
            }
            placed.insert(partition, replicas);
        }
        if placed.keys().zip(0..).any(|(&partition, expected)| partition != expected) {
            return invalid("partitions should be a consecutive 0-based integer sequence".to_owned());
        }
        Ok(placed.into_values().collect())
    }

    /// Checks whether a partition may have these replicas.
    pub(crate) fn check_replicas(&self, replicas: &[i32], replication: Option<usize>) -> Result<(), ApiError> {
        let prefix = "The manual partition assignment includes";
        let invalid = |message: String| Err(ApiError::new(ResponseError::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return invalid(format!("{prefix} an empty replica list."));
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        for (n, id) in sorted.iter().enumerate() {
            if !self.brokers.iter().any(|broker| broker.id == *id) {
                return invalid(format!("{prefix} broker {id}, but no such broker is registered."));
            }
            if n > 0 && sorted[n - 1] == *id {
                return invalid(format!("{prefix} the broker {id} more than once."));
            }
        }
        let has = sorted.len();
        match replication.filter(|replication| *replication != has) {
            None => Ok(()),
            Some(expected) => invalid(format!(
                "{prefix} a partition with {has} replica(s), but this is not consistent with previous partitions, which \
                 have {expected} replica(s)."
            )),
        }
    }

    /// Checks the configuration of a new topic.
    fn check_topic_config(&self, config: Vec<(String, Option<String>)>) -> Result<BTreeMap<String, String>, ApiError> {
        let invalid = |message: String| ApiError::new(ResponseError::InvalidConfig, message);
        let nulls: Vec<&str> =
            config.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !nulls.is_empty() {
            return Err(invalid(format!("Null value not supported for topic configs: {}", nulls.join(","))));
        }
        let given: BTreeMap<String, String> =
            config.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        topic::check(&given, &self.configs).map_err(invalid)
    }
}
