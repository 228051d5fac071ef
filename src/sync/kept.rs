//! What is never dropped, because its drop may block and the process is about to end.

use std::sync::{Mutex, PoisonError};

/// Not only forgotten: a leak detector takes what a static leads to for what it is.
static KEPT: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

/// Keeps the value to the end of the process.
pub(crate) fn keep(value: impl Send + 'static) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(value));
}
