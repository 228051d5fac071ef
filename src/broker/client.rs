//! What all clients of this crate share: a context that remembers errors, and configurations that keep secrets.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::model::error::codes::code_of;
use crate::model::error::{Error, Result};

/// Remembers what a client reported last, for the message of a wait that fails.
#[derive(Debug, Default)]
pub(crate) struct ClientErrors {
    last: Mutex<Option<(Instant, KafkaError, String)>>,
}

impl ClientErrors {
    /// The last that no success has followed: it may be the cause of what fails now.
    pub(crate) fn last(&self) -> Option<(KafkaError, String)> {
        self.last_since(None)
    }

    /// The same, unless it was reported before.
    pub(crate) fn last_since(&self, since: Option<Instant>) -> Option<(KafkaError, String)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, error, reason) = last.as_ref().filter(|(at, ..)| since.is_none_or(|since| *at >= since))?;
        Some((error.clone(), reason.clone()))
    }

    /// An answer has come: what was reported before explains no failure after it.
    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn remember(&self, error: KafkaError, reason: &str) {
        // What follows may quote the configuration that the token was to be made of, or a token server's answer.
        let reason = reason.split_inclusive("OAUTHBEARER token").next().unwrap_or_default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // It follows on what it is the consequence of, such as a refused password.
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

/// Makes a client; a configuration that librdkafka refuses is an error without its values, which may be secrets.
pub(crate) fn create<C, T>(config: &ClientConfig, context: C, what: &str, broker: &str) -> Result<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    let mut config = config.clone();
    if config.get("reconnect.backoff.ms").is_none() && config.get("reconnect.backoff.max.ms").is_none() {
        // librdkafka's 10 s would be how late a test sees that its broker is back.
        config.set("reconnect.backoff.max.ms", "500");
        // Once a client has learned its brokers' names it waits for half of this before it connects to one of them by
        // name (`sparse_connect_intvl`): with librdkafka's 100 ms its first answer comes 50 ms after it was made.
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
            action: format!("make a {what}"),
            broker: broker.to_owned(),
            advice: "check the client properties, and the limits on threads and open files".to_owned(),
            source: Some(match other {
                KafkaError::ClientCreation(text) => KafkaError::ClientCreation(without_values(&text, &config)),
                other => other,
            }),
        },
    })
}

/// Whether a codec was refused that there is: this build of librdkafka is without it. Its name is no secret.
fn is_missing_codec(key: &str, value: &str) -> bool {
    matches!(key, "compression.type" | "compression.codec") && matches!(value, "gzip" | "snappy" | "lz4" | "zstd")
}

/// How to get a codec into the build.
fn codec_feature(codec: &str) -> &'static str {
    match codec {
        "zstd" => "enable the cargo feature `zstd` of rstest-kafka",
        _ => "link another one, or use another codec",
    }
}

/// librdkafka quotes the refused value, in which there may be quotes, and cuts a long one off before the closing quote.
fn without_quoted(description: &str) -> String {
    // As rdkafka's buffer for it has 512 bytes, a description of nearly as many may be cut off.
    let whole = description.len() < 500;
    match (description.find('"'), description.rfind('"')) {
        (Some(first), Some(last)) if first < last && whole => {
            format!("{}…{}", &description[..=first], &description[last..])
        }
        (Some(first), _) => format!("{}…", &description[..=first]),
        _ => description.to_owned(),
    }
}

/// The text with each of the configuration's values replaced; of the short ones a text is full anyway.
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
        let made: Result<BaseConsumer<ClientErrors>> = create(&config, ClientErrors::default(), "consumer", "b:1");
        format!("{:?}", made.err().expect("librdkafka refuses it"))
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
    fn why_no_broker_is_up_is_not_forgotten_for_that_none_is() {
        let errors = ClientErrors::default();
        errors.remember(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        errors.remember(KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        errors.remember(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(errors.last().unwrap().1, "wrong password");
    }

    #[test]
    fn a_token_that_could_not_be_made_is_not_quoted() {
        let errors = ClientErrors::default();
        let reason = "Failed to acquire SASL OAUTHBEARER token: Unrecognized config beginning at: hunter2";
        errors.remember(KafkaError::Canceled, reason);
        assert_eq!(errors.last().unwrap().1, "Failed to acquire SASL OAUTHBEARER token");
    }
}
