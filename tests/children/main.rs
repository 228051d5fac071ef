//! The children of other tests: those run them in a process of their own and read what they did. See `tests/common/child.rs`.
//!
//! Many of them fail, hang or end their process, so they are no tests of a user's run: `cargo test` leaves this target out, and
//! their parents have cargo build it. Each module is named after the test file of its parents.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod cluster_faults;
mod cluster_secure;
mod failure_report;
mod faults;
mod group_process;
mod report;
mod rule_1;
mod rule_10;
mod rule_3;
#[cfg(unix)]
mod rule_4;
#[cfg(unix)]
mod rule_5;
mod rule_6;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod rule_8;

/// None of them passes where nobody reads it.
#[ctor::ctor(unsafe)]
fn only_for_their_parents() {
    if !common::child::is_child() {
        eprintln!(
            "These tests are parts of others, which run them in a process of their own: run `cargo test` for those."
        );
        std::process::exit(1);
    }
}
