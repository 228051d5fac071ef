//! Values that are never dropped, because their drop may block and the process is about to exit.

use std::sync::{Mutex, PoisonError};

/// A static instead of `mem::forget`, so that leak detectors do not report the values.
static KEPT: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

/// Keeps the value until the process exits.
pub(crate) fn keep(value: impl Send + 'static) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(value));
}
