//! Requests about groups that rdkafka does not wrap. One client sends them for all groups.

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rdsys;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::coordinators::CoordinatorClient;
use super::native::{self, Native, text};
use super::{Control, codes};
use crate::model::error::Result;
use crate::model::error::codes::{code_of, is_passing, is_unknown_topic};
use crate::sync::wait::Deadline;

/// A partition of a topic with an offset: a fence, or a group's committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// `None`: the group has no committed offset.
    pub(crate) offset: Option<i64>,
}

/// A partition with its offset in the response, or with an error.
type PartitionOutcome = (PartitionOffset, Result<(), KafkaError>);

/// The state of a group, and a line for each member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupDescription {
    pub(crate) state: String,
    pub(crate) members: Vec<String>,
}

impl Control {
    /// Commits offsets for a group without members. This creates the group if it does not exist.
    pub(crate) fn commit_for(&self, group: &str, offsets: &[PartitionOffset], deadline: Deadline) -> Result<()> {
        let failed = |error| self.failed(format!("commit the fence of group {group:?}"), error);
        let committed = self.retrying(deadline, |client| client.alter_offsets(group, offsets, deadline))?;
        committed.map_err(failed)?.into_iter().try_for_each(|(_, error)| error).map_err(failed)
    }

    /// Returns the committed offsets of a group for the partitions, in their order.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: &[PartitionOffset],
        deadline: Deadline,
    ) -> Result<Vec<PartitionOffset>> {
        let failed = |error| self.failed(format!("read the committed offsets of group {group:?}"), error);
        let listed =
            self.retrying(deadline, |client| client.list_offsets(group, partitions, deadline))?.map_err(failed)?;
        partitions
            .iter()
            .map(|wanted| {
                let same =
                    |(found, _): &&PartitionOutcome| found.topic == wanted.topic && found.partition == wanted.partition;
                match listed.iter().find(same) {
                    Some((_, Err(error))) => Err(failed(error.clone())),
                    Some((found, Ok(()))) => Ok(found.clone()),
                    None => Ok(PartitionOffset { offset: None, ..wanted.clone() }),
                }
            })
            .collect()
    }

    /// Returns the state and the members of a group.
    pub(crate) fn describe_group(&self, group: &str, deadline: Deadline) -> Result<GroupDescription> {
        self.coordinators
            .client()?
            .describe(group, deadline)
            .map_err(|error| self.failed(format!("describe group {group:?}"), error))
    }

    /// Retries a call until the deadline if the call or one of its partitions fails temporarily: the coordinator is being found,
    /// loads or moves, or does not know the topic yet.
    fn retrying(
        &self,
        deadline: Deadline,
        mut call: impl FnMut(&CoordinatorClient) -> Result<Vec<PartitionOutcome>, KafkaError>,
    ) -> Result<Result<Vec<PartitionOutcome>, KafkaError>> {
        loop {
            let client = self.coordinators.client()?;
            let outcome = call(&client);
            let codes: Vec<RDKafkaErrorCode> = match &outcome {
                Ok(outcomes) => {
                    outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).filter_map(code_of).collect()
                }
                Err(error) => code_of(error).into_iter().collect(),
            };
            let is_temporary = codes.iter().any(|code| is_passing(*code) || is_unknown_topic(*code));
            if !is_temporary || deadline.has_passed() {
                return Ok(outcome);
            }
            if codes.contains(&RDKafkaErrorCode::NotCoordinator) {
                self.coordinators.renew(&client);
            }
            deadline.pause(Duration::from_millis(20));
        }
    }
}

