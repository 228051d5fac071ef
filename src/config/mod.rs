//! Settings. The builder overrides the environment, and the environment overrides the default.

pub(crate) mod environment;
mod identity;
pub(crate) mod java;
mod output;
pub(crate) mod properties;
mod state_dir;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::identity::NextestRun;
pub use self::output::{FailureReport, KeepTopics, Report};
use self::properties::{Property, is_of_connection};
pub(crate) use self::state_dir::StateDir;
use crate::config::environment::Environment;
use crate::model::error::{Error, Result};
use crate::model::ids::{RunId, WorkerId};
use crate::model::name_part::{self, NamePart};

/// The settings of the builder. `None` leaves a setting to the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) bootstrap_servers: Option<String>,
    pub(crate) properties_file: Option<PathBuf>,
    pub(crate) properties: Vec<Property>,
    pub(crate) embedded_brokers: Option<usize>,
    pub(crate) topic_prefix: Option<String>,
    pub(crate) group_prefix: Option<String>,
    pub(crate) worker_id: Option<String>,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication_factor: Option<i32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) exit_deadline: Option<Duration>,
    pub(crate) max_idle_consumers: Option<usize>,
    pub(crate) keep_topics: Option<KeepTopics>,
    pub(crate) report: Option<Report>,
    pub(crate) failure_report: Option<FailureReport>,
    pub(crate) state_dir: Option<PathBuf>,
}

/// The resolved and validated settings of a harness.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `None`: the embedded broker.
    pub(crate) bootstrap_servers: Option<String>,
    /// The properties of all clients: first the properties of the file, then the builder's, which override them. For the embedded
    /// broker only the builder's, without addresses and security settings.
    pub(crate) properties: Vec<Property>,
    pub(crate) embedded_brokers: usize,
    pub(crate) topic_prefix: String,
    pub(crate) group_prefix: String,
    pub(crate) worker_id: WorkerId,
    pub(crate) run_id: RunId,
    /// `None`: this process was not started by cargo-nextest.
    pub(crate) nextest: Option<NextestRun>,
    pub(crate) partitions: i32,
    /// `None`: the broker's default.
    pub(crate) replication_factor: Option<i32>,
    pub(crate) timeout: Duration,
    pub(crate) exit_deadline: Duration,
    pub(crate) max_idle_consumers: usize,
    pub(crate) keep_topics: KeepTopics,
    pub(crate) report: Report,
    pub(crate) failure_report: FailureReport,
    pub(crate) state_dir: StateDir,
}

const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

