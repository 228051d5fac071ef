//! ApiVersions: the supported APIs and versions.

mod common;

use common::*;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

#[rustfmt::skip]
/// What Apache Kafka 4.1.0 lists: each API's number with its lowest and its highest version.
const KAFKA: &[(i16, i16, i16)] = &[
    (0, 0, 13), (1, 4, 18), (2, 1, 10), (3, 0, 13), (8, 2, 9), (9, 1, 9), (10, 0, 6), (11, 0, 9), (12, 0, 4),
    (13, 0, 5), (14, 0, 5), (15, 0, 6), (16, 0, 5), (17, 0, 1), (18, 0, 4), (19, 2, 7), (20, 1, 6),
    (21, 0, 2), (22, 0, 5), (23, 2, 4), (24, 0, 5), (25, 0, 4), (26, 0, 5), (27, 1, 1), (28, 0, 5),
    (29, 1, 3), (30, 1, 3), (31, 1, 3), (32, 1, 4), (33, 0, 2), (34, 1, 2), (35, 1, 4), (36, 0, 2),
    (37, 0, 3), (38, 1, 3), (39, 1, 2), (40, 1, 2), (41, 1, 3), (42, 0, 2), (43, 0, 2), (44, 0, 1),
    (45, 0, 1), (46, 0, 0), (47, 0, 0), (48, 0, 1), (49, 0, 1), (50, 0, 0), (51, 0, 0), (55, 0, 2),
    (57, 0, 2), (60, 0, 2), (61, 0, 0), (64, 0, 0), (65, 0, 0), (66, 0, 2), (68, 0, 1), (69, 0, 1),
    (74, 0, 1), (75, 0, 0), (76, 1, 1), (77, 1, 1), (78, 1, 1), (79, 1, 1), (80, 0, 0), (81, 0, 0),
    (83, 0, 0), (84, 0, 0), (85, 0, 0), (86, 0, 0), (87, 0, 0), (90, 0, 0), (91, 0, 0), (92, 0, 0),
];

/// What the embedded broker leaves out.
const LEFT_OUT: &[i16] = &[
    27, // WriteTxnMarkers, of brokers among themselves
    34, // AlterReplicaLogDirs: there are no directories
    57, 64, 80, 81, // UpdateFeatures, UnregisterBroker and the voters of the controllers
    76, 77, 78, 79, 83, 84, 85, 86, 87, 90, 91, 92, // share groups
];

fn ask(kafka: &Kafka, version: i16) -> ApiVersionsResponse {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("conformance"))
        .with_client_software_version(text("1.0"));
    kafka.connect().call(&request, version)
}

#[test]
fn the_apis_are_those_of_kafka() {
    let kafka = Kafka::start();
    for version in 0..=4 {
        let response = ask(&kafka, version);
        assert_error(response.error_code, None);
        let told: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let name = |key: i16| ApiKey::try_from(key).map_or(key.to_string(), |key| format!("{key:?}"));
        let wrong: Vec<String> = KAFKA
            .iter()
            .filter(|api| match told.iter().find(|(key, ..)| *key == api.0) {
                Some(found) => found != *api,
                None => kafka.embedded.is_none() || !LEFT_OUT.contains(&api.0),
            })
            .map(|&(key, low, high)| format!("{} {low} to {high}", name(key)))
            .collect();
        assert_eq!(wrong, [""; 0]);
        assert!(told.iter().all(|(key, ..)| KAFKA.iter().any(|(known, ..)| known == key)));
    }
}

#[test]
fn the_features_are_those_of_kafka() {
    let kafka = Kafka::start();
    for version in 3..=4 {
        let response = ask(&kafka, version);
        let mut supported: Vec<_> = response
            .supported_features
            .iter()
            .map(|feature| (feature.name.to_string(), feature.min_version, feature.max_version))
            .collect();
        supported.sort();
        let expected = [
            ("eligible.leader.replicas.version", 0, 1),
            ("group.version", 0, 1),
            ("kraft.version", 0, 1),
            ("metadata.version", 7, 27),
            ("share.version", 0, 1),
            ("transaction.version", 0, 2),
        ];
        // The answer has no version 0 before version 4 (KAFKA-17011).
        let expected = expected.into_iter().filter(|(_, low, _)| version >= 4 || *low > 0);
        let expected: Vec<_> = expected.map(|(name, low, high)| (name.to_owned(), low, high)).collect();
        assert_eq!(supported, expected);
        let mut finalized: Vec<_> = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.to_string(), feature.max_version_level))
            .collect();
        finalized.sort();
        let expected = [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 27),
            ("transaction.version", 2),
        ];
        assert_eq!(finalized, expected.map(|(name, level)| (name.to_owned(), level)));
        assert!(response.finalized_features_epoch >= 0);
    }
}
