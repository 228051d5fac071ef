//! Regular expressions that clients send.

use regex_lite::{Error, Regex, RegexBuilder};

/// How much memory a regular expression may take: no name needs more.
const MOST_BYTES: usize = 1 << 20;

/// A regular expression that must match a whole name.
pub(crate) fn whole(text: &str) -> Result<Regex, Error> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(MOST_BYTES).build();
    // By itself first, so that no parenthesis of its own closes the group around it.
    compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")))
}
