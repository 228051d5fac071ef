//! ApiVersions: the APIs that the broker serves, with their versions.

use std::ops::RangeInclusive;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Cx, SUPPORTED};

/// The features of a Kafka 4.1 cluster with their supported versions, and whether the highest version is in use.
const FEATURES: [(&str, i16, i16, bool); 6] = [
    ("eligible.leader.replicas.version", 0, 1, true),
    ("group.version", 0, 1, true),
    ("kraft.version", 0, 1, false),
    ("metadata.version", 7, 27, true),
    ("share.version", 0, 1, false),
    ("transaction.version", 0, 2, true),
];

impl Api for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Response = ApiVersionsResponse;

    fn handle(self, cx: &mut Cx<'_>) -> Answer<ApiVersionsResponse> {
        let valid = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        if cx.version >= 3 && !(valid(&self.client_software_name) && valid(&self.client_software_version)) {
            return refusal(ResponseError::InvalidRequest).into();
        }
        let mut response = ApiVersionsResponse::default().with_api_keys(served());
        if cx.version >= 3 {
            response = response
                .with_supported_features(
                    FEATURES
                        .iter()
                        // Before version 4 of the request, the response must not contain version 0 (KAFKA-17011).
                        .filter(|(_, low, ..)| cx.version >= 4 || *low > 0)
                        .map(|&(name, low, high, _)| {
                            SupportedFeatureKey::default()
                                .with_name(StrBytes::from_static_str(name))
                                .with_min_version(low)
                                .with_max_version(high)
                        })
                        .collect(),
                )
                .with_finalized_features_epoch(1)
                .with_finalized_features(
                    FEATURES
                        .iter()
                        .filter(|(.., in_use)| *in_use)
                        .map(|&(name, _, high, _)| {
                            FinalizedFeatureKey::default()
                                .with_name(StrBytes::from_static_str(name))
                                .with_min_version_level(high)
                                .with_max_version_level(high)
                        })
                        .collect(),
                );
        }
        response.into()
    }

    fn refuse(&self, _: &Cx<'_>, error: ResponseError) -> ApiVersionsResponse {
        refusal(error)
    }
}

/// Returns the response to an unknown version: version 0 of the response, with the supported versions (KIP-511).
pub(crate) fn unsupported() -> ApiVersionsResponse {
    refusal(ResponseError::UnsupportedVersion)
        .with_api_keys(served().into_iter().filter(|api| api.api_key == ApiKey::ApiVersions as i16).collect())
}

fn refusal(error: ResponseError) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(error.code())
}

fn served() -> Vec<ApiVersion> {
    SUPPORTED
        .iter()
        .map(|&(key, low, high)| {
            // Kafka 4 advertises version 0 of Produce, although it accepts only version 3 and later. librdkafka up to 2.5 reads
            // it as support for all record formats (KIP-896).
            let low = if key == ApiKey::Produce { 0 } else { low };
            ApiVersion::default().with_api_key(key as i16).with_min_version(low).with_max_version(high)
        })
        .collect()
}
