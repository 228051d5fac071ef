//! The received requests, as a test sees them.

use std::collections::VecDeque;
use std::sync::Arc;

use kafka_protocol::messages::ApiKey;

use super::Server;
use super::frame::Request;
use crate::view;

/// The number of last requests that are kept.
const KEPT: usize = 1000;

/// The number of requests of each API, and the last requests.
#[derive(Default)]
pub(crate) struct Requests {
    counts: Vec<usize>,
    last: VecDeque<(ApiKey, i16, i32, Arc<str>)>,
    rejections: VecDeque<view::Rejection>,
}

impl Requests {
    pub(super) fn count(&mut self, request: &Request, broker: i32) {
        let key = request.key as usize;
        if key >= self.counts.len() {
            self.counts.resize(key + 1, 0);
        }
        self.counts[key] += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((request.key, request.version, broker, Arc::clone(&request.client_id)));
    }

    pub(crate) fn of(&self, api: ApiKey) -> usize {
        self.counts.get(api as usize).copied().unwrap_or_default()
    }

    /// Returns the last requests, the oldest first.
    pub(crate) fn last(&self) -> Vec<view::Request> {
        let request = |(api, version, broker, client_id): &(ApiKey, i16, i32, Arc<str>)| view::Request {
            api: *api,
            version: *version,
            broker: *broker,
            client_id: client_id.to_string(),
        };
        self.last.iter().map(request).collect()
    }

    /// Returns the reasons why connections were closed, the oldest first.
    pub(crate) fn rejections(&self) -> Vec<view::Rejection> {
        self.rejections.iter().cloned().collect()
    }
}

impl Server {
    /// Records why a connection is closed.
    pub(super) fn reject(&mut self, id: usize, reason: String) {
        let Some(connection) = self.connections.get(&id) else { return };
        let rejections = &mut self.requests.rejections;
        if rejections.len() == KEPT {
            rejections.pop_front();
        }
        let (peer, client_id) = (connection.peer, connection.client.id.clone());
        rejections.push_back(view::Rejection { broker: connection.broker, peer, client_id, reason });
    }
}
