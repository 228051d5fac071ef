//! Connections and requests.

use std::net::SocketAddr;

use kafka_protocol::messages::ApiKey;

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The broker that it goes to.
    pub broker: i32,
    /// The client's end.
    pub peer: SocketAddr,
    /// The `client.id` of its last request; empty when it has none.
    pub client_id: String,
}

/// A request that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Its API.
    pub api: ApiKey,
    /// The version of the API.
    pub version: i16,
    /// The broker that was asked.
    pub broker: i32,
    /// The `client.id`; empty when it has none.
    pub client_id: String,
}

/// A connection that the broker has closed, because the client has sent what it does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The broker that it went to.
    pub broker: i32,
    /// The client's end.
    pub peer: SocketAddr,
    /// The `client.id` of the last request that could be read; empty when there is none.
    pub client_id: String,
    /// What was wrong.
    pub reason: String,
}
