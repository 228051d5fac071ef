//! Snapshots of the broker's state, as plain values.

mod groups;
mod log;
mod server;
mod topics;
mod transactions;

pub use self::groups::{Group, GroupProtocol, Member};
pub use self::log::{Log, Marker, Record};
pub use self::server::{Connection, Rejection, Request};
pub use self::topics::{EndOffsets, Partition, Topic};
pub use self::transactions::{Transaction, TransactionState};
