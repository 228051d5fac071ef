//! What a test has the broker do wrong.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::api::names::Kind;
use crate::error::{Error, Result};

/// What is to go wrong with some requests: which ones, how often and what.
///
/// Without anything of the second kind, a fault changes nothing and only counts.
///
/// | | the request is | the client gets |
/// |---|---|---|
/// | [`answer`](Self::answer) | not carried out | the error |
/// | [`drop_connection`](Self::drop_connection) | not carried out | a closed connection |
/// | [`no_answer`](Self::no_answer) | not carried out | nothing, for as long as it waits |
/// | [`delay`](Self::delay) | carried out later | the answer then |
/// | [`after_applied`](Self::after_applied) with one of these | carried out at once | the error, the end, nothing, or its answer later |
///
/// ```
/// use std::time::Duration;
/// use embedded_kafka::{ApiKey, EmbeddedKafka, ErrorCode, Fault};
///
/// let kafka = EmbeddedKafka::start()?;
/// // The records are there, but the producer does not learn it, and sends them again.
/// kafka.fault(Fault::on(ApiKey::Produce).topic("orders").after_applied().drop_connection().times(1))?;
/// // One instance of a service is slow to be answered; the others are not.
/// kafka.fault(Fault::on(ApiKey::Fetch).client("billing-2").delay(Duration::from_millis(50)))?;
/// # Ok::<(), embedded_kafka::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a fault happens when it is given to `EmbeddedKafka::fault`"]
pub struct Fault {
    pub(crate) api: ApiKey,
    pub(crate) topic: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) transactional_id: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) broker: Option<i32>,
    /// How many requests it is still to meet; all without a number.
    pub(crate) times: Option<usize>,
    pub(crate) effect: Effect,
}

/// What happens to a request that a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effect {
    /// The request is carried out first, and then the rest happens.
    pub(crate) applied: bool,
    pub(crate) delay: Duration,
    pub(crate) end: End,
}

/// How a request ends that a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    /// As it would without the fault.
    #[default]
    Regular,
    Error(ResponseError),
    Close,
    Silence,
}

impl Fault {
    /// A fault of all requests of an API, until it is cleared. The other calls make it narrower, and say what goes wrong.
    pub fn on(api: ApiKey) -> Self {
        Self {
            api,
            topic: None,
            group: None,
            transactional_id: None,
            client: None,
            broker: None,
            times: None,
            effect: Effect::default(),
        }
    }

    /// Only requests that name this topic. A request for "all topics" names none.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topic = Some(name.into());
        self
    }

    /// Only requests that name this group.
    pub fn group(mut self, id: impl Into<String>) -> Self {
        self.group = Some(id.into());
        self
    }

    /// Only requests that name this transactional id.
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    /// Only requests of clients with this `client.id`.
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }

    /// Only requests to this broker.
    pub fn broker(mut self, id: i32) -> Self {
        self.broker = Some(id);
        self
    }

    /// Only the next `n` such requests, instead of all until the fault is cleared.
    pub fn times(mut self, n: usize) -> Self {
        self.times = Some(n);
        self
    }

    /// The request is answered with this error for all that it asks for.
    ///
    /// A Produce without acknowledgements has no answer: its connection is closed, as Kafka does.
    pub fn answer(mut self, error: ResponseError) -> Self {
        self.effect.end = End::Error(error);
        self
    }

    /// The connection is closed, and the request has no answer.
    pub fn drop_connection(mut self) -> Self {
        self.effect.end = End::Close;
        self
    }

    /// The request has no answer, and the connection stays open: a broker that hangs. What follows on the connection
    /// waits behind it.
    pub fn no_answer(mut self) -> Self {
        self.effect.end = End::Silence;
        self
    }

    /// The request waits so long before anything else happens, or after it with [`after_applied`](Self::after_applied).
    /// What follows on its connection waits behind it. A stopped clock does not stop this.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effect.delay = delay;
        self
    }

    /// The request is carried out in full, and what goes wrong is its answer.
    pub fn after_applied(mut self) -> Self {
        self.effect.applied = true;
        self
    }

    /// Fails for a fault that cannot happen, so that a test learns of it here.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |reason: String| Err(Error::refused(format!("set up a fault of {:?}", self.api), reason));
        let Some(kinds) = crate::api::kinds(self.api) else {
            return refused("this broker does not serve it".to_owned());
        };
        let filters = [
            (&self.topic, Kind::Topic, "topics"),
            (&self.group, Kind::Group, "groups"),
            (&self.transactional_id, Kind::TransactionalId, "transactional ids"),
        ];
        for (filter, kind, plural) in filters {
            if filter.is_some() && !kinds.contains(&kind) {
                return refused(format!("its requests name no {plural}"));
            }
        }
        match self.effect.end {
            End::Error(ResponseError::Unknown(code)) => {
                refused(format!("no broker answers with the error code {code}"))
            }
            _ => Ok(()),
        }
    }
}
