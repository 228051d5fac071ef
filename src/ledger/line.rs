//! One line of a ledger file: a checksum, then fields with tabs between them.
//!
//! A line that was cut, altered or written by somebody else does not pass its checksum.

/// The line of these fields, with its end.
pub(super) fn write<S: AsRef<str>>(fields: &[S]) -> String {
    let escaped: Vec<String> = fields.iter().map(|field| escape(field.as_ref())).collect();
    let payload = escaped.join("\t");
    format!("{:016x}\t{payload}\n", checksum(payload.as_bytes()))
}

/// The fields of a line without its end; `None` when its checksum is not that of its fields.
pub(super) fn read(line: &str) -> Option<Vec<String>> {
    let (sum, payload) = line.split_once('\t')?;
    if sum.len() != 16 || u64::from_str_radix(sum, 16).ok()? != checksum(payload.as_bytes()) {
        return None;
    }
    payload.split('\t').map(unescape).collect()
}

/// FNV-1a: tells what was damaged, not what was forged; the folder is the user's own.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn escape(field: &str) -> String {
    let mut escaped = String::with_capacity(field.len());
    for c in field.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn unescape(field: &str) -> Option<String> {
    let mut plain = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_fields_come_back_and_any_damage_shows() {
        let fields = ["topic", "a\tb\nc\\d\re", "", "ü"];
        let line = write(&fields);
        let line = line.strip_suffix('\n').expect("a line has an end");
        assert!(!line.contains('\n'), "it is one line");
        assert_eq!(read(line).unwrap(), fields);
        for at in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] ^= 1;
            if let Ok(damaged) = String::from_utf8(bytes) {
                // The checksum's own digits may change their case only, which this flip does not do.
                assert_eq!(read(&damaged), None, "byte {at}");
            }
            if let Some(cut) = line.get(..at) {
                assert_eq!(read(cut), None, "cut at {at}");
            }
        }
    }
}
