//! Regular expressions that clients send.

use regex_lite::{Error, Regex, RegexBuilder};

/// The memory limit of a regular expression. Topic names need no more.
const MOST_BYTES: usize = 1 << 20;

/// A regular expression that must match the whole name.
pub(crate) fn whole(text: &str) -> Result<Regex, Error> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(MOST_BYTES).build();
    // Compile the expression alone first, so that an unbalanced parenthesis in it cannot close the group around it.
    compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")))
}
