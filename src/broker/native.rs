//! Admin requests that rdkafka does not wrap, and ownership of the native objects that they need.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

use rdkafka::bindings as rdsys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::codes;
use crate::sync::wait::Deadline;

/// An owned native object. Dropping it destroys the object.
pub(super) struct Native<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Native<T> {
    /// Takes ownership of a native object. Returns an error if the pointer is null.
    ///
    /// # Safety
    /// `pointer` is null or an object that the caller owns and `destroy` destroys.
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
        // SAFETY: by the contract of `own`, the object is ours and `destroy` destroys it. `drop` runs once.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

pub(super) type Response = Native<rdsys::rd_kafka_event_t>;

/// Sends an admin request and waits for the response until the deadline.
pub(super) fn request<C: ClientContext>(
    client: &Client<C>,
    operation: rdsys::rd_kafka_admin_op_t,
    deadline: Deadline,
    send: impl FnOnce(*mut rdsys::rd_kafka_t, *const rdsys::rd_kafka_AdminOptions_t, *mut rdsys::rd_kafka_queue_t),
) -> Result<Response, KafkaError> {
    let millis = i32::try_from(deadline.remaining().as_millis()).unwrap_or(i32::MAX).max(1);
    let mut message: [c_char; 256] = [0; 256];
    let client = client.native_ptr();
    // SAFETY: the client is borrowed, so its handle is alive. The queue and the options are ours, and are destroyed after the
    // response, which the request's own timeout guarantees. The message buffer is writable for its length.
    unsafe {
        let queue = Native::own(rdsys::rd_kafka_queue_new(client), rdsys::rd_kafka_queue_destroy)?;
        let options =
            Native::own(rdsys::rd_kafka_AdminOptions_new(client, operation), rdsys::rd_kafka_AdminOptions_destroy)?;
        rdsys::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), millis, message.as_mut_ptr(), message.len());
        send(client, options.as_ptr(), queue.as_ptr());
        let event = rdsys::rd_kafka_queue_poll(queue.as_ptr(), millis.saturating_add(500));
        let response = Native::own(event, rdsys::rd_kafka_event_destroy)
            .map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
        codes::of_event(response.as_ptr()).map(|()| response)
    }
}

/// Copies a C string. Null becomes the empty string.
///
/// # Safety
/// `pointer` is null or a string that ends with a 0.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
