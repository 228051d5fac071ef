//! Reads a topic's id and its number of partitions.

use std::ffi::{CString, c_char};

use rdkafka::bindings as rdsys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::codes;
use super::native::{self, Native};
use crate::sync::wait::Deadline;

/// A topic with a leader for every partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Described {
    /// Nil if the broker does not support topic ids.
    pub(super) id: Uuid,
    pub(super) partitions: i32,
}

/// Describes a topic in one request. Does not create the topic.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    deadline: Deadline,
) -> Result<Described, KafkaError> {
    let name = CString::new(topic)?;
    let mut pointers: [*const c_char; 1] = [name.as_ptr()];
    // SAFETY: an array of names that end with a 0. The call copies them. The collection is ours to destroy.
    let collection = unsafe {
        Native::own(
            rdsys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            rdsys::rd_kafka_TopicCollection_destroy,
        )?
    };
    let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let response = native::request(client, operation, deadline, |client, options, queue| {
        // SAFETY: all handles are alive. The call copies the topics' names.
        unsafe { rdsys::rd_kafka_DescribeTopics(client, collection.as_ptr(), options, queue) }
    })?;
    // SAFETY: everything that is read belongs to the event, which is alive. The result is null if the event is of another kind.
    // Each array has `count` elements.
    unsafe {
        let result = rdsys::rd_kafka_event_DescribeTopics_result(response.as_ptr());
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let descriptions = rdsys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        match count {
            0 => Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage)),
            _ => described(*descriptions),
        }
    }
}

/// Reads one description. Returns an error if a partition has no leader.
///
/// # Safety
/// `description` is alive.
unsafe fn described(description: *const rdsys::rd_kafka_TopicDescription_t) -> Result<Described, KafkaError> {
    // SAFETY: everything that the accessors return belongs to the description. The array of partitions has `count` elements.
    unsafe {
        codes::of_error(rdsys::rd_kafka_TopicDescription_error(description))?;
        let id = rdsys::rd_kafka_TopicDescription_topic_id(description);
        let id = match id.is_null() {
            true => Uuid::nil(),
            false => Uuid::from_u64_pair(
                rdsys::rd_kafka_Uuid_most_significant_bits(id) as u64,
                rdsys::rd_kafka_Uuid_least_significant_bits(id) as u64,
            ),
        };
        let mut count = 0;
        let partitions = rdsys::rd_kafka_TopicDescription_partitions(description, &mut count);
        let has_leader = |at| !rdsys::rd_kafka_TopicPartitionInfo_leader(*partitions.add(at)).is_null();
        match count {
            0 => Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition)),
            _ if (0..count).all(has_leader) => Ok(Described { id, partitions: count as i32 }),
            _ => Err(KafkaError::AdminOp(RDKafkaErrorCode::LeaderNotAvailable)),
        }
    }
}
