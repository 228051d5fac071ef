//! Faults that a test injects into requests.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::api::names::Kind;
use crate::error::{Error, Result};

/// A fault in some requests: which requests it affects, how many of them, and what goes wrong.
///
/// [`topic`](Self::topic), [`client`](Self::client), [`times`](Self::times) and similar methods select the requests. The methods
/// in this table select what goes wrong. If none of them is called, the fault changes nothing and only counts requests.
///
/// | | the request is | the client receives |
/// |---|---|---|
/// | [`answer`](Self::answer) | not processed | the error |
/// | [`drop_connection`](Self::drop_connection) | not processed | no response, because its connection is closed |
/// | [`no_answer`](Self::no_answer) | not processed | no response, on an open connection |
/// | [`delay`](Self::delay) | processed after the delay | the response after the delay |
/// | [`after_applied`](Self::after_applied) and one of these | processed at once | the error, a closed connection, no response, or the response after the delay |
///
/// ```
/// use std::time::Duration;
/// use embedded_kafka::{ApiKey, EmbeddedKafka, ErrorCode, Fault};
///
/// let kafka = EmbeddedKafka::start()?;
/// // The broker appends the records, but the response is lost, so the producer sends them again.
/// kafka.fault(Fault::on(ApiKey::Produce).topic("orders").after_applied().drop_connection().times(1))?;
/// // One instance of a service receives its records late.
/// kafka.fault(Fault::on(ApiKey::Fetch).client("billing-2").delay(Duration::from_millis(50)))?;
/// # Ok::<(), embedded_kafka::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a fault has no effect until it is passed to `EmbeddedKafka::fault`"]
pub struct Fault {
    pub(crate) api: ApiKey,
    pub(crate) topic: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) transactional_id: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) broker: Option<i32>,
    /// How many more requests it affects. `None` affects all.
    pub(crate) times: Option<usize>,
    pub(crate) effect: Effect,
}

/// What happens to a request that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effect {
    /// Whether the request is processed before the delay and the end.
    pub(crate) applied: bool,
    pub(crate) delay: Duration,
    pub(crate) end: End,
}

/// The response to a request that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    /// The same response as without the fault.
    #[default]
    Regular,
    Error(ResponseError),
    Close,
    Silence,
}

impl Fault {
    /// Creates a fault that affects all requests of an API until the fault is cleared.
    ///
    /// The other methods select fewer requests and what goes wrong with them.
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

    /// Affects only requests that name this topic. A request for all topics names no topic.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topic = Some(name.into());
        self
    }

    /// Affects only requests that name this group.
    pub fn group(mut self, id: impl Into<String>) -> Self {
        self.group = Some(id.into());
        self
    }

    /// Affects only requests that name this transactional id.
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    /// Affects only requests of clients with this `client.id`.
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }

    /// Affects only requests to the broker with this id.
    pub fn broker(mut self, id: i32) -> Self {
        self.broker = Some(id);
        self
    }

    /// Affects only the next `n` matching requests, instead of all until the fault is cleared.
    pub fn times(mut self, n: usize) -> Self {
        self.times = Some(n);
        self
    }

    /// Responds with this error for every topic, partition or group of the request.
    ///
    /// If the request is a Produce with `acks=0`, which has no response, the connection is closed, as in Kafka.
    pub fn answer(mut self, error: ResponseError) -> Self {
        self.effect.end = End::Error(error);
        self
    }

    /// Closes the connection without a response.
    pub fn drop_connection(mut self) -> Self {
        self.effect.end = End::Close;
        self
    }

    /// Never responds, and keeps the connection open, like a broker that hangs.
    ///
    /// Later requests on the same connection wait for this one.
    pub fn no_answer(mut self) -> Self {
        self.effect.end = End::Silence;
        self
    }

    /// Delays the request before it is processed. With [`after_applied`](Self::after_applied), delays only the response.
    ///
    /// Later requests on the same connection wait for this one. The delay also passes while the broker's clock is paused.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.effect.delay = delay;
        self
    }

    /// Processes the request completely, so that the fault affects only its response.
    pub fn after_applied(mut self) -> Self {
        self.effect.applied = true;
        self
    }

    /// Refuses a fault that can never happen. Otherwise a test would pass without its fault.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |reason: String| Err(Error::refused(format!("set up a fault of {:?}", self.api), reason));
        let Some(kinds) = crate::api::kinds(self.api) else {
            return refused("the broker does not serve this API".to_owned());
        };
        let filters = [
            (&self.topic, Kind::Topic, "topics"),
            (&self.group, Kind::Group, "groups"),
            (&self.transactional_id, Kind::TransactionalId, "transactional ids"),
        ];
        for (filter, kind, plural) in filters {
            if filter.is_some() && !kinds.contains(&kind) {
                return refused(format!("requests of this API name no {plural}"));
            }
        }
        match self.effect.end {
            End::Error(ResponseError::Unknown(code)) => {
                refused(format!("no broker responds with the error code {code}"))
            }
            _ => Ok(()),
        }
    }
}
