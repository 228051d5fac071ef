//! The exit status of this process. It is the only sign of a test that returns an `Err` of any type.
//!
//! Only glibc passes the status to exit handlers. On other systems, a failure that is not a panic is noticed only through
//! [`TestResult`](crate::TestResult).

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

static STATUS: AtomicI32 = AtomicI32::new(0);

/// Whether the exit status is 0 or not known yet.
pub(crate) fn is_success() -> bool {
    STATUS.load(Ordering::SeqCst) == 0
}

/// Registers an exit handler that records the status. It runs before the handlers that are already registered.
pub(crate) fn watch() {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if !WATCHING.swap(true, Ordering::SeqCst) {
        system::watch();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system {
    use super::*;
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn on_exit(record: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn record(status: c_int, _: *mut c_void) {
        STATUS.store(status, Ordering::SeqCst);
    }

    pub(super) fn watch() {
        // SAFETY: the signature is glibc's. The handler does not use its argument and does not unwind. It is part of the
        // binary, which is not unloaded while tests run.
        unsafe {
            on_exit(record, std::ptr::null_mut());
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod system {
    pub(super) fn watch() {}
}
