//! Where this package's own tests have the process die, between two steps that a kill must be able to come between.

/// Kills this process here if `LEDGER_FAULT` says so: `written` for the first time that it passes, `written:3` for the
/// third. A user's build does not look at it.
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
        // SAFETY: it sends this process a signal and touches no memory.
        unsafe {
            libc::kill(std::process::id() as libc::pid_t, libc::SIGKILL);
        }
        std::process::abort();
    }
}

#[cfg(not(feature = "__internal"))]
pub(crate) fn point(_: &str) {}
