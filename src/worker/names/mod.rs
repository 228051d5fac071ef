//! The names of a lease's topics and groups on the broker.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::broker::Shape;
use crate::model::error::{Error, Result};
use crate::model::ids::{RunId, WorkerId};
use crate::model::name_part::{NamePart, check_part};

/// Kafka's limit for topic names, in characters (`org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH`).
const LONGEST_NAME: usize = 249;

/// The parts of the names of one lease.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) topic_prefix: Arc<str>,
    pub(crate) group_prefix: Arc<str>,
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    pub(crate) generation: u32,
}

impl Names {
    /// Returns `{prefix}-{topic}-{worker_id}-{run_id}`, and appends `-f{generation}` after failures.
    pub(crate) fn topic(&self, logical: &str) -> Result<String> {
        self.topic_with(logical, "")
    }

    /// Returns the name of a topic whose shape differs from the worker's first topic of this name: the topic's name,
    /// `-p{partitions}`, and if set, `-r{replication factor}` and `-c{hash}` of the configuration.
    pub(crate) fn topic_in_shape(&self, logical: &str, shape: &Shape) -> Result<String> {
        let mut tag = format!("-p{}", shape.partitions);
        if let Some(factor) = shape.replication_factor {
            tag.push_str(&format!("-r{factor}"));
        }
        if !shape.config.is_empty() {
            // The hasher's keys are fixed, so other processes of the run compute the same name.
            let mut hasher = DefaultHasher::new();
            shape.config.hash(&mut hasher);
            tag.push_str(&format!("-c{:08x}", hasher.finish() as u32));
        }
        self.topic_with(logical, &tag)
    }

    /// Returns the name of an exclusive topic: the topic's name and `-x{n}`.
    pub(crate) fn exclusive_topic(&self, logical: &str, n: u64) -> Result<String> {
        self.topic_with(logical, &format!("-x{n}"))
    }

    fn topic_with(&self, logical: &str, suffix: &str) -> Result<String> {
        check_part(NamePart::Topic, logical)?;
        let Self { topic_prefix, worker_id, run_id, .. } = self;
        // Room for the longest generation, so that the name is the only allocation.
        let fixed = "---".len() + "-f4294967295".len();
        let length = topic_prefix.len() + logical.len() + worker_id.len() + run_id.len() + suffix.len() + fixed;
        let mut name = String::with_capacity(length);
        for part in [topic_prefix, "-", logical, "-", worker_id, "-", run_id] {
            name.push_str(part);
        }
        if self.generation > 0 {
            let _ = write!(name, "-f{}", self.generation);
        }
        name.push_str(suffix);
        self.check_length(
            &name,
            &[(NamePart::Topic, logical), (NamePart::TopicPrefix, topic_prefix), (NamePart::WorkerId, worker_id)],
        )?;
        Ok(name)
    }

    /// Returns the generation in a topic name, or `None` if the topic is exclusive.
    pub(crate) fn generation_of(topic: &str, run_id: &RunId) -> Option<u32> {
        let (_, rest) = topic.rsplit_once(&**run_id)?;
        let (generation, rest) = match rest.strip_prefix("-f") {
            None => (0, rest),
            Some(rest) => {
                let digits = rest.find('-').unwrap_or(rest.len());
                (rest[..digits].parse().ok()?, &rest[digits..])
            }
        };
        // The rest is empty, or a shape.
        (rest.is_empty() || rest.starts_with("-p")).then_some(generation)
    }

    /// Returns `{group_prefix}-{worker_id}-{run_id}-{topic}-{generation}`, and appends `-m{n}` after `n` groups that could not be
    /// reused because they had members.
    pub(crate) fn group(&self, logical: &str, left: u32) -> Result<String> {
        let Self { group_prefix, worker_id, run_id, generation, .. } = self;
        let mut name = format!("{group_prefix}-{worker_id}-{run_id}-{logical}-{generation}");
        if left > 0 {
            let _ = write!(name, "-m{left}");
        }
        self.check_length(
            &name,
            &[(NamePart::Topic, logical), (NamePart::GroupPrefix, group_prefix), (NamePart::WorkerId, worker_id)],
        )?;
        Ok(name)
    }

    /// Returns the name of a service's group: the group's own name in place of the topic, and `-{n}`, a new number for each
    /// group.
    pub(crate) fn service_group(&self, group: &str, n: u64) -> Result<String> {
        check_part(NamePart::Group, group)?;
        let Self { group_prefix, worker_id, run_id, generation, .. } = self;
        let name = format!("{group_prefix}-{worker_id}-{run_id}-{group}-{generation}-{n}");
        self.check_length(
            &name,
            &[(NamePart::Group, group), (NamePart::GroupPrefix, group_prefix), (NamePart::WorkerId, worker_id)],
        )?;
        Ok(name)
    }

