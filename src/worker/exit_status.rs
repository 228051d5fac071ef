//! With what status this process ends: a test that returns an `Err` of any type shows in nothing else.
//!
//! Only where the C library tells its exit handlers. Elsewhere a failure that is not a panic is seen through
//! [`TestResult`](crate::TestResult) alone.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

static STATUS: AtomicI32 = AtomicI32::new(0);

/// Whether nothing has said that this process ends with a failure.
pub(crate) fn is_success() -> bool {
    STATUS.load(Ordering::SeqCst) == 0
}

/// Has the status noted before the exit handlers that were registered until now run.
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
        fn on_exit(note: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn note(status: c_int, _: *mut c_void) {
        STATUS.store(status, Ordering::SeqCst);
    }

    pub(super) fn watch() {
        // SAFETY: the signature is glibc's; the function takes no argument of ours, does not unwind, and is part of the
        // binary, which is not unloaded while tests run.
        unsafe {
            on_exit(note, std::ptr::null_mut());
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod system {
    pub(super) fn watch() {}
}
