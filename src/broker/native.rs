//! Admin requests that rdkafka does not wrap: sent, waited for, and what they allocate given back.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

use rdkafka::bindings as rdsys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::codes;
use crate::sync::wait::Deadline;

/// A native object that is destroyed with its owner.
pub(super) struct Native<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Native<T> {
    /// # Safety
    /// `pointer` is null or an object of the caller's that `destroy` destroys.
    pub(super) unsafe fn own(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        let pointer = NonNull::new(pointer).ok_or(KafkaError::AdminOp(RDKafkaErrorCode::CriticalSystemResource))?;
        Ok(Self { pointer, destroy })
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Native<T> {
    fn drop(&mut self) {
        // SAFETY: by `own`'s contract the object is ours and `destroy` destroys it; this happens once.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

pub(super) type Reply = Native<rdsys::rd_kafka_event_t>;

/// Sends an admin request and waits for its answer, which comes by the deadline at the latest.
pub(super) fn ask<C: ClientContext>(
    client: &Client<C>,
    operation: rdsys::rd_kafka_admin_op_t,
    deadline: Deadline,
    send: impl FnOnce(*mut rdsys::rd_kafka_t, *const rdsys::rd_kafka_AdminOptions_t, *mut rdsys::rd_kafka_queue_t),
) -> Result<Reply, KafkaError> {
    let millis = i32::try_from(deadline.remaining().as_millis()).unwrap_or(i32::MAX).max(1);
    let mut message: [c_char; 256] = [0; 256];
    let client = client.native_ptr();
    // SAFETY: the client's handle is alive as long as the client, which is borrowed. Queue and options are ours and destroyed after the answer has come:
    // the request's own timeout brings one in any case. The message buffer is writable for its length.
    unsafe {
        let queue = Native::own(rdsys::rd_kafka_queue_new(client), rdsys::rd_kafka_queue_destroy)?;
        let options =
            Native::own(rdsys::rd_kafka_AdminOptions_new(client, operation), rdsys::rd_kafka_AdminOptions_destroy)?;
        rdsys::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), millis, message.as_mut_ptr(), message.len());
        send(client, options.as_ptr(), queue.as_ptr());
        let event = rdsys::rd_kafka_queue_poll(queue.as_ptr(), millis.saturating_add(500));
        let reply = Native::own(event, rdsys::rd_kafka_event_destroy)
            .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
        codes::of_event(reply.as_ptr()).map(|()| reply)
    }
}

/// # Safety
/// `pointer` is null or a string that ends with a 0.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