    /// Returns an error if a name is too long. The error names the longest part, which should be shortened.
    fn check_length(&self, name: &str, parts: &[(NamePart, &str)]) -> Result<()> {
        if name.len() <= LONGEST_NAME {
            return Ok(());
        }
        let (part, value) = parts.iter().max_by_key(|(_, value)| value.len()).expect("each caller names its parts");
        let over = name.len() - LONGEST_NAME;
        Err(Error::Name {
            part: part.to_string(),
            value: (*value).to_owned(),
            reason: format!(
                "is {} characters long, {over} too many: {name:?} has {} and Kafka accepts {LONGEST_NAME}",
                value.len(),
                name.len()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;
    use rstest::rstest;

    fn names(generation: u32) -> Names {
        let environment = Environment::of([("NEXTEST_RUN_ID", "1a2b3c4d-0000-4000-8000-000000000000")]);
        Names {
            topic_prefix: "relay-test".into(),
            group_prefix: "test-consumer".into(),
            worker_id: WorkerId::detect(Some("main"), &environment).unwrap(),
            run_id: RunId::detect(&environment).unwrap(),
            generation,
        }
    }

    #[rstest]
    fn names_are_stable() {
        assert_eq!(names(0).topic("events").unwrap(), "relay-test-events-main-1a2b3c4d");
        assert_eq!(names(1).topic("events").unwrap(), "relay-test-events-main-1a2b3c4d-f1");
        assert_eq!(names(0).exclusive_topic("events", 4).unwrap(), "relay-test-events-main-1a2b3c4d-x4");
        assert_eq!(names(2).exclusive_topic("events", 4).unwrap(), "relay-test-events-main-1a2b3c4d-f2-x4");
        let shape = Shape { partitions: 6, replication_factor: Some(3), config: Vec::new() };
        assert_eq!(names(1).topic_in_shape("events", &shape).unwrap(), "relay-test-events-main-1a2b3c4d-f1-p6-r3");
        let compact =
            Shape { replication_factor: None, config: vec![("cleanup.policy".into(), "compact".into())], ..shape };
        let name = names(0).topic_in_shape("events", &compact).unwrap();
        assert!(name.starts_with("relay-test-events-main-1a2b3c4d-p6-c"), "{name}");
        assert_eq!(name, names(0).topic_in_shape("events", &compact).unwrap());
        assert_eq!(names(0).group("events", 0).unwrap(), "test-consumer-main-1a2b3c4d-events-0");
        assert_eq!(names(3).group("events", 0).unwrap(), "test-consumer-main-1a2b3c4d-events-3");
        assert_eq!(names(3).group("events", 2).unwrap(), "test-consumer-main-1a2b3c4d-events-3-m2");
        assert_eq!(names(3).service_group("billing", 9).unwrap(), "test-consumer-main-1a2b3c4d-billing-3-9");
        assert_eq!(names(1).topic("events").unwrap(), names(1).topic("events").unwrap());
        for generation in [0, 1, 12] {
            let generation_of = |topic: Result<String>| Names::generation_of(&topic.unwrap(), &names(0).run_id);
            assert_eq!(generation_of(names(generation).topic("events-1a2b3c4d-f7-x8")), Some(generation));
            assert_eq!(generation_of(names(generation).exclusive_topic("events", 4)), None);
            for replication_factor in [None, Some(3)] {
                let config = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
                let shape = Shape { partitions: 6, replication_factor, config };
                assert_eq!(generation_of(names(generation).topic_in_shape("events", &shape)), Some(generation));
            }
        }
    }

    #[rstest]
    #[case("", "is empty")]
    #[case("sp ace", "' '")]
    #[case("a/b", "'/'")]
    #[case("ümlaut", "'ü'")]
    #[case(".", "refused")]
    #[case("..", "refused")]
    #[case("nul\0", "'\\0'")]
    fn the_error_for_an_invalid_name_says_why(#[case] logical: &str, #[case] says: &str) {
        for refused in
            [names(0).topic(logical), names(0).exclusive_topic(logical, 0), names(0).service_group(logical, 0)]
        {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains(says) && message.contains(&format!("{logical:?}")), "{message}");
        }
    }

    #[rstest]
    fn the_error_for_a_long_name_names_the_part() {
        let rest = names(0).topic("x").unwrap().len() - 1;
        assert!(names(0).topic(&"t".repeat(249 - rest)).is_ok());
        let message = names(0).topic(&"t".repeat(250 - rest)).unwrap_err().to_string();
        assert!(message.starts_with("topic \"ttt") && message.contains("1 too many"), "{message}");
        let mut long_prefix = names(0);
        long_prefix.topic_prefix = "p".repeat(240).into();
        assert!(long_prefix.topic("events").unwrap_err().to_string().starts_with("topic prefix"));
    }
}
