//! Producer ids and transactions: what a transactional producer is answered, and what readers see of it.

mod client;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod failures;
mod fencing;
mod librdkafka;
mod lists;
mod markers;
mod named_twice;
mod offsets;
mod producer_ids;
mod services;
mod timeouts;
mod writes;
