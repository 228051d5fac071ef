//! The course of one request: faults, processing and the response.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::Server;
use super::connection::Held;
use crate::api::{self, Answer, Cx};
use crate::clock::Time;
use crate::fault::End;
use crate::state::Ticket;
use crate::wire::Reply;

impl Server {
    /// Serves the request that a connection has read. Returns whether the connection stays open.
    pub(super) fn serve(&mut self, id: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        let Some(request) = &connection.request else { return true };
        self.requests.count(request, connection.broker);
        let effect = self.faults.meet(request, connection.broker, &self.cluster).unwrap_or_default();
        connection.effect = effect;
        if !effect.applied && !effect.delay.is_zero() {
            return self.hold(id, effect.delay, Held::Request);
        }
        self.carry_out(id)
    }

    /// Processes a request, unless a fault prevents it.
    fn carry_out(&mut self, id: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        let effect = connection.effect;
        let refusal = match effect.end {
            _ if effect.applied => None,
            End::Regular => None,
            End::Error(error) => Some(error),
            End::Close => return false,
            End::Silence => return connection.fall_silent(),
        };
        match self.dispatch(id, refusal) {
            Answer::Now(reply) => self.answered(id, reply),
            Answer::Later => true,
            Answer::Never => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.request = None;
                }
                matches!(effect.end, End::Regular | End::Silence)
            }
            Answer::Close => false,
        }
    }

    fn dispatch(
        &mut self,
        id: usize,
        #[allow(unused_mut, reason = "a login may refuse")] mut refusal: Option<ResponseError>,
    ) -> Answer<Box<dyn Reply>> {
        let request = self.connections.get(&id).and_then(|connection| connection.request.as_ref());
        if request.is_some_and(|request| request.unsupported_api_versions) {
            return Answer::Now(Box::new(api::unsupported_api_versions()));
        }
        #[cfg(feature = "sasl")]
        match self.log_in(id, &mut refusal) {
            None => {}
            Some(Ok(answer)) => return answer,
            Some(Err(malformed)) => {
                self.reject(id, malformed.0);
                return Answer::Close;
            }
        }
        let Self { connections, cluster, outbox, clock, .. } = self;
        let Some(connection) = connections.get(&id) else { return Answer::Close };
        let Some(request) = &connection.request else { return Answer::Close };
        let mut cx = Cx {
            cluster,
            outbox,
            now: clock.now(),
            real: clock.real(),
            broker: connection.broker,
            ticket: Ticket { connection: id, serial: request.serial },
            version: request.version,
            client: &connection.client,
        };
        let dispatch = || {
            #[cfg(test)]
            assert_ne!(&*request.client_id, tests::MEETS_A_MISTAKE);
            api::dispatch(&mut cx, request.key, &request.body, refusal)
        };
        let api = request.key;
        let reason = match catch_unwind(AssertUnwindSafe(dispatch)) {
            Ok(Ok(Answer::Close)) => format!("{api:?} has no other answer than the end of the connection"),
            Ok(Ok(answer)) => return answer,
            Ok(Err(malformed)) => format!("{api:?}: {}", malformed.0),
            // A bug in this crate closes the connection of the request, but must not stop the test's process.
            Err(_) => {
                self.panics += 1;
                format!("a mistake of embedded-kafka's in {api:?}")
            }
        };
        self.reject(id, reason);
        Answer::Close
    }

    /// Receives the response to a request, at once or after the request has waited. Returns whether the connection stays open.
    pub(super) fn answered(&mut self, id: usize, reply: Box<dyn Reply>) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        let effect = connection.effect;
        if effect.applied && !effect.delay.is_zero() {
            return self.hold(id, effect.delay, Held::Answer(reply));
        }
        self.finish(id, reply)
    }

    /// Sends the response, unless a fault replaces it.
    fn finish(&mut self, id: usize, mut reply: Box<dyn Reply>) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        match connection.effect.end {
            _ if !connection.effect.applied => {}
            End::Regular => {}
            End::Close => return false,
            End::Silence => return connection.fall_silent(),
            End::Error(error) => match self.dispatch(id, Some(error)) {
                Answer::Now(refusal) => reply = refusal,
                _ => return false,
            },
        }
        let at = (!self.latency.is_zero()).then(|| self.later(self.latency));
        let muted_until = (!self.throttle.is_zero()).then(|| self.later(self.throttle));
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        if muted_until.is_some() {
            reply.throttle(i32::try_from(self.throttle.as_millis()).unwrap_or(i32::MAX));
            connection.muted_until = muted_until;
        }
        self.wakes.extend([at, muted_until].into_iter().flatten().map(|at| (at, id)));
        let Err(reason) = connection.reply(&*reply, at) else { return true };
        // A response that cannot be encoded is a bug in this crate, like a panic.
        self.panics += 1;
        eprintln!("embedded-kafka: a mistake, please report it: {reason}");
        self.reject(id, reason);
        false
    }

    /// Delays a part of a request.
    fn hold(&mut self, id: usize, delay: Duration, held: Held) -> bool {
        let until = self.later(delay);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.held = Some((until, held));
            self.wakes.insert((until, id));
        }
        true
    }

    /// Returns the first whole millisecond that is not before the end of the delay.
    fn later(&self, delay: Duration) -> Time {
        let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.clock.real().after(milliseconds.saturating_add(1))
    }

    /// Continues with the requests and responses that were delayed until now.
    pub(super) fn wake(&mut self, now: Time) {
        while let Some(&(at, id)) = self.wakes.first()
            && at <= now
        {
            self.wakes.pop_first();
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.release(now);
            let open = match connection.held.take_if(|(until, _)| *until <= now) {
                Some((_, Held::Request)) => self.carry_out(id),
                Some((_, Held::Answer(reply))) => self.finish(id, reply),
                None => true,
            };
            match open {
                true => self.turn(id),
                false => self.close(id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use crate::handle::EmbeddedKafka;

    /// The client id whose requests panic.
    pub(super) const MEETS_A_MISTAKE: &str = "meets a mistake";

    /// An ApiVersions request of version 0.
    fn ask(stream: &mut TcpStream, client_id: &str) -> usize {
        let mut frame = vec![0, 0, 0, 10 + client_id.len() as u8, 0, 18, 0, 0, 0, 0, 0, 1, 0, client_id.len() as u8];
        frame.extend(client_id.as_bytes());
        stream.write_all(&frame).unwrap();
        stream.read(&mut [0; 4]).unwrap()
    }

    #[test]
    fn a_mistake_ends_the_connection_that_meets_it_and_nothing_else() {
        let kafka = EmbeddedKafka::start().unwrap();
        let connect = || TcpStream::connect(kafka.bootstrap_servers()).unwrap();
        let mut bystander = connect();
        assert_eq!(ask(&mut bystander, "fine"), 4);
        for n in 1..=3 {
            assert_eq!(ask(&mut connect(), MEETS_A_MISTAKE), 0);
            assert_eq!(kafka.panics(), n);
        }
        assert_eq!(ask(&mut connect(), "fine"), 4);
    }
}
