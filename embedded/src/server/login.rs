//! The login of a connection: the requests that are served before the client has authenticated.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::Server;
use crate::api::Answer;
use crate::state::logins::{Exchange, MECHANISMS, Step};
use crate::wire::{self, Malformed, Reply};

/// The state of a connection's login.
#[derive(Debug)]
pub(super) enum Login {
    /// The client may send ApiVersions once, and has to choose a mechanism.
    Mechanism { asked_for_versions: bool },
    /// The client has to send a token. With version 0 of SaslHandshake, tokens and their responses have no headers.
    Token { exchange: Exchange, bare: bool },
}

impl Login {
    pub(super) fn begin() -> Self {
        Self::Mechanism { asked_for_versions: false }
    }

    /// Returns whether the next frame is a token without a header.
    pub(super) fn wants_bare_token(&self) -> bool {
        matches!(self, Self::Token { bare: true, .. })
    }
}

/// A token without a header.
struct BareToken(Bytes);

impl Reply for BareToken {
    fn encode(&self, _: i16, into: &mut BytesMut) -> Result<(), String> {
        into.extend_from_slice(&self.0);
        Ok(())
    }

    fn header_version(&self, _: i16) -> i16 {
        0
    }

    fn throttle(&mut self, _: i32) {}
}

impl Server {
    /// Serves a request of a client that has not logged in yet. Returns `None` if the request is served, or refused, like any
    /// other request.
    pub(super) fn log_in(
        &mut self,
        id: usize,
        refusal: &mut Option<ResponseError>,
    ) -> Option<Result<Answer<Box<dyn Reply>>, Malformed>> {
        let connection = self.connections.get_mut(&id)?;
        let request = connection.request.as_ref()?;
        let login = connection.login.take()?;
        Some(match (login, request.key) {
            (Login::Mechanism { asked_for_versions: false }, ApiKey::ApiVersions) => {
                connection.login = Some(Login::Mechanism { asked_for_versions: true });
                return None;
            }
            (Login::Mechanism { .. }, ApiKey::SaslHandshake) => {
                let (body, version) = (request.body.clone(), request.version);
                wire::decode(&body, version).map(|request| self.choose(id, &request, version == 0))
            }
            (Login::Token { exchange, bare }, ApiKey::SaslAuthenticate) => {
                let (body, version) = (request.body.clone(), request.version);
                let token = match bare {
                    true => Ok(body),
                    false => wire::decode(&body, version).map(|request: SaslAuthenticateRequest| request.auth_bytes),
                };
                token.map(|token| self.authenticate(id, exchange, &token, bare))
            }
            (Login::Token { bare: false, .. }, _) => {
                connection.login = Some(Login::begin());
                connection.ends = true;
                *refusal = Some(ResponseError::IllegalSaslState);
                return None;
            }
            (_, key) => Err(Malformed(format!("{key:?} before the login"))),
        })
    }

    fn choose(&mut self, id: usize, request: &SaslHandshakeRequest, bare: bool) -> Answer<Box<dyn Reply>> {
        let mechanisms = MECHANISMS.map(StrBytes::from_static_str).to_vec();
        let mut response = SaslHandshakeResponse::default().with_mechanisms(mechanisms);
        let exchange = Exchange::of(&request.mechanism);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ends = exchange.is_none();
            connection.login = exchange.map(|exchange| Login::Token { exchange, bare });
            if connection.login.is_none() {
                connection.login = Some(Login::begin());
                response.error_code = ResponseError::UnsupportedSaslMechanism.code();
            }
        }
        Answer::Now(Box::new(response))
    }

    fn authenticate(&mut self, id: usize, exchange: Exchange, token: &[u8], bare: bool) -> Answer<Box<dyn Reply>> {
        let step = exchange.step(token, &self.cluster.logins, &self.cluster.scram);
        let Some(connection) = self.connections.get_mut(&id) else { return Answer::Close };
        let token = match step {
            Ok(Step::Challenge(exchange, challenge)) => {
                connection.login = Some(Login::Token { exchange, bare });
                challenge
            }
            Ok(Step::Done(user, token)) => {
                connection.client.principal = user;
                token
            }
            Err(message) if bare => {
                self.reject(id, message);
                return Answer::Close;
            }
            Err(message) => {
                connection.login = Some(Login::begin());
                connection.ends = true;
                self.reject(id, message.clone());
                let response = SaslAuthenticateResponse::default()
                    .with_error_code(ResponseError::SaslAuthenticationFailed.code())
                    .with_error_message(Some(StrBytes::from_string(message)));
                return Answer::Now(Box::new(response));
            }
        };
        match bare {
            true => Answer::Now(Box::new(BareToken(token))),
            false => Answer::Now(Box::new(SaslAuthenticateResponse::default().with_auth_bytes(token))),
        }
    }
}
