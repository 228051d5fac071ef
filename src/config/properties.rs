//! Reads Java-style client `.properties` files.

use std::path::Path;

use super::java;
use crate::model::error::{Error, Result};
use crate::model::secret::Secret;

/// A property of a file or of the builder, with its name in librdkafka.
pub(crate) type Property = (String, Secret);

/// Whether a property is an address or a security setting of a cluster.
pub(crate) fn is_of_connection(key: &str) -> bool {
    matches!(
        key,
        "bootstrap.servers" | "metadata.broker.list" | "security.protocol" | "enable.ssl.certificate.verification"
    ) || ["sasl.", "ssl."].iter().any(|prefix| key.starts_with(prefix))
}

/// Reads a client `.properties` file as Java clients do, and translates the names to librdkafka's.
///
/// `setting` is the builder method or variable that names the file, for error messages.
pub(crate) fn read(setting: &str, path: &Path) -> Result<Vec<Property>> {
    let unreadable = |why: String| Error::Config {
        setting: setting.to_owned(),
        value: path.display().to_string(),
        takes: format!("it takes the path of a readable .properties file ({why})"),
    };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let pairs = parse(&bytes).map_err(|line| unreadable(format!("line {line}: \\u takes four hexadecimal digits")))?;
    java::translate(pairs).map_err(|refusal| Error::Config {
        setting: format!("property {:?} in {}", refusal.property, path.display()),
        value: String::new(),
        takes: refusal.instead,
    })
}

/// Parses a file as `java.util.Properties.load` does: ISO 8859-1, with comments, continuation lines and escapes. If a key has
/// several values, the last one counts.
///
/// The error is the number of the first line of the entry that contains a malformed escape.
fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, usize> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (number, line) in LogicalLines::of(bytes) {
        let (key, value) = split(&line);
        let key = unescape(key).ok_or(number)?;
        let value = unescape(value).ok_or(number)?;
        pairs.retain(|(other, _)| *other != key);
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Iterates over the lines joined with their continuations, without comments and blank lines. Escapes are not replaced.
struct LogicalLines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> LogicalLines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, number: 0 }
    }

    /// Returns the next line of the file, without its line ending.
    fn natural(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        let ending = if rest.starts_with(b"\r\n") { 2 } else { rest.len().min(1) };
        self.rest = &rest[ending..];
        Some(line)
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = (usize, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut logical = Vec::new();
        let mut first_line = 0;
        let mut continues = false;
        while let Some(natural) = self.natural() {
            let line = trim_start(natural);
            if logical.is_empty() {
                // After a line with only a backslash, the next line may be a comment, as in Java.
                if matches!(line.first(), Some(b'#' | b'!')) || (line.is_empty() && !continues) {
                    continues = false;
                    continue;
                }
                first_line = self.number;
            }
            logical.extend_from_slice(line);
            let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
            continues = backslashes % 2 == 1;
            if continues {
                logical.pop();
            } else if logical.is_empty() {
                continue;
            } else {
                return Some((first_line, logical));
            }
        }
        (!logical.is_empty()).then_some((first_line, logical))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
    &line[start..]
}

/// Splits a line into key and value. The key ends at the first unescaped `=`, `:` or space. The value starts after one separator
/// and the spaces around it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = line.iter().position(|byte| {
        let ends = !escaped && (is_space(*byte) || matches!(byte, b'=' | b':'));
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let value = trim_start(rest);
    let value = value.strip_prefix(b"=").or(value.strip_prefix(b":")).unwrap_or(value);
    (key, trim_start(value))
}