impl Config {
    /// Resolves every setting. Returns an error for the first invalid value.
    pub(crate) fn resolve(settings: &Settings, environment: &Environment) -> Result<Self> {
        environment.refuse_unknown()?;
        // Variables are parsed even if the builder overrides them, because an invalid variable is always a mistake.
        let number = |name, range: RangeInclusive<u64>| {
            environment.setting(name, |value| value.parse().ok().filter(|number| range.contains(number)))
        };
        let text = |name| environment.setting(name, |value| Some(value.to_owned()));
        let milliseconds = |name| Ok::<_, Error>(number(name, 1..=600_000)?.map(Duration::from_millis));

        let variable = number("PARTITIONS", 1..=1_000)?.map(|number| number as i32);
        let partitions = in_range("partitions", settings.partitions, 1..=1_000, variable)?;
        let variable = number("REPLICATION_FACTOR", 1..=32_767)?.map(|number| number as i32);
        let replication_factor = in_range("replication_factor", settings.replication_factor, 1..=32_767, variable)?;
        let variable = number("EMBEDDED_BROKERS", 1..=9)?.map(|number| number as usize);
        let embedded_brokers = in_range("embedded_brokers", settings.embedded_brokers, 1..=9, variable)?;
        let timeout = duration("timeout", settings.timeout, milliseconds("TIMEOUT_MS")?)?;
        let exit_deadline = duration("exit_deadline", settings.exit_deadline, milliseconds("EXIT_DEADLINE_MS")?)?;
        let variable = number("MAX_IDLE_CONSUMERS", 0..=10_000)?.map(|number| number as usize);
        let max_idle_consumers = in_range("max_idle_consumers", settings.max_idle_consumers, 0..=10_000, variable)?;
        let keep_variable = environment.setting("KEEP_TOPICS", KeepTopics::parse)?;
        let report_variable = environment.setting("REPORT", Report::parse)?;
        let failure_report_variable = environment.setting("FAILURE_REPORT", FailureReport::parse)?;
        let reports = [("Harness::builder().report", &settings.report), ("RSTEST_KAFKA_REPORT", &report_variable)];
        for (setting, report) in reports {
            if let Some(refusal) = report.as_ref().and_then(Report::refusal) {
                return Err(Error::Config {
                    setting: setting.to_owned(),
                    value: String::new(),
                    takes: refusal.to_owned(),
                });
            }
        }
        let state_variable = text("STATE_DIR")?.map(PathBuf::from);
        let state_dir = match settings.state_dir.clone().or(state_variable) {
            Some(given) => StateDir::Given(given),
            None => StateDir::Own(state_homes(environment)),
        };

        // If the builder sets `embedded_brokers`, it overrides a cluster of the environment.
        let bootstrap_variable = text("BOOTSTRAP_SERVERS")?;
        let properties_variable = text("PROPERTIES")?.map(PathBuf::from);
        let is_embedded = settings.bootstrap_servers.is_none() && settings.embedded_brokers.is_some();
        let properties_file = match &settings.properties_file {
            Some(path) => Some(("Harness::builder().properties_file", path)),
            None => properties_variable.as_ref().map(|path| ("RSTEST_KAFKA_PROPERTIES", path)),
        };
        let mut properties = match properties_file.filter(|_| !is_embedded) {
            Some((setting, path)) => properties::read(setting, path)?,
            None => Vec::new(),
        };
        properties.extend(settings.properties.iter().cloned());
        // If only the properties name a cluster, that cluster is used.
        let named_by_properties = properties.iter().rfind(|(key, _)| key == "bootstrap.servers");
        let named_by_properties = named_by_properties.map(|(_, servers)| servers.0.clone());
        let bootstrap_servers = match (&settings.bootstrap_servers, settings.embedded_brokers) {
            (Some(servers), _) => Some(("Harness::builder().bootstrap_servers", servers.clone())),
            (None, Some(_)) => None,
            (None, None) => bootstrap_variable
                .map(|servers| ("RSTEST_KAFKA_BOOTSTRAP_SERVERS", servers))
                .or(named_by_properties.map(|servers| ("bootstrap.servers of the properties", servers))),
        };
        if let Some((setting, servers)) = bootstrap_servers.as_ref().filter(|(_, servers)| servers.trim().is_empty()) {
            return Err(Error::Config {
                setting: (*setting).to_owned(),
                value: servers.clone(),
                takes: "it takes host:port, separated by commas".to_owned(),
            });
        }

        if bootstrap_servers.is_none() {
            properties = settings.properties.iter().filter(|(key, _)| !is_of_connection(key)).cloned().collect();
        }

        let topic_prefix = settings.topic_prefix.clone().or(text("TOPIC_PREFIX")?).unwrap_or_else(|| "test".to_owned());
        name_part::check_part(NamePart::TopicPrefix, &topic_prefix)?;
        let group_prefix =
            settings.group_prefix.clone().or(text("GROUP_PREFIX")?).unwrap_or_else(|| "test-consumer".to_owned());
        name_part::check_part(NamePart::GroupPrefix, &group_prefix)?;
        text("WORKER_ID")?;

        Ok(Self {
            bootstrap_servers: bootstrap_servers.map(|(_, servers)| servers),
            properties,
            embedded_brokers: embedded_brokers.unwrap_or(1),
            topic_prefix,
            group_prefix,
            worker_id: WorkerId::detect(settings.worker_id.as_deref(), environment)?,
            run_id: RunId::detect(environment)?,
            nextest: NextestRun::detect(environment),
            partitions: partitions.unwrap_or(1),
            replication_factor,
            timeout: timeout.unwrap_or(Duration::from_secs(5)),
            exit_deadline: exit_deadline.unwrap_or(Duration::from_secs(5)),
            max_idle_consumers: max_idle_consumers.unwrap_or(64),
            keep_topics: settings.keep_topics.or(keep_variable).unwrap_or_default(),
            report: settings.report.clone().or(report_variable).unwrap_or_default(),
            failure_report: settings.failure_report.or(failure_report_variable).unwrap_or_default(),
            state_dir,
        })
    }
}

