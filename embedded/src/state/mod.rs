//! The state of a cluster: plain structs without sockets. They get the time as an argument.

pub(crate) mod acls;
pub(crate) mod api_error;
pub(crate) mod batch;
mod cleaner;
pub(crate) mod compression;
pub(crate) mod configs;
pub(crate) mod fetches;
pub(crate) mod groups;
pub(crate) mod internal;
pub(crate) mod leaders;
pub(crate) mod log;
#[cfg(feature = "sasl")]
pub(crate) mod logins;
mod outbox;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod quotas;
pub(crate) mod records;
pub(crate) mod regex;
pub(crate) mod scram;
pub(crate) mod timers;
pub(crate) mod times;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod validator;

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use uuid::Uuid;

pub(crate) use self::outbox::{Outbox, Ticket};
pub(crate) use self::topics::Topics;

use self::acls::Acls;
use self::configs::Configs;
use self::fetches::Fetches;
use self::groups::Groups;
use self::quotas::Quotas;
use self::scram::Scram;
use self::transactions::Transactions;
use crate::clock::Time;

/// The default limit for the size of all logs.
const MOST_LOG_BYTES: usize = 4 << 30;

/// A cluster: its brokers and their data.
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) configs: Configs,
    pub(crate) topics: Topics,
    /// The internal topics that are not in use yet.
    dormant: Topics,
    pub(crate) fetches: Fetches,
    pub(crate) transactions: Transactions,
    pub(crate) groups: Groups,
    pub(crate) quotas: Quotas,
    pub(crate) acls: Acls,
    pub(crate) scram: Scram,
    /// The users that may log in. If there are none, clients need no login.
    #[cfg(feature = "sasl")]
    pub(crate) logins: logins::Logins,
    /// The errors that Metadata returns for topics, as set by a test.
    pub(crate) topic_errors: BTreeMap<String, ResponseError>,
}

/// A broker, as in the Metadata response.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) up: bool,
}

impl Cluster {
    pub(crate) fn new(brokers: Vec<Broker>, configs: Configs) -> Self {
        let transactions = Transactions::new(configs.broker_number("transactional.id.expiration.ms"));
        let acls = Acls::new(
            !configs.broker("authorizer.class.name").is_empty(),
            configs.broker("allow.everyone.if.no.acl.found") == "true",
            configs.broker("super.users"),
        );
        let mut cluster = Self {
            id: kafka_uuid(Uuid::new_v4()),
            brokers,
            configs,
            topics: Topics::default(),
            dormant: Topics::default(),
            fetches: Fetches::default(),
            transactions,
            groups: Groups::default(),
            quotas: Quotas::default(),
            acls,
            scram: Scram::default(),
            #[cfg(feature = "sasl")]
            logins: logins::Logins::default(),
            topic_errors: BTreeMap::new(),
        };
        cluster.topics.bound(MOST_LOG_BYTES);
        cluster.lay_out_internal();
        cluster
    }

    pub(crate) fn live_brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.iter().filter(|broker| broker.up)
    }

    pub(crate) fn is_up(&self, id: i32) -> bool {
        self.brokers.iter().any(|broker| broker.id == id && broker.up)
    }

    /// Returns the broker that is the controller.
    pub(crate) fn controller(&self) -> i32 {
        self.live_brokers().next().map_or(-1, |broker| broker.id)
    }

    /// Returns when the next timeout is due, by the broker's clock.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        [self.groups.next_timeout(&self.configs), self.transactions.next_timeout()].into_iter().flatten().min()
    }

    /// Processes all timeouts that are over by now.
    pub(crate) fn expire(&mut self, now: Time, outbox: &mut Outbox) {
        let (groups, around) = self.groups(now, outbox);
        groups.expire(around);
        self.expire_transactions(now);
    }
}

/// Returns Java's `String.hashCode`.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Formats a UUID as Kafka does: 22 characters of URL-safe base64.
pub(crate) fn kafka_uuid(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    // Six bits a character from the top, and two bits and four zeros in the last one.
    (0..22)
        .map(|n| if n < 21 { (bits >> (122 - 6 * n)) & 63 } else { (bits & 3) << 4 })
        .map(|bits| char::from(ALPHABET[bits as usize]))
        .collect()
}

/// Returns the `hashCode` of Kafka's `Uuid`.
pub(crate) fn java_uuid_hash(id: Uuid) -> i32 {
    let (high, low) = id.as_u64_pair();
    let both = high ^ low;
    (both >> 32) as i32 ^ both as i32
}

/// Returns the bucket of a key in a Java `HashMap` with this many entries.
pub(crate) fn java_bucket(key: &str, size: usize) -> u32 {
    java_place(java_hash(key), size)
}

/// Returns the bucket of a key with this hash.
pub(crate) fn java_place(hash: i32, size: usize) -> u32 {
    let mut capacity = 16;
    while size * 4 > capacity * 3 {
        capacity *= 2;
    }
    let hash = hash as u32;
    (hash ^ (hash >> 16)) & (capacity as u32 - 1)
}
