//! The APIs of delegation tokens, which Kafka refuses over a connection without authentication.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};

const REFUSED: ResponseError = ResponseError::DelegationTokenRequestNotAllowed;

impl Api for CreateDelegationTokenRequest {
    const KEY: ApiKey = ApiKey::CreateDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Response = CreateDelegationTokenResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<CreateDelegationTokenResponse> {
        self.refuse(cx, REFUSED).into()
    }

    fn refuse(&self, cx: &Cx<'_>, error: ResponseError) -> CreateDelegationTokenResponse {
        let (kind, name) = (StrBytes::from_static_str("User"), StrBytes::from_string(cx.client.principal.clone()));
        let response = CreateDelegationTokenResponse::default()
            .with_error_code(error.code())
            .with_principal_type(kind.clone())
            .with_principal_name(name.clone())
            .with_issue_timestamp_ms(-1)
            .with_expiry_timestamp_ms(-1)
            .with_max_timestamp_ms(-1);
        match cx.version {
            ..=2 => response,
            _ => response.with_token_requester_principal_type(kind).with_token_requester_principal_name(name),
        }
    }
}

impl Api for RenewDelegationTokenRequest {
    const KEY: ApiKey = ApiKey::RenewDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=2;
    type Response = RenewDelegationTokenResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<RenewDelegationTokenResponse> {
        self.refuse(cx, REFUSED).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> RenewDelegationTokenResponse {
        RenewDelegationTokenResponse::default().with_error_code(error.code()).with_expiry_timestamp_ms(-1)
    }
}

impl Api for ExpireDelegationTokenRequest {
    const KEY: ApiKey = ApiKey::ExpireDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=2;
    type Response = ExpireDelegationTokenResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ExpireDelegationTokenResponse> {
        self.refuse(cx, REFUSED).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ExpireDelegationTokenResponse {
        ExpireDelegationTokenResponse::default().with_error_code(error.code()).with_expiry_timestamp_ms(-1)
    }
}

impl Api for DescribeDelegationTokenRequest {
    const KEY: ApiKey = ApiKey::DescribeDelegationToken;
    const VERSIONS: RangeInclusive<i16> = 1..=3;
    type Response = DescribeDelegationTokenResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeDelegationTokenResponse> {
        self.refuse(cx, REFUSED).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeDelegationTokenResponse {
        DescribeDelegationTokenResponse::default().with_error_code(error.code())
    }
}
