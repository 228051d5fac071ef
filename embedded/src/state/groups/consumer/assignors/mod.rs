//! The server-side assignors.

mod mixed;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::member::Assignment;
use crate::state::{java_bucket, java_place, java_uuid_hash};

/// The assignors by name. The first is the default.
pub(crate) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// The input of an assignor about a member.
#[derive(Debug)]
pub(crate) struct MemberSpec<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// The existing topics that the member subscribes to.
    pub(crate) topics: BTreeSet<Uuid>,
    /// The previous target assignment.
    pub(crate) before: &'a Assignment,
}

/// The input of an assignor about a group.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    /// The members in the order in which Kafka would put them into a map. New members come last.
    pub(crate) members: Vec<MemberSpec<'a>>,
    /// The number of partitions of each topic.
    pub(crate) partitions: BTreeMap<Uuid, i32>,
    /// Whether all members are known to have the same subscription. If so, the assignor uses the topics of one member.
    pub(crate) is_homogeneous: bool,
}

/// Topics in the order of Kafka's map, which depends on their random ids.
fn in_map_order<'a>(topics: impl Iterator<Item = &'a Uuid>) -> Vec<Uuid> {
    let mut topics: Vec<Uuid> = topics.copied().collect();
    let size = topics.len();
    topics.sort_by_key(|topic| java_place(java_uuid_hash(*topic), size));
    topics
}

/// Returns the assignment of each member, by member id.
pub(crate) fn assign(assignor: &str, mut spec: Spec<'_>) -> HashMap<String, Assignment> {
    if spec.members.is_empty() {
        return HashMap::new();
    }
    // The order of the members in Kafka's map determines which members get one partition more.
    let size = spec.members.len();
    spec.members.sort_by_key(|member| java_bucket(member.id, size));
    let assignments = match assignor {
        "range" => range::assign(&spec),
        _ if spec.is_homogeneous => uniform::assign(&spec),
        _ => mixed::assign(&spec),
    };
    spec.members.iter().map(|member| member.id.to_owned()).zip(assignments).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn topic(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Creates an assignment of topics by number.
    pub(crate) fn assignment(topics: &[(u128, &[i32])]) -> Assignment {
        topics.iter().map(|(n, partitions)| (topic(*n), partitions.iter().copied().collect())).collect()
    }

    /// Assigns the partitions of topics by number. The members have their topics and previous assignments.
    pub(crate) fn run(
        assignor: &str,
        topics: &[(u128, i32)],
        members: &[(&str, &[u128], &Assignment)],
    ) -> BTreeMap<String, Assignment> {
        let is_homogeneous = members.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let members = members
            .iter()
            .map(|(id, topics, before)| MemberSpec {
                id,
                instance_id: None,
                topics: topics.iter().map(|n| topic(*n)).collect(),
                before,
            })
            .collect();
        let partitions = topics.iter().map(|(n, count)| (topic(*n), *count)).collect();
        assign(assignor, Spec { members, partitions, is_homogeneous }).into_iter().collect()
    }

    #[test]
    fn keys_are_in_the_order_of_javas_map() {
        let mut keys = ["member-1", "member-2", "a", "b", "zz", "é"];
        keys.sort_by_key(|key| java_bucket(key, 6));
        assert_eq!(keys, ["zz", "a", "b", "member-1", "member-2", "é"]);
    }
}
