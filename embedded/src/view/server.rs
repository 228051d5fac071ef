//! Connections and requests.

use std::net::SocketAddr;

use kafka_protocol::messages::ApiKey;

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The id of the broker.
    pub broker: i32,
    /// The address of the client.
    pub peer: SocketAddr,
    /// The `client.id` of the last request, or an empty string if it has none.
    pub client_id: String,
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The API of the request.
    pub api: ApiKey,
    /// The version of the request.
    pub version: i16,
    /// The id of the broker that received the request.
    pub broker: i32,
    /// The `client.id`, or an empty string if the request has none.
    pub client_id: String,
}

/// A connection that the broker closed because it does not serve what the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The id of the broker.
    pub broker: i32,
    /// The address of the client.
    pub peer: SocketAddr,
    /// The `client.id` of the last valid request, or an empty string if there is none.
    pub client_id: String,
    /// The reason, such as an unsupported version.
    pub reason: String,
}
