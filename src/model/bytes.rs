//! Shows bytes as text. Invalid UTF-8 and control characters are escaped.

use std::fmt;

/// The most bytes of a key or a value that a preview shows.
const PREVIEW: usize = 120;

/// Writes text as a quoted string and other bytes in hex, both cut off after a readable length.
pub(crate) fn preview(f: &mut fmt::Formatter<'_>, bytes: Option<&[u8]>) -> fmt::Result {
    let Some(bytes) = bytes else { return f.write_str("none") };
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).take_while(|at| *at <= PREVIEW).last();
            write!(f, "{:?}", &text[..end.unwrap_or(0)])?;
        }
        Err(_) => {
            f.write_str("0x")?;
            for byte in bytes.iter().take(PREVIEW / 2) {
                write!(f, "{byte:02x}")?;
            }
        }
    }
    let shown = if std::str::from_utf8(bytes).is_ok() { PREVIEW } else { PREVIEW / 2 };
    if bytes.len() > shown { write!(f, "… ({} bytes)", bytes.len()) } else { Ok(()) }
}

/// Converts bytes to text. Each byte that is not UTF-8 becomes an escape such as `\xff`.
pub(crate) fn as_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Escapes a character that is not printable. Quotes and backslashes are not escaped.
pub(crate) fn harmless(character: char) -> String {
    match character {
        '"' | '\'' | '\\' => character.to_string(),
        other => other.escape_debug().to_string(),
    }
}
