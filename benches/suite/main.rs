//! The same 200 cases written four ways. Each module is a suite as people write it; the `suites` benchmark runs each as a
//! test binary, with a filter. They are ignored elsewhere: three of the ways leave their topics on the cluster.
#![allow(missing_docs, reason = "a benchmark has no callers")]

#[path = "../common/mod.rs"]
mod common;

mod fresh_assign;
mod fresh_group;
mod ours;
mod plain;
mod shared;
mod tally;
