//! Shared by all clients of this crate: a context that remembers errors, and errors that do not show secrets.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::model::error::codes::code_of;
use crate::model::error::{Error, Result};

/// Remembers the last error that a client reported, for the message of a wait that fails.
#[derive(Debug, Default)]
pub(crate) struct ClientErrors {
    last: Mutex<Option<(Instant, KafkaError, String)>>,
}

impl ClientErrors {
    /// Returns the last error since the last success. It may be the cause of a failure now.
    pub(crate) fn last(&self) -> Option<(KafkaError, String)> {
        self.last_since(None)
    }

    /// Returns the last error since the last success, if it was reported at or after `since`.
    pub(crate) fn last_since(&self, since: Option<Instant>) -> Option<(KafkaError, String)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, error, reason) = last.as_ref().filter(|(at, ..)| since.is_none_or(|since| *at >= since))?;
        Some((error.clone(), reason.clone()))
    }

    /// Discards the last error. Called after each response, because an error before it does not explain a later failure.
    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn remember(&self, error: KafkaError, reason: &str) {
        // The rest may quote the configuration of the token, or the response of a token server, and with it a secret.
        let reason = reason.split_inclusive("OAUTHBEARER token").next().unwrap_or_default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // It only follows from an earlier error, such as a refused password, and must not replace it.
        if code_of(&error) != Some(RDKafkaErrorCode::AllBrokersDown) || last.is_none() {
            *last = Some((Instant::now(), error, reason.to_owned()));
        }
    }
}

impl ClientContext for ClientErrors {
    fn error(&self, error: KafkaError, reason: &str) {
        self.remember(error, reason);
    }
}

impl ConsumerContext for ClientErrors {}

/// Creates a client. If librdkafka refuses the configuration, the error does not show its values, which may be secrets.
pub(crate) fn create<C, T>(config: &ClientConfig, context: C, what: &str, broker: &str) -> Result<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    let mut config = config.clone();
    if config.get("reconnect.backoff.ms").is_none() && config.get("reconnect.backoff.max.ms").is_none() {
        // The default is 10 s; a test would notice that late that its broker is back.
        config.set("reconnect.backoff.max.ms", "500");
        // After the first metadata, a client waits for half of this before it connects to a broker by name
        // (`sparse_connect_intvl`). With the default of 100 ms, the first response takes 50 ms longer.
        config.set("reconnect.backoff.ms", "20");
    }
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, _, key, value) if is_missing_codec(&key, &value) => Error::Config {
            setting: format!("client property {key:?}"),
            takes: format!("this build of librdkafka has no {value}: {}", codec_feature(&value)),
            value,
        },
        KafkaError::ClientConfig(_, description, key, _) => Error::Config {
            setting: format!("client property {key:?}"),
            value: String::new(),
            takes: format!("librdkafka refused it: {}", without_values(&without_quoted(&description), &config)),
        },
        other => Error::Broker {
            action: format!("create a {what}"),
            broker: broker.to_owned(),
            advice: "check the client properties, and the limits on threads and open files".to_owned(),
            source: Some(match other {
                KafkaError::ClientCreation(text) => KafkaError::ClientCreation(without_values(&text, &config)),
                other => other,
            }),
        },
    })
}

/// Whether librdkafka refused a known codec because this build lacks it. The name of a codec is no secret.
fn is_missing_codec(key: &str, value: &str) -> bool {
    matches!(key, "compression.type" | "compression.codec") && matches!(value, "gzip" | "snappy" | "lz4" | "zstd")
}

/// Returns how to add a codec to the build.
fn codec_feature(codec: &str) -> &'static str {
    match codec {
        "zstd" => "enable the cargo feature `zstd` of rstest-kafka",
        _ => "link a librdkafka that has it, or use another codec",
    }
}

/// Replaces the refused value that librdkafka quotes. The value may contain quotes, and a long value has no closing quote.
fn without_quoted(description: &str) -> String {
    // rdkafka's buffer has 512 bytes, so a description of about this length may be cut off.
    let whole = description.len() < 500;
    match (description.find('"'), description.rfind('"')) {
        (Some(first), Some(last)) if first < last && whole => {
            format!("{}…{}", &description[..=first], &description[last..])
        }
        (Some(first), _) => format!("{}…", &description[..=first]),
        _ => description.to_owned(),
    }
}

/// Replaces the values of the configuration in a text. Values of less than 4 bytes stay, because they occur in any text.
fn without_values(text: &str, config: &ClientConfig) -> String {
    let values = config.config_map().into_keys().filter(|key| *key != "bootstrap.servers");
    let values = values.filter_map(|key| config.get(key)).filter(|value| value.len() >= 4);
    values.fold(text.to_owned(), |text, value| text.replace(value, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use rdkafka::consumer::BaseConsumer;

    fn refused(properties: &[(&str, &str)]) -> String {
        let mut config = ClientConfig::new();
        for (key, value) in properties {
            config.set(*key, *value);
        }
        let client: Result<BaseConsumer<ClientErrors>> = create(&config, ClientErrors::default(), "consumer", "b:1");
        format!("{:?}", client.err().expect("librdkafka refuses it"))
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let long = format!("hunter2\"{}", "hunter2".repeat(200));
        for value in ["hunter2", "\"hunter2", "a\"hunter2\"b", long.as_str()] {
            let message = refused(&[("security.protocol", value)]);
            assert!(message.contains("security.protocol") && !message.contains("hunter2"), "{message}");
        }
        let message = refused(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "hunter2")]);
        assert!(message.contains("SASL mechanism") && !message.contains("hunter2"), "{message}");
        assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
    }

    #[test]
    fn all_brokers_down_does_not_replace_its_cause() {
        let errors = ClientErrors::default();
        errors.remember(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        errors.remember(KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        errors.remember(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(errors.last().unwrap().1, "wrong password");
    }

    #[test]
    fn a_token_error_is_not_quoted() {
        let errors = ClientErrors::default();
        let reason = "Failed to acquire SASL OAUTHBEARER token: Unrecognized config beginning at: hunter2";
        errors.remember(KafkaError::Canceled, reason);
        assert_eq!(errors.last().unwrap().1, "Failed to acquire SASL OAUTHBEARER token");
    }
}
