//! Detects the worker id, the run id and the cargo-nextest run from the environment.

use std::sync::OnceLock;

use uuid::Uuid;

use super::environment::Environment;
use crate::model::error::{Error, Result};
use crate::model::ids::{RunId, WorkerId};
use crate::model::name_part::{self, NamePart};

impl WorkerId {
    /// Returns the builder's worker id, or the first that the environment names, or `main`.
    pub(crate) fn detect(built: Option<&str>, environment: &Environment) -> Result<Self> {
        let id = match (
            built.or_else(|| environment.get("RSTEST_KAFKA_WORKER_ID")),
            environment.get("NEXTEST_TEST_GLOBAL_SLOT"),
            environment.get("PYTEST_XDIST_WORKER"),
        ) {
            (Some(id), _, _) => id.to_owned(),
            (None, Some(slot), _) => format!("slot-{slot}"),
            (None, None, Some(worker)) => worker.to_owned(),
            (None, None, None) => "main".to_owned(),
        };
        name_part::check_part(NamePart::WorkerId, &id)?;
        if id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            // With worker id 1, the topic `orders-1` of lane 0 and the topic `orders` of lane 1 would have the same name.
            return Err(Error::Config {
                setting: "the worker id".to_owned(),
                value: id,
                takes: "it takes at least one letter, `.` or `_`, so that it differs from the number of a worker"
                    .to_owned(),
            });
        }
        Ok(Self::new(&id))
    }
}

impl RunId {
    /// Returns the id of the cargo-nextest run, or a random id of this process.
    pub(crate) fn detect(environment: &Environment) -> Result<Self> {
        static OF_PROCESS: OnceLock<RunId> = OnceLock::new();
        match environment.get("NEXTEST_RUN_ID") {
            Some(run) => match Uuid::parse_str(run) {
                Ok(run) => Ok(Self::of(run)),
                Err(_) => Err(Error::Config {
                    setting: "NEXTEST_RUN_ID".to_owned(),
                    value: run.to_owned(),
                    takes: "it takes the uuid that cargo-nextest sets".to_owned(),
                }),
            },
            None => Ok(OF_PROCESS.get_or_init(|| Self::of(Uuid::new_v4())).clone()),
        }
    }
}

/// The cargo-nextest run that this process belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextestRun {
    /// `NEXTEST_RUN_ID`, 32 hex digits.
    pub(crate) run: String,
    /// `NEXTEST_ATTEMPT`. If it is greater than 1, the test has failed before.
    pub(crate) attempt: u32,
}

impl NextestRun {
    /// Returns the run, or `None` if this process was not started by cargo-nextest.
    pub(crate) fn detect(environment: &Environment) -> Option<Self> {
        let run = Uuid::parse_str(environment.get("NEXTEST_RUN_ID")?).ok()?;
        let attempt = environment.get("NEXTEST_ATTEMPT").and_then(|attempt| attempt.parse().ok()).unwrap_or(1);
        Some(Self { run: run.simple().to_string(), attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::default(None, &[], "main")]
    #[case::xdist(None, &[("PYTEST_XDIST_WORKER", "gw3")], "gw3")]
    #[case::nextest(None, &[("NEXTEST_TEST_GLOBAL_SLOT", "7"), ("PYTEST_XDIST_WORKER", "gw3")], "slot-7")]
    #[case::variable(None, &[("RSTEST_KAFKA_WORKER_ID", "ci"), ("NEXTEST_TEST_GLOBAL_SLOT", "7")], "ci")]
    #[case::empty_is_unset(None, &[("RSTEST_KAFKA_WORKER_ID", "")], "main")]
    #[case::builder(Some("mine"), &[("RSTEST_KAFKA_WORKER_ID", "ci")], "mine")]
    fn worker_id_detection(#[case] built: Option<&str>, #[case] variables: &[(&str, &str)], #[case] id: &str) {
        let environment = match variables {
            [] => Environment::of([]),
            [one] => Environment::of([*one]),
            [one, two] => Environment::of([*one, *two]),
            _ => unreachable!("no case has more"),
        };
        let worker = WorkerId::detect(built, &environment).unwrap();
        assert_eq!(worker.as_str(), id);
        assert_eq!(worker.of_lane(0).as_str(), id);
        assert_eq!(worker.of_lane(2).as_str(), format!("{id}-2"));
    }

    #[rstest]
    #[case("")]
    #[case("a b")]
    #[case("ä")]
    fn an_invalid_worker_id_is_named(#[case] id: &str) {
        let message = WorkerId::detect(Some(id), &Environment::of([])).unwrap_err().to_string();
        assert!(message.contains("worker id") && message.contains(&format!("{id:?}")), "{message}");
    }

    #[rstest]
    fn the_run_id_is_the_one_of_nextest_or_of_the_process() {
        let nextest = Environment::of([("NEXTEST_RUN_ID", "8f14e45f-ceea-467f-a9ab-3c5d9a2b1c0d")]);
        assert_eq!(RunId::detect(&nextest).unwrap().as_str(), "8f14e45f");
        let process = RunId::detect(&Environment::of([])).unwrap();
        assert_eq!(process, RunId::detect(&Environment::of([])).unwrap(), "created once per process");
        assert!(process.len() == 8 && process.chars().all(|digit| digit.is_ascii_hexdigit()), "{process}");
        let garbled = Environment::of([("NEXTEST_RUN_ID", "later")]);
        assert!(RunId::detect(&garbled).unwrap_err().to_string().contains("later"));
    }
}
