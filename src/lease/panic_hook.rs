//! The hook by which a panic is a failure of its thread's test.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::failure_report;
use super::held_lane;
use super::pending_reports::reports_of_this_thread;

static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Chains the hook, once per process, at its first lease.
///
/// The hook sees what a drop cannot: a fixture that was moved away or dropped early, an expired sync `#[timeout]`.
pub(super) fn install() {
    // A hook cannot be changed while unwinding; the next lease installs it.
    if thread::panicking() || IS_INSTALLED.swap(true, Ordering::SeqCst) {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        held_lane::this_thread_failed();
        previous(info);
        failure_report::print(&reports_of_this_thread());
    }));
}
