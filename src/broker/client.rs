//! What all clients of this crate share: a context that remembers errors, and configurations that keep secrets.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::error::{Error, Result};

/// A configuration value that may be a password, a key or a token: its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Remembers what a client reported last, for the message of whoever waits in vain.
#[derive(Debug, Default)]
pub(crate) struct ClientErrors {
    last: Mutex<Option<(KafkaError, String)>>,
}

impl ClientErrors {
    pub(crate) fn last(&self) -> Option<(KafkaError, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn remember(&self, error: KafkaError, reason: &str) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((error, reason.to_owned()));
    }
}

impl ClientContext for ClientErrors {
    fn error(&self, error: KafkaError, reason: &str) {
        self.remember(error, reason);
    }
}

impl ConsumerContext for ClientErrors {}

/// Makes a client; a configuration that librdkafka refuses is an error without the value, which may be a secret.
pub(crate) fn create<C, T>(config: &ClientConfig, context: C, what: &str, broker: &str) -> Result<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, description, key, _) => Error::Config {
            setting: format!("client property {key:?}"),
            value: String::new(),
            takes: format!("librdkafka refused its value: {}", without_value(&description)),
        },
        other => Error::Broker {
            action: format!("make a {what}"),
            broker: broker.to_owned(),
            advice: "check the client properties, and the limits on threads and open files".to_owned(),
            source: Some(other),
        },
    })
}

/// librdkafka puts the refused value between quotes; it may be a secret.
fn without_value(description: &str) -> String {
    let mut outside = true;
    let kept = description.split('"').map(|piece| {
        let shown = if outside { piece } else { "…" };
        outside = !outside;
        shown
    });
    kept.collect::<Vec<_>>().join("\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::consumer::BaseConsumer;

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        let mut config = ClientConfig::new();
        config.set("security.protocol", "hunter2");
        let made: Result<BaseConsumer<ClientErrors>> = create(&config, ClientErrors::default(), "consumer", "b:1");
        let message = made.err().expect("librdkafka knows no such protocol").to_string();
        assert!(message.contains("security.protocol") && !message.contains("hunter2"), "{message}");
        assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
    }
}
