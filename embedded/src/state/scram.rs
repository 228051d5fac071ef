//! The SCRAM credentials of users.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::api_error::ApiError;

/// The mechanisms with their numbers in the protocol: SCRAM-SHA-256 and SCRAM-SHA-512.
const MECHANISMS: [i8; 2] = [1, 2];
const ITERATIONS: std::ops::RangeInclusive<i32> = 4096..=16384;

/// The data to verify that a client knows the password.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) iterations: i32,
    #[cfg_attr(not(feature = "sasl"), expect(dead_code, reason = "for the logins alone"))]
    pub(crate) salt: Bytes,
    #[cfg_attr(not(feature = "sasl"), expect(dead_code, reason = "for the logins alone"))]
    pub(crate) salted_password: Bytes,
}

/// A change of a user's credential for one mechanism. `None` deletes the credential.
#[derive(Debug)]
pub(crate) struct Alteration {
    pub(crate) user: String,
    pub(crate) mechanism: i8,
    pub(crate) credential: Option<Credential>,
}

/// The credentials by user and mechanism.
#[derive(Debug, Default)]
pub(crate) struct Scram(BTreeMap<String, BTreeMap<i8, Credential>>);

impl Scram {
    /// Returns the mechanisms of a user with their iterations.
    ///
    /// # Errors
    /// Returns `RESOURCE_NOT_FOUND` if the user has no credentials.
    pub(crate) fn describe(&self, user: &str) -> Result<Vec<(i8, i32)>, ApiError> {
        let Some(found) = self.0.get(user) else {
            let message = format!("Attempt to describe a user credential that does not exist: {user}");
            return Err(ApiError::new(ResponseError::ResourceNotFound, message));
        };
        Ok(found.iter().map(|(mechanism, credential)| (*mechanism, credential.iterations)).collect())
    }

    #[cfg(feature = "sasl")]
    pub(crate) fn credential(&self, user: &str, mechanism: i8) -> Option<&Credential> {
        self.0.get(user)?.get(&mechanism)
    }

    /// Lets these users log in with SCRAM.
    #[cfg(feature = "sasl")]
    pub(crate) fn log_in_with(&mut self, logins: &super::logins::Logins) {
        for (user, mechanism, credential) in logins.credentials() {
            self.0.entry(user.to_owned()).or_default().insert(mechanism, credential);
        }
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Alters credentials, at most once per user. Returns the result for each user. Deletions must come first.
    pub(crate) fn alter(&mut self, alterations: Vec<Alteration>) -> Vec<(String, Result<(), ApiError>)> {
        let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for alteration in &alterations {
            if !seen.insert(alteration.user.clone()) {
                twice.insert(alteration.user.clone());
            }
        }
        let mut results = Vec::with_capacity(seen.len());
        for alteration in alterations {
            if twice.contains(&alteration.user) {
                // The response contains the user once.
                if seen.remove(&alteration.user) {
                    let message = "A user credential cannot be altered twice in the same request";
                    results.push((alteration.user, Err(ApiError::new(ResponseError::DuplicateResource, message))));
                }
                continue;
            }
            let user = alteration.user.clone();
            results.push((user, self.alter_one(alteration)));
        }
        results
    }

    fn alter_one(&mut self, alteration: Alteration) -> Result<(), ApiError> {
        let Alteration { user, mechanism, credential } = alteration;
        let refuse = |error, message: &str| Err(ApiError::new(error, message));
        if user.is_empty() {
            return refuse(ResponseError::UnacceptableCredential, "Username must not be empty");
        }
        if !MECHANISMS.contains(&mechanism) {
            return refuse(ResponseError::UnsupportedSaslMechanism, "Unknown SCRAM mechanism");
        }
        match credential {
            Some(credential) if credential.iterations < *ITERATIONS.start() => {
                refuse(ResponseError::UnacceptableCredential, "Too few iterations")
            }
            Some(credential) if credential.iterations > *ITERATIONS.end() => {
                refuse(ResponseError::UnacceptableCredential, "Too many iterations")
            }
            Some(credential) => {
                self.0.entry(user).or_default().insert(mechanism, credential);
                Ok(())
            }
            None => {
                let removed = self.0.get_mut(&user).and_then(|of_user| of_user.remove(&mechanism));
                if removed.is_none() {
                    let message = "Attempt to delete a user credential that does not exist";
                    return refuse(ResponseError::ResourceNotFound, message);
                }
                self.0.retain(|_, of_user| !of_user.is_empty());
                Ok(())
            }
        }
    }
}