/// Replaces the escapes. Returns `None` for a malformed escape. Two escapes may form one character, because Java uses UTF-16.
fn unescape(text: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let unit = match byte {
            b'\\' => match bytes.next()? {
                b't' => u16::from(b'\t'),
                b'r' => u16::from(b'\r'),
                b'n' => u16::from(b'\n'),
                b'f' => 0x0c,
                b'u' => (0..4).try_fold(0, |unit, _| {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    Some(unit << 4 | digit as u16)
                })?,
                other => u16::from(other),
            },
            other => u16::from(other),
        };
        units.push(unit);
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// `java.util.Properties` parses all of these in the same way. Only a lone backslash at the end of a file is an empty key in Java.
    #[rstest]
    #[case::plain(b"a=b\nc=d\n", &[("a", "b"), ("c", "d")])]
    #[case::no_end(b"a=b", &[("a", "b")])]
    #[case::windows_and_old_mac(b"a=b\r\nc=d\re=f", &[("a", "b"), ("c", "d"), ("e", "f")])]
    #[case::separators(b"a b\nc : d\ne\t=f\ng==h\ni=:j\nk", &[("a", "b"), ("c", "d"), ("e", "f"), ("g", "=h"), ("i", ":j"), ("k", "")])]
    #[case::spaces(b"  \x0c a = b  \n", &[("a", "b  ")])]
    #[case::empty(b"a=\nb:\n", &[("a", ""), ("b", "")])]
    #[case::comments(b"# a=b\n  ! c=d\\\ne=f\n#\\uzzzz\n", &[("e", "f")])]
    #[case::no_comment_after_a_value(b"a=b # c\n", &[("a", "b # c")])]
    #[case::blank(b"\n   \n\t\na=b\n\n", &[("a", "b")])]
    #[case::escaped_separators(b"a\\=b\\:c\\ d=e\n", &[("a=b:c d", "e")])]
    #[case::escapes(b"a=\\t\\r\\n\\f\\b\\\\\\q\\\"\n", &[("a", "\t\r\n\x0cb\\q\"")])]
    #[case::unicode(b"a=\\u00fc\\u20AC\\ud83d\\ude00\n", &[("a", "\u{fc}\u{20ac}\u{1f600}")])]
    #[case::latin_1(b"a=\xfc\x80\n", &[("a", "\u{fc}\u{80}")])]
    #[case::utf_8_is_read_as_latin_1("a=ü\n".as_bytes(), &[("a", "Ã¼")])]
    #[case::continued(b"a=b,\\\n   c,\\\r\n\td\n", &[("a", "b,c,d")])]
    #[case::continued_by_nothing(b"a=b\\\n\nc=d\\\n", &[("a", "b"), ("c", "d")])]
    #[case::continued_to_the_end(b"a=b\\", &[("a", "b")])]
    #[case::continued_comment_sign(b"a=b\\\n#c\n", &[("a", "b#c")])]
    #[case::continued_key(b"a\\\n  b=c\n", &[("ab", "c")])]
    #[case::even_backslashes(b"a=b\\\\\nc=d\n", &[("a", "b\\"), ("c", "d")])]
    #[case::twice(b"a=b\nc=d\na=e\n", &[("c", "d"), ("a", "e")])]
    #[case::empty_key(b"=a\n", &[("", "a")])]
    #[case::only_a_backslash(b"\\\n# b\nc=d\n", &[("c", "d")])]
    fn a_file_is_parsed_as_in_java(#[case] file: &[u8], #[case] pairs: &[(&str, &str)]) {
        let expected: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(file), Ok(expected));
    }

    #[rstest]
    #[case::no_digits(b"a=b\nc=\\uzzzz\n", 2)]
    #[case::too_few(b"a=\\u00f", 1)]
    #[case::in_a_continuation(b"\na=b\\\n\\u1\n", 2)]
    fn a_malformed_escape_is_an_error_with_its_line(#[case] file: &[u8], #[case] line: usize) {
        assert_eq!(parse(file), Err(line));
    }

    #[rstest]
    fn a_missing_file_is_named() {
        let message = read("RSTEST_KAFKA_PROPERTIES", Path::new("/nowhere/client.properties")).unwrap_err().to_string();
        assert!(message.starts_with("RSTEST_KAFKA_PROPERTIES is \"/nowhere/client.properties\""), "{message}");
    }
}
