//! The one place where text becomes HTML.
//!
//! Written by hand: a template engine would be a dependency of everybody who wants the fixtures alone, for one page.

use std::fmt::{self, Write as _};

/// A text that the page did not write itself, safe between tags and inside a quoted attribute.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Characters that turn the direction of what follows would have a name look like another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                control if control.is_control() => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A test's path, which a line may break behind its modules.
pub(super) struct Path<'a>(pub(super) &'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.split("::").enumerate() {
            write!(f, "{}{}", if at > 0 { "::<wbr>" } else { "" }, Text(part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a::b_1", "a::b_1")]
    #[case("<script>alert('1')</script>", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;")]
    #[case("\" onclick=\"x", "&quot; onclick=&quot;x")]
    #[case("a & b &amp;", "a &amp; b &amp;amp;")]
    #[case("line\nbreak\0\u{1b}[31m", "line\u{fffd}break\u{fffd}\u{fffd}[31m")]
    #[case("\u{202e}txet", "\u{fffd}txet")]
    fn nothing_leaves_its_place(#[case] text: &str, #[case] html: &str) {
        assert_eq!(Text(text).to_string(), html);
        assert_eq!(Path(text).to_string().replace("<wbr>", ""), html);
    }
}