impl CoordinatorClient {
    fn alter_offsets(
        &self,
        group: &str,
        offsets: &[PartitionOffset],
        deadline: Deadline,
    ) -> Result<Vec<PartitionOutcome>, KafkaError> {
        let group = CString::new(group)?;
        let list = native_list(offsets)?;
        let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
        // SAFETY: the call copies the group's name and the list, which outlive it. The request is ours to destroy.
        let request = unsafe {
            Native::own(
                rdsys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.ptr()),
                rdsys::rd_kafka_AlterConsumerGroupOffsets_destroy,
            )?
        };
        let response = native::request(self.client(), operation, deadline, |client, options, queue| {
            // SAFETY: all handles are alive; an array of one request.
            unsafe { rdsys::rd_kafka_AlterConsumerGroupOffsets(client, &mut request.as_ptr(), 1, options, queue) }
        })?;
        // SAFETY: everything that is read belongs to the event, which is alive. The result is null if the event is of another kind.
        unsafe {
            let result = rdsys::rd_kafka_event_AlterConsumerGroupOffsets_result(response.as_ptr());
            if result.is_null() {
                return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
            }
            let mut count = 0;
            let groups = rdsys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &mut count);
            group_offsets(groups, count)
        }
    }

    fn list_offsets(
        &self,
        group: &str,
        partitions: &[PartitionOffset],
        deadline: Deadline,
    ) -> Result<Vec<PartitionOutcome>, KafkaError> {
        let group = CString::new(group)?;
        let list = native_list(partitions)?;
        let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        // SAFETY: as in `alter_offsets`.
        let request = unsafe {
            Native::own(
                rdsys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.ptr()),
                rdsys::rd_kafka_ListConsumerGroupOffsets_destroy,
            )?
        };
        let response = native::request(self.client(), operation, deadline, |client, options, queue| {
            // SAFETY: all handles are alive; an array of one request.
            unsafe { rdsys::rd_kafka_ListConsumerGroupOffsets(client, &mut request.as_ptr(), 1, options, queue) }
        })?;
        // SAFETY: as in `alter_offsets`.
        unsafe {
            let result = rdsys::rd_kafka_event_ListConsumerGroupOffsets_result(response.as_ptr());
            if result.is_null() {
                return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
            }
            let mut count = 0;
            let groups = rdsys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            group_offsets(groups, count)
        }
    }

    fn describe(&self, group: &str, deadline: Deadline) -> Result<GroupDescription, KafkaError> {
        let group = CString::new(group)?;
        let operation = rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let response = native::request(self.client(), operation, deadline, |client, options, queue| {
            // SAFETY: all handles are alive; an array of one name, which is copied.
            unsafe { rdsys::rd_kafka_DescribeConsumerGroups(client, &mut group.as_ptr(), 1, options, queue) }
        })?;
        // SAFETY: everything that is read belongs to the event, which is alive. Each pointer is checked or documented as non-null.
        unsafe {
            let result = rdsys::rd_kafka_event_DescribeConsumerGroups_result(response.as_ptr());
            let mut count = 0;
            let groups = match result.is_null() {
                true => ptr::null_mut(),
                false => rdsys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count),
            };
            if count == 0 {
                return Err(KafkaError::AdminOp(RDKafkaErrorCode::GroupIdNotFound));
            }
            let description = *groups;
            codes::of_error(rdsys::rd_kafka_ConsumerGroupDescription_error(description))?;
            let members = (0..rdsys::rd_kafka_ConsumerGroupDescription_member_count(description))
                .map(|member| describe_member(rdsys::rd_kafka_ConsumerGroupDescription_member(description, member)))
                .collect();
            Ok(GroupDescription { state: text(codes::state_name(description)), members })
        }
    }
}

fn native_list(partitions: &[PartitionOffset]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for PartitionOffset { topic, partition, offset } in partitions {
        match offset {
            Some(offset) => list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?,
            None => drop(list.add_partition(topic, *partition)),
        }
    }
    Ok(list)
}

/// Reads the partitions of the first result.
///
/// # Safety
/// `groups` is an array of `count` results that are alive.
unsafe fn group_offsets(
    groups: *mut *const rdsys::rd_kafka_group_result_t,
    count: usize,
) -> Result<Vec<PartitionOutcome>, KafkaError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: there is at least one result. Its partitions belong to it, and the list has `cnt` elements.
    unsafe {
        codes::of_error(rdsys::rd_kafka_group_result_error(*groups))?;
        let list = rdsys::rd_kafka_group_result_partitions(*groups);
        if list.is_null() || (*list).cnt == 0 {
            return Ok(Vec::new());
        }
        let outcome = |at| {
            let element = (*list).elems.add(at);
            let (partition, offset) = ((*element).partition, (*element).offset);
            let offset = (offset >= 0).then_some(offset);
            (PartitionOffset { topic: text((*element).topic), partition, offset }, codes::of_partition(element))
        };
        Ok((0..(*list).cnt as usize).map(outcome).collect())
    }
}

/// Describes a member in one line: its client id, host and partitions.
///
/// # Safety
/// `member` is null or a description that is alive.
unsafe fn describe_member(member: *const rdsys::rd_kafka_MemberDescription_t) -> String {
    if member.is_null() {
        return String::new();
    }
    // SAFETY: everything that the accessors return belongs to the member. The list has `cnt` elements.
    unsafe {
        let mut line = format!(
            "{} at {}",
            text(rdsys::rd_kafka_MemberDescription_client_id(member)),
            text(rdsys::rd_kafka_MemberDescription_host(member))
        );
        let assignment = rdsys::rd_kafka_MemberDescription_assignment(member);
        let list = match assignment.is_null() {
            true => ptr::null(),
            false => rdsys::rd_kafka_MemberAssignment_partitions(assignment),
        };
        if !list.is_null() && (*list).cnt > 0 {
            for at in 0..(*list).cnt as usize {
                let element = (*list).elems.add(at);
                line.push_str(&format!(", {} [{}]", text((*element).topic), (*element).partition));
            }
        } else {
            line.push_str(", no partition");
        }
        line
    }
}
