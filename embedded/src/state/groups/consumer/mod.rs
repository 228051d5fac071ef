//! Consumer groups (KIP-848): the broker assigns the partitions, and moves them one by one.

mod assignors;
mod classic;
mod embedded;
mod group;
mod heartbeat;
mod member;
mod migration;
mod pattern;
mod refusal;
mod request;
mod update;

pub(crate) use self::group::{ConsumerGroup, Settings};
pub(crate) use self::heartbeat::Beat;
pub(crate) use self::member::{Assignment, LEAVE_FOR_A_WHILE, Member};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::request::Heartbeat;
