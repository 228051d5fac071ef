//! librdkafka's codes, read as the integers that they are.
//!
//! The bindings declare C's enums as Rust enums, for which any value that they do not list is undefined behaviour. librdkafka
//! passes on whatever code a broker sends, also one that is newer than itself.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr;

use rdkafka::bindings as rdsys;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

unsafe extern "C" {
    fn rd_kafka_event_error(event: *mut rdsys::rd_kafka_event_t) -> c_int;
    fn rd_kafka_error_code(error: *const rdsys::rd_kafka_error_t) -> c_int;
    fn rd_kafka_ConsumerGroupDescription_state(group: *const rdsys::rd_kafka_ConsumerGroupDescription_t) -> c_uint;
    fn rd_kafka_consumer_group_state_name(state: c_uint) -> *const c_char;
}

/// What a code says: nothing, or an error, which is `Unknown` where the bindings do not list it.
fn outcome(code: c_int) -> Result<(), KafkaError> {
    match rdsys::rd_kafka_resp_err_t::try_from(code) {
        Ok(rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR) => Ok(()),
        Ok(error) => Err(KafkaError::AdminOp(error.into())),
        Err(_) => Err(KafkaError::AdminOp(RDKafkaErrorCode::Unknown)),
    }
}

/// # Safety
/// `event` is alive.
pub(super) unsafe fn of_event(event: *mut rdsys::rd_kafka_event_t) -> Result<(), KafkaError> {
    // SAFETY: by contract; C's enum is returned as an `int`.
    outcome(unsafe { rd_kafka_event_error(event) })
}

/// # Safety
/// `error` is null, which is none, or alive.
pub(super) unsafe fn of_error(error: *const rdsys::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by contract; C's enum is returned as an `int`.
    outcome(unsafe { rd_kafka_error_code(error) })
}

/// # Safety
/// `element` is alive.
pub(super) unsafe fn of_partition(element: *const rdsys::rd_kafka_topic_partition_t) -> Result<(), KafkaError> {
    // SAFETY: by contract; the field is never read as the enum that it is declared as, which has an `i32`'s layout.
    outcome(unsafe { ptr::addr_of!((*element).err).cast::<i32>().read() })
}

/// The name of a group's state; null for one that librdkafka does not know.
///
/// # Safety
/// `group` is alive.
pub(super) unsafe fn state_name(group: *const rdsys::rd_kafka_ConsumerGroupDescription_t) -> *const c_char {
    // SAFETY: by contract; C's enum is returned and taken as an `unsigned int`, and the name is a constant.
    unsafe { rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_the_bindings_do_not_list_is_an_error_like_others() {
        assert_eq!(outcome(0), Ok(()));
        assert_eq!(outcome(68), Err(KafkaError::AdminOp(RDKafkaErrorCode::NonEmptyGroup)));
        for unlisted in [32_000, -32_000, c_int::MAX] {
            assert_eq!(outcome(unlisted), Err(KafkaError::AdminOp(RDKafkaErrorCode::Unknown)));
        }
    }
}
