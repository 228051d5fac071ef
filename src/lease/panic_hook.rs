//! The panic hook, which marks the test of the panicking thread as failed.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::failure_report;
use super::held_lane;
use super::pending_reports::reports_of_this_thread;

static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Installs the hook once per process, at the first lease. The previous hook is called too.
///
/// The hook sees failures that a drop cannot see: a fixture that was moved to another thread or dropped early, or an
/// expired sync `#[timeout]`.
pub(super) fn install() {
    // A hook cannot be set while unwinding. The next lease installs it.
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
