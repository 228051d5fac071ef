//! The listeners of the brokers, and the connections that they accept.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use mio::{Interest, Token};

use super::Server;
use super::connection::Connection;
#[cfg(feature = "sasl")]
use super::login::Login;
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::{Tls, TlsStream};

/// The address of a broker, with its socket while the broker is running.
pub(super) struct Listener {
    pub(super) broker: i32,
    pub(super) address: SocketAddr,
    pub(super) socket: Option<TcpListener>,
}

/// The milliseconds until a broker retries after it ran out of file descriptors.
const ACCEPT_AGAIN: i64 = 50;

impl Server {
    /// Accepts the connections that could not be accepted before.
    pub(super) fn accept_late(&mut self) {
        if self.accept_again.take_if(|at| *at <= self.clock.real()).is_some() {
            (0..self.listeners.len()).for_each(|listener| self.accept(listener));
        }
    }

    pub(super) fn accept(&mut self, listener: usize) {
        loop {
            let Listener { broker, socket: Some(socket), .. } = &self.listeners[listener] else { return };
            let (stream, peer) = match socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                // No file descriptor is left. One of our connections may free one. So may the rest of the process, which sends
                // no event, so retry after a while.
                Err(_) => {
                    self.accept_again = Some(self.clock.real().after(ACCEPT_AGAIN));
                    return;
                }
            };
            let id = self.next_connection;
            self.next_connection += 1;
            let _ = stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            #[cfg(feature = "tls")]
            let stream = match self.tls.as_ref().map(Tls::session) {
                None => Stream::Plain(stream),
                Some(Ok(session)) => Stream::Tls(TlsStream::new(stream, session)),
                Some(Err(_)) => continue,
            };
            #[cfg(not(feature = "tls"))]
            let stream = Stream::Plain(stream);
            let mut connection = Connection::new(stream, *broker, peer);
            #[cfg(feature = "sasl")]
            if !self.cluster.logins.is_empty() {
                connection.login = Some(Login::begin());
            }
            if self.registry.register(&mut connection.stream, Token(id), interest).is_ok() {
                self.connections.insert(id, connection);
            }
        }
    }

    /// Listens on the address of a broker again.
    pub(super) fn listen(&mut self, broker: i32) -> io::Result<()> {
        for (n, listener) in self.listeners.iter_mut().enumerate() {
            if listener.broker == broker && listener.socket.is_none() {
                let mut socket = TcpListener::bind(listener.address)?;
                self.registry.register(&mut socket, Token(n), Interest::READABLE)?;
                listener.socket = Some(socket);
            }
        }
        Ok(())
    }

    /// Closes the socket of a broker and all of its connections.
    pub(super) fn shut(&mut self, broker: i32) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.broker == broker) {
            listener.socket = None;
        }
        let of_broker = self.connections.iter().filter(|(_, connection)| connection.broker == broker);
        for id in of_broker.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(id);
        }
    }
}