/// Returns the directories in which the user's programs keep their state, most preferred first.
fn state_homes(environment: &Environment) -> Vec<PathBuf> {
    let directory = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = directory("HOME").map(|home| home.join(".local/state"));
    [directory("XDG_STATE_HOME"), home, directory("LOCALAPPDATA")].into_iter().flatten().collect()
}

fn in_range<T: PartialOrd + Display>(
    method: &str,
    built: Option<T>,
    range: RangeInclusive<T>,
    variable: Option<T>,
) -> Result<Option<T>> {
    match built {
        Some(value) if !range.contains(&value) => Err(Error::Config {
            setting: format!("Harness::builder().{method}"),
            value: value.to_string(),
            takes: format!("it takes {} to {}", range.start(), range.end()),
        }),
        value => Ok(value.or(variable)),
    }
}

fn duration(method: &str, built: Option<Duration>, variable: Option<Duration>) -> Result<Option<Duration>> {
    match built {
        Some(value) if value < Duration::from_millis(1) || value > LONGEST_TIMEOUT => Err(Error::Config {
            setting: format!("Harness::builder().{method}"),
            value: format!("{value:?}"),
            takes: "it takes 1 ms to 10 minutes".to_owned(),
        }),
        value => Ok(value.or(variable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use rstest::rstest;
    use std::collections::BTreeMap;
    use std::io::Write as _;

    fn resolve<const N: usize>(settings: Settings, variables: [(&str, &str); N]) -> Result<Config> {
        Config::resolve(&settings, &Environment::of(variables))
    }

    #[rstest]
    fn defaults_are_the_documented_ones() {
        let config = resolve(Settings::default(), []).unwrap();
        assert_eq!(config.bootstrap_servers, None);
        assert_eq!((config.topic_prefix.as_str(), config.group_prefix.as_str()), ("test", "test-consumer"));
        assert_eq!((config.partitions, config.replication_factor), (1, None));
        assert_eq!((config.timeout, config.exit_deadline), (Duration::from_secs(5), Duration::from_secs(5)));
        assert_eq!((config.max_idle_consumers, config.keep_topics), (64, KeepTopics::Never));
        assert_eq!((config.report, config.embedded_brokers), (Report::Off, 1));
    }

    #[rstest]
    fn the_builder_overrides_the_environment_which_overrides_the_default() {
        let variables = [
            ("RSTEST_KAFKA_TOPIC_PREFIX", "env"),
            ("RSTEST_KAFKA_GROUP_PREFIX", "env-group"),
            ("RSTEST_KAFKA_PARTITIONS", "3"),
            ("RSTEST_KAFKA_TIMEOUT_MS", "250"),
            ("RSTEST_KAFKA_EXIT_DEADLINE_MS", "750"),
            ("RSTEST_KAFKA_MAX_IDLE_CONSUMERS", "2"),
            ("RSTEST_KAFKA_KEEP_TOPICS", "failed"),
            ("RSTEST_KAFKA_REPORT", "summary"),
            ("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "env:9092"),
            ("RSTEST_KAFKA_REPLICATION_FACTOR", "2"),
            ("RSTEST_KAFKA_WORKER_ID", "env-worker"),
        ];
        let from_env = resolve(Settings::default(), variables).unwrap();
        assert_eq!((from_env.topic_prefix.as_str(), from_env.group_prefix.as_str()), ("env", "env-group"));
        assert_eq!((from_env.partitions, from_env.replication_factor), (3, Some(2)));
        assert_eq!(from_env.timeout, Duration::from_millis(250));
        assert_eq!(from_env.exit_deadline, Duration::from_millis(750));
        assert_eq!((from_env.max_idle_consumers, from_env.keep_topics), (2, KeepTopics::Failed));
        assert_eq!(from_env.report, Report::Summary);
        assert_eq!(from_env.bootstrap_servers.as_deref(), Some("env:9092"));
        assert_eq!(from_env.worker_id.as_str(), "env-worker");

        let settings = Settings {
            topic_prefix: Some("built".to_owned()),
            group_prefix: Some("built-group".to_owned()),
            partitions: Some(7),
            timeout: Some(Duration::from_secs(1)),
            bootstrap_servers: Some("built:9092".to_owned()),
            worker_id: Some("built-worker".to_owned()),
            ..Settings::default()
        };
        let built = resolve(settings, variables).unwrap();
        assert_eq!((built.topic_prefix.as_str(), built.group_prefix.as_str()), ("built", "built-group"));
        assert_eq!((built.partitions, built.timeout), (7, Duration::from_secs(1)));
        assert_eq!(built.bootstrap_servers.as_deref(), Some("built:9092"));
        assert_eq!(built.worker_id.as_str(), "built-worker");
        assert_eq!(built.exit_deadline, Duration::from_millis(750), "the builder does not set it");
    }

    #[rstest]
    fn embedded_brokers_of_the_builder_override_a_cluster_of_the_environment() {
        let settings = Settings { embedded_brokers: Some(3), ..Settings::default() };
        let config = resolve(settings, [("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "env:9092")]).unwrap();
        assert_eq!((config.bootstrap_servers, config.embedded_brokers), (None, 3));
    }

    #[rstest]
    fn a_cluster_that_only_the_properties_name_is_used() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "bootstrap.servers=file:9092\nsecurity.protocol=SASL_SSL").unwrap();
        let path = file.path().to_str().unwrap();
        let from_file = ("RSTEST_KAFKA_PROPERTIES", path);
        let servers = |settings, variables: &[(&str, &str)]| {
            let mut all = BTreeMap::from([("RSTEST_KAFKA_WORKER_ID", "w"), from_file]);
            all.extend(variables.iter().copied());
            let environment = all.into_iter().collect::<Vec<_>>();
            let config = match environment[..] {
                [a, b] => resolve(settings, [a, b]),
                [a, b, c] => resolve(settings, [a, b, c]),
                _ => unreachable!("no case has more"),
            };
            let config = config.unwrap();
            (config.bootstrap_servers, config.properties.len())
        };
        let built = |property: &str| Settings {
            properties: vec![("bootstrap.servers".to_owned(), Secret(property.to_owned()))],
            ..Settings::default()
        };
        assert_eq!(servers(Settings::default(), &[]), (Some("file:9092".to_owned()), 2));
        assert_eq!(servers(built("built:9092"), &[]), (Some("built:9092".to_owned()), 3));
        let variable = [("RSTEST_KAFKA_BOOTSTRAP_SERVERS", "env:9092")];
        assert_eq!(servers(built("built:9092"), &variable), (Some("env:9092".to_owned()), 3));
        let embedded = Settings { embedded_brokers: Some(1), ..Settings::default() };
        assert_eq!(servers(embedded, &[]), (None, 0), "the embedded broker's clients do not read it");
    }

    #[rstest]
    #[case::zero_partitions("RSTEST_KAFKA_PARTITIONS", "0")]
    #[case::no_number("RSTEST_KAFKA_PARTITIONS", "many")]
    #[case::zero_timeout("RSTEST_KAFKA_TIMEOUT_MS", "0")]
    #[case::huge_timeout("RSTEST_KAFKA_TIMEOUT_MS", "99999999999999999999")]
    #[case::a_day("RSTEST_KAFKA_EXIT_DEADLINE_MS", "86400000")]
    #[case::negative("RSTEST_KAFKA_MAX_IDLE_CONSUMERS", "-1")]
    #[case::keep("RSTEST_KAFKA_KEEP_TOPICS", "sometimes")]
    #[case::report("RSTEST_KAFKA_REPORT", "yes")]
    #[case::html_report("RSTEST_KAFKA_REPORT", "html:")]
    #[case::html_report_without_a_path("RSTEST_KAFKA_REPORT", "html")]
    #[case::html_report_with_a_space("RSTEST_KAFKA_REPORT", " html:kafka.html")]
    #[case::replication("RSTEST_KAFKA_REPLICATION_FACTOR", "0")]
    #[case::brokers("RSTEST_KAFKA_EMBEDDED_BROKERS", "10")]
    #[case::prefix("RSTEST_KAFKA_TOPIC_PREFIX", "sp ace")]
    #[case::worker("RSTEST_KAFKA_WORKER_ID", "a/b")]
    #[case::worker_like_a_lane("RSTEST_KAFKA_WORKER_ID", "1-2")]
    #[case::server("RSTEST_KAFKA_BOOTSTRAP_SERVERS", " ")]
    fn an_invalid_variable_is_named(#[case] variable: &str, #[case] value: &str) {
        let message = resolve(Settings::default(), [(variable, value)]).unwrap_err().to_string();
        assert!(message.contains(value), "{message}");
        let named = message.contains(variable) || message.contains("topic prefix") || message.contains("worker id");
        assert!(named, "{message}");
    }

    #[rstest]
    #[case::zero_partitions(Settings { partitions: Some(0), ..Settings::default() }, "partitions is \"0\"")]
    #[case::zero_timeout(Settings { timeout: Some(Duration::ZERO), ..Settings::default() }, "timeout is \"0ns\"")]
    #[case::huge_timeout(Settings { timeout: Some(Duration::MAX), ..Settings::default() }, "timeout is")]
    #[case::no_broker(Settings { embedded_brokers: Some(0), ..Settings::default() }, "embedded_brokers is \"0\"")]
    #[case::no_path(Settings { report: Some(Report::Html("".into())), ..Settings::default() }, "builder().report: an HTML report takes")]
    #[case::huge_pool(Settings { max_idle_consumers: Some(10_001), ..Settings::default() }, "idle_consumers is \"10001\"")]
    #[case::no_server(Settings { bootstrap_servers: Some(" ".into()), ..Settings::default() }, "bootstrap_servers")]
    fn an_invalid_builder_value_is_named(#[case] settings: Settings, #[case] says: &str) {
        let message = resolve(settings, []).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }

    #[rstest]
    #[case("off", Report::Off)]
    #[case("summary", Report::Summary)]
    #[case("html:target/kafka.html", Report::Html("target/kafka.html".into()))]
    #[case("html:C:\\a b.html", Report::Html("C:\\a b.html".into()))]
    fn a_report_is_parsed(#[case] value: &str, #[case] report: Report) {
        assert_eq!(Report::parse(value), Some(report));
    }

    #[rstest]
    fn an_html_report_takes_the_feature() {
        let html = || Report::Html("target/kafka.html".into());
        let built = resolve(Settings { report: Some(html()), ..Settings::default() }, []);
        let variable = resolve(Settings::default(), [("RSTEST_KAFKA_REPORT", "html:target/kafka.html")]);
        for (resolved, setting) in [(built, "builder().report"), (variable, "RSTEST_KAFKA_REPORT")] {
            match resolved {
                Ok(config) => assert!(cfg!(feature = "report") && config.report == html()),
                Err(error) => {
                    let message = error.to_string();
                    assert!(cfg!(not(feature = "report")) && message.contains(setting), "{message}");
                    assert!(message.contains("the feature `report`"), "{message}");
                }
            }
        }
    }

    #[rstest]
    fn the_error_for_an_unknown_variable_lists_the_known_ones() {
        let message = resolve(Settings::default(), [("RSTEST_KAFKA_TIMEOUT", "hunter2")]).unwrap_err().to_string();
        assert!(message.starts_with("RSTEST_KAFKA_TIMEOUT: unknown variable"), "{message}");
        assert!(message.contains("RSTEST_KAFKA_TIMEOUT_MS"), "{message}");
        assert!(!message.contains("hunter2"), "it may be a password: {message}");
    }
}
