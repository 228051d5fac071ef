//! SaslHandshake and SaslAuthenticate, if no login is required or if the client has logged in before.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};

impl Api for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Response = SaslHandshakeResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<SaslHandshakeResponse> {
        self.refuse(cx, ResponseError::IllegalSaslState).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> SaslHandshakeResponse {
        SaslHandshakeResponse::default().with_error_code(error.code())
    }
}

impl Api for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Response = SaslAuthenticateResponse;

    fn handle(self, _: &mut Cx<'_>) -> Answer<SaslAuthenticateResponse> {
        let message = "SaslAuthenticate request received after successful authentication";
        SaslAuthenticateResponse::default()
            .with_error_code(ResponseError::IllegalSaslState.code())
            .with_error_message(Some(StrBytes::from_static_str(message)))
            .into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> SaslAuthenticateResponse {
        SaslAuthenticateResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(error.to_string())))
    }
}
