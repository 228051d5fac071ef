//! What a topic is now: which of those that had its name, and with how many partitions.

use std::ffi::{CString, c_char};

use rdkafka::bindings as rdsys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::codes;
use super::native::{self, Native};
use crate::sync::wait::Deadline;

/// A topic of which every partition has a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Described {
    /// Nil where the broker gives its topics no ids.
    pub(super) id: Uuid,
    pub(super) partitions: i32,
}

/// Asks what the topic is, in one request, which does not create it.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    deadline: Deadline,
) -> Result<Described, KafkaError> {
    let name = CString::new(topic)?;
    let mut pointers: [*const c_char; 1] = [name.as_ptr()];
    // SAFETY: an array of names that end with a 0, all of which are copied; the collection is ours to destroy.
    let collection = unsafe {
        Native::own(
            rdsys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            rdsys::rd_kafka_TopicCollection_destroy,
        )?
    };
    let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let reply = native::ask(client, operation, deadline, |client, options, queue| {
        // SAFETY: all handles are alive; the topics' names are copied.
        unsafe { rdsys::rd_kafka_DescribeTopics(client, collection.as_ptr(), options, queue) }
    })?;
    // SAFETY: what is read belongs to the event, which is alive and checked for its kind (null result). Each array has as many
    // elements as is said with it.
    unsafe {
        let result = rdsys::rd_kafka_event_DescribeTopics_result(reply.as_ptr());
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

/// # Safety
/// `description` is one that is alive.
unsafe fn described(description: *const rdsys::rd_kafka_TopicDescription_t) -> Result<Described, KafkaError> {
    // SAFETY: what the accessors return belongs to the description; the partitions are as many as is said with them.
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
