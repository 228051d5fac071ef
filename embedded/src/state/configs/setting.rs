//! The definition of a property: its type, its valid values, and Kafka's messages for invalid values.

/// The types of properties, with their numbers in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// The valid values of a property, in addition to its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Check {
    Any,
    NotEmpty,
    AtLeast(i64),
    Range(i64, i64),
    /// A range, or one number outside of it.
    RangeOr(i64, i64, i64),
    Ratio(f64, f64),
    /// One of these words. In a list, each element is one of them.
    OneOf(&'static [&'static str]),
    OneOfAnyCase(&'static [&'static str]),
    /// Pairs of `partition:broker`, or `*`.
    ThrottledReplicas,
    /// `earliest`, `latest` or a duration.
    OffsetReset,
}

/// The definition of a property.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    pub(crate) check: Check,
}

impl Setting {
    /// Checks a value, and returns it in the form that Kafka shows.
    pub(crate) fn parse(&self, value: &str) -> Result<String, String> {
        let value = value.trim();
        let refuse = |why: String| Err(format!("Invalid value {value} for configuration {}: {why}", self.name));
        match self.kind {
            Kind::Boolean => match value.to_ascii_lowercase().as_str() {
                known @ ("true" | "false") => Ok(known.to_owned()),
                _ => refuse("Expected value to be either true or false".to_owned()),
            },
            Kind::Int | Kind::Short | Kind::Long => {
                let (parsed, kind) = match self.kind {
                    Kind::Int => (value.parse::<i32>().ok().map(i64::from), "INT"),
                    Kind::Short => (value.parse::<i16>().ok().map(i64::from), "SHORT"),
                    _ => (value.parse::<i64>().ok(), "LONG"),
                };
                let Some(number) = parsed else { return refuse(format!("Not a number of type {kind}")) };
                self.check.number(number).map_or_else(|| Ok(number.to_string()), refuse)
            }
            Kind::Double => {
                let Ok(number) = value.parse::<f64>() else {
                    return refuse("Not a number of type DOUBLE".to_owned());
                };
                let (low, high) =
                    if let Check::Ratio(low, high) = self.check { (low, high) } else { (f64::MIN, f64::MAX) };
                match number {
                    n if n < low => refuse(format!("Value must be at least {low}")),
                    n if n > high => refuse(format!("Value must be no more than {high}")),
                    n => Ok(format!("{n:?}")),
                }
            }
            Kind::List => {
                let elements: Vec<&str> =
                    value.split(',').map(str::trim).filter(|element| !element.is_empty()).collect();
                if let Check::OneOf(words) = self.check
                    && let Some(unknown) = elements.iter().find(|element| !words.contains(element))
                {
                    return Err(format!(
                        "Invalid value {unknown} for configuration {}: String must be one of: {}",
                        self.name,
                        words.join(", ")
                    ));
                }
                match self.check {
                    Check::ThrottledReplicas if !are_throttled_replicas(&elements) => Err(format!(
                        "Invalid value [{}] for configuration {name}: {name} must be the literal '*' or a list of replicas \
                         in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                        elements.join(", "),
                        name = self.name,
                    )),
                    Check::NotEmpty if elements.is_empty() => refuse("List must not be empty".to_owned()),
                    _ => Ok(elements.join(",")),
                }
            }
            Kind::Text | Kind::Class | Kind::Password => {
                self.check.word(value).map_or_else(|| Ok(value.to_owned()), refuse)
            }
        }
    }
}

impl Check {
    /// Returns the message for an invalid number.
    fn number(self, number: i64) -> Option<String> {
        let (low, high) = match self {
            Self::AtLeast(low) => (low, i64::MAX),
            Self::Range(low, high) => (low, high),
            Self::RangeOr(low, high, other) if number != other => {
                let fits = (low..=high).contains(&number);
                return (!fits).then(|| format!("Value must be between {low} and {high} or equal to {other}"));
            }
            _ => return None,
        };
        match number {
            number if number < low => Some(format!("Value must be at least {low}")),
            number if number > high => Some(format!("Value must be no more than {high}")),
            _ => None,
        }
    }

    fn word(self, word: &str) -> Option<String> {
        match self {
            Self::OneOf(words) if !words.contains(&word) => {
                Some(format!("String must be one of: {}", words.join(", ")))
            }
            Self::OneOfAnyCase(words) if !words.iter().any(|known| known.eq_ignore_ascii_case(word)) => {
                Some(format!("String must be one of (case insensitive): {}", words.join(", ")))
            }
            Self::NotEmpty if word.is_empty() => Some("String must be non-empty".to_owned()),
            Self::OffsetReset if !is_offset_reset(word) => {
                Some("share.auto.offset.reset must be `latest`, `earliest` or `by_duration:PnDTnHnMn.nS`".to_owned())
            }
            _ => None,
        }
    }
}

fn are_throttled_replicas(elements: &[&str]) -> bool {
    matches!(elements, [] | ["*"]) || elements.iter().all(|element| is_pair(element))
}

fn is_pair(element: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    element.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

fn is_offset_reset(word: &str) -> bool {
    let duration = word.get(..12).filter(|begin| begin.eq_ignore_ascii_case("by_duration:")).map(|_| &word[12..]);
    ["earliest", "latest"].contains(&word.to_ascii_lowercase().as_str())
        || duration.is_some_and(|duration| duration.starts_with(['P', 'p']) && duration.len() > 2)
}
