//! Counts the allocations of Rust code, by thread and of the whole process; librdkafka's own are C's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

pub struct Counting;

thread_local! {
    static OF_THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that Rust code has and has not given back, once somebody wants to know: one counter for all threads is one that
/// they all wait for.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static COUNTS_LIVE: AtomicBool = AtomicBool::new(false);

fn note(bytes: isize) {
    if COUNTS_LIVE.load(Ordering::Relaxed) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
    }
    // A thread that is ending has no locals any more, and nobody counts its allocations.
    let _ = OF_THREAD.try_with(|count| count.set(count.get() + u64::from(bytes > 0)));
}

// SAFETY: all is left to the system's allocator; the counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(-(layout.size() as isize));
        // One that is moved or grown is counted as one more.
        note(size as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How many allocations this thread makes meanwhile.
pub fn of_this_thread<T>(action: impl FnOnce() -> T) -> (T, u64) {
    let before = OF_THREAD.get();
    let value = action();
    (value, OF_THREAD.get() - before)
}

/// What of the bytes allocated from now on is still there at a later call.
pub fn count_live_bytes() {
    COUNTS_LIVE.store(true, Ordering::Relaxed);
}

pub fn live_bytes() -> isize {
    LIVE.load(Ordering::Relaxed)
}
