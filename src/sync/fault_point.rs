//! Points at which this package's own tests kill the process, to test that a kill between two steps is harmless.

/// Kills this process if `LEDGER_FAULT` names this point: `written` the first time, `written:3` the third time.
///
/// Only builds with the feature `__internal` read the variable.
#[cfg(feature = "__internal")]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static FAULT: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let fault = FAULT.get_or_init(|| {
        let fault = std::env::var("LEDGER_FAULT").ok()?;
        let (name, time) = fault.split_once(':').unwrap_or((&fault, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    });
    if let Some((fault, time)) = fault
        && fault == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *time
    {
        #[cfg(unix)]
        // SAFETY: sends a signal to this process and accesses no memory.
        unsafe {
            libc::kill(std::process::id() as libc::pid_t, libc::SIGKILL);
        }
        std::process::abort();
    }
}

#[cfg(not(feature = "__internal"))]
pub(crate) fn point(_: &str) {}
