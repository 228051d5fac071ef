//! Reads librdkafka's codes as integers.
//!
//! The bindings declare C's enums as Rust enums, for which an unlisted value is undefined behaviour. librdkafka passes on any
//! code that a broker sends, including codes that are newer than librdkafka.

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

/// Converts a code to a result. A code that the bindings do not list becomes `Unknown`.
fn outcome(code: c_int) -> Result<(), KafkaError> {
    match rdsys::rd_kafka_resp_err_t::try_from(code) {
        Ok(rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR) => Ok(()),
        Ok(error) => Err(KafkaError::AdminOp(error.into())),
        Err(_) => Err(KafkaError::AdminOp(RDKafkaErrorCode::Unknown)),
    }
}

/// Returns the error of an event.
///
/// # Safety
/// `event` is alive.
pub(super) unsafe fn of_event(event: *mut rdsys::rd_kafka_event_t) -> Result<(), KafkaError> {
    // SAFETY: by contract; C's enum is returned as an `int`.
    outcome(unsafe { rd_kafka_event_error(event) })
}

/// Converts an error object to a result. Null means no error.
///
/// # Safety
/// `error` is null or alive.
pub(super) unsafe fn of_error(error: *const rdsys::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by contract; C's enum is returned as an `int`.
    outcome(unsafe { rd_kafka_error_code(error) })
}

/// Returns the error of one partition in a list.
///
/// # Safety
/// `element` is alive.
pub(super) unsafe fn of_partition(element: *const rdsys::rd_kafka_topic_partition_t) -> Result<(), KafkaError> {
    // SAFETY: by contract. The field is declared as an enum with the layout of an `i32`, and is only read as an `i32`.
    outcome(unsafe { ptr::addr_of!((*element).err).cast::<i32>().read() })
}

/// Returns the name of a group's state, or null if librdkafka does not know the state.
///
/// # Safety
/// `group` is alive.
pub(super) unsafe fn state_name(group: *const rdsys::rd_kafka_ConsumerGroupDescription_t) -> *const c_char {
    // SAFETY: by contract. C's enum is passed as an `unsigned int`, and the name is a constant.
    unsafe { rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_code_is_an_unknown_error() {
        assert_eq!(outcome(0), Ok(()));
        assert_eq!(outcome(68), Err(KafkaError::AdminOp(RDKafkaErrorCode::NonEmptyGroup)));
        for unlisted in [32_000, -32_000, c_int::MAX] {
            assert_eq!(outcome(unlisted), Err(KafkaError::AdminOp(RDKafkaErrorCode::Unknown)));
        }
    }
}
