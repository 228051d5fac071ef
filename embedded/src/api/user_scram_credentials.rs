//! DescribeUserScramCredentials and AlterUserScramCredentials.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ApiKey, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx};
use crate::state::acls::{self, Operation, ResourceType};
use crate::state::api_error::ApiError;
use crate::state::scram::{Alteration, Credential};

impl Api for DescribeUserScramCredentialsRequest {
    const KEY: ApiKey = ApiKey::DescribeUserScramCredentials;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = DescribeUserScramCredentialsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<DescribeUserScramCredentialsResponse> {
        if !cx.authorized(Operation::Describe, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let scram = &cx.cluster.scram;
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        match self.users.filter(|users| !users.is_empty()) {
            None => times.extend(scram.users().map(|user| (user.to_owned(), 1))),
            Some(users) => users.iter().for_each(|user| *times.entry(user.name.to_string()).or_default() += 1),
        }
        let results = times.into_iter().map(|(user, times)| {
            let described = if times > 1 {
                let message =
                    format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}");
                Err(ApiError::new(ResponseError::DuplicateResource, message))
            } else {
                scram.describe(&user)
            };
            let result = DescribeUserScramCredentialsResult::default().with_user(StrBytes::from_string(user));
            match described {
                Ok(infos) => {
                    let infos = infos.into_iter().map(|(mechanism, iterations)| {
                        CredentialInfo::default().with_mechanism(mechanism).with_iterations(iterations)
                    });
                    result.with_error_message(None).with_credential_infos(infos.collect())
                }
                Err(ApiError { error, message }) => {
                    result.with_error_code(error.code()).with_error_message(message.map(StrBytes::from_string))
                }
            }
        });
        let results = results.collect();
        DescribeUserScramCredentialsResponse::default().with_error_message(None).with_results(results).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> DescribeUserScramCredentialsResponse {
        let message = ApiError::plain(error).message.map(StrBytes::from_string);
        let results = self.users.iter().flatten().map(|user| {
            DescribeUserScramCredentialsResult::default()
                .with_user(user.name.clone())
                .with_error_code(error.code())
                .with_error_message(message.clone())
        });
        DescribeUserScramCredentialsResponse::default()
            .with_error_code(error.code())
            .with_error_message(message.clone())
            .with_results(results.collect())
    }
}

impl Api for AlterUserScramCredentialsRequest {
    const KEY: ApiKey = ApiKey::AlterUserScramCredentials;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Response = AlterUserScramCredentialsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<AlterUserScramCredentialsResponse> {
        if !cx.authorized(Operation::Alter, ResourceType::Cluster, acls::CLUSTER) {
            return self.refuse(cx, ResponseError::ClusterAuthorizationFailed).into();
        }
        let removals = self.deletions.into_iter().map(|deletion| Alteration {
            user: deletion.name.to_string(),
            mechanism: deletion.mechanism,
            credential: None,
        });
        let additions = self.upsertions.into_iter().map(|upsertion| Alteration {
            user: upsertion.name.to_string(),
            mechanism: upsertion.mechanism,
            credential: Some(Credential {
                iterations: upsertion.iterations,
                salt: upsertion.salt,
                salted_password: upsertion.salted_password,
            }),
        });
        let results = cx.cluster.scram.alter(removals.chain(additions).collect());
        let results = results.into_iter().map(|(user, result)| result_of(StrBytes::from_string(user), result));
        AlterUserScramCredentialsResponse::default().with_results(results.collect()).into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> AlterUserScramCredentialsResponse {
        let names = self.deletions.iter().map(|deletion| &deletion.name);
        let users: HashSet<StrBytes> =
            names.chain(self.upsertions.iter().map(|upsertion| &upsertion.name)).cloned().collect();
        let results = users.into_iter().map(|user| result_of(user, Err(ApiError::plain(error))));
        AlterUserScramCredentialsResponse::default().with_results(results.collect())
    }
}

fn result_of(user: StrBytes, result: Result<(), ApiError>) -> AlterUserScramCredentialsResult {
    let (code, message) = match result {
        Ok(()) => (0, None),
        Err(ApiError { error, message }) => (error.code(), message),
    };
    AlterUserScramCredentialsResult::default()
        .with_user(user)
        .with_error_code(code)
        .with_error_message(message.map(StrBytes::from_string))
}
