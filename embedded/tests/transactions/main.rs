//! Producer ids and transactions: the responses to a transactional producer, and the view of readers.

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
