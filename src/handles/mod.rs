//! What a test holds: its `Kafka`, and the consumers, groups, topic names and faults that come from it.

pub(crate) mod consumer;
mod consumers;
pub(crate) mod faults;
pub(crate) mod group;
mod kafka;
pub(crate) mod mode;
mod send;
mod topic_names;

pub use self::consumers::Consumers;
pub use self::kafka::Kafka;
pub use self::topic_names::TopicNames;
