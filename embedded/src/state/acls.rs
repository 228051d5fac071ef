//! ACLs: which principal may do which operation on which resource.

mod filter;
mod store;

pub(crate) use self::filter::Filter;
pub(crate) use self::store::{Acls, Entry, LITERAL, PREFIXED, Pattern, Who};

/// The name of the only resource of type [`ResourceType::Cluster`].
pub(crate) const CLUSTER: &str = "kafka-cluster";

/// The operations of ACLs, with their numbers in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
    CreateTokens = 13,
    DescribeTokens = 14,
    TwoPhaseCommit = 15,
}

/// The resource types of ACLs, with their numbers in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ResourceType {
    Topic = 2,
    Group = 3,
    Cluster = 4,
    TransactionalId = 5,
    #[expect(dead_code, reason = "a part of the protocol; delegation tokens are not served")]
    DelegationToken = 6,
    #[expect(dead_code, reason = "a part of the protocol; delegation tokens are not served")]
    User = 7,
}

impl ResourceType {
    /// Returns the operations on resources of this type.
    pub(crate) fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Self::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
            Self::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe],
            Self::TransactionalId => &[Describe, Write, TwoPhaseCommit],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }
}
