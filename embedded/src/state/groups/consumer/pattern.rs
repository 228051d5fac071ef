//! Regular expressions in subscriptions, which the broker resolves.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use regex_lite::Regex;

use super::refusal::Refusal;
use crate::state::{Topics, regex};

/// A regular expression, and the topics that it matches.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    pub(super) topics: BTreeSet<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, Refusal> {
        let regex = regex::whole(text).map_err(|error| {
            Refusal::new(
                ResponseError::InvalidRegularExpression,
                format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {error}."),
            )
        })?;
        Ok(Self { regex, topics: BTreeSet::new() })
    }

    /// Resolves the expression to the visible topics whose whole names match. Returns whether they have changed.
    pub(super) fn resolve(&mut self, topics: &Topics, is_visible: impl Fn(&str) -> bool) -> bool {
        let matching = topics.iter().filter(|topic| self.regex.is_match(&topic.name) && is_visible(&topic.name));
        let topics = matching.map(|topic| topic.name.clone()).collect();
        std::mem::replace(&mut self.topics, topics) != self.topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Topics {
        let mut topics = Topics::default();
        for name in names {
            topics.add(name, vec![vec![1]], Default::default());
        }
        topics
    }

    fn matching(text: &str, names: &[&str]) -> Vec<String> {
        let mut pattern = Pattern::new(text).unwrap();
        pattern.resolve(&topics(names), |name| name != "hidden");
        pattern.topics.into_iter().collect()
    }

    #[test]
    fn the_whole_name_has_to_match() {
        let names = ["orders", "orders-retry", "my-orders", "hidden"];
        assert_eq!(matching("orders", &names), ["orders"]);
        assert_eq!(matching("^orders.*", &names), ["orders", "orders-retry"]);
        assert_eq!(matching("my.*|orders$", &names), ["my-orders", "orders"]);
        assert_eq!(matching("(?i)ORDERS", &names), ["orders"]);
        assert_eq!(matching("my.*|h.*", &names), ["my-orders"]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["a(", "a)(b", "[", "*", "(?!a)", "a{1000}{1000}{1000}"] {
            let refusal = Pattern::new(text).unwrap_err();
            assert_eq!(refusal.error, ResponseError::InvalidRegularExpression, "{text}");
        }
    }
}
