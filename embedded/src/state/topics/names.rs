//! The rules for topic names.

/// The maximum length of a name.
const LONGEST: usize = 249;

/// Kafka's internal topics.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Returns the reason why a name is invalid, in Kafka's words.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let wrong = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.encode_utf16().count() > LONGEST => {
            format!("the length of '{name}' is longer than the max allowed length {LONGEST}")
        }
        _ if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {wrong}"))
}

pub(crate) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Returns the key of name collisions. Two topics must not have the same key, because metric names do not distinguish periods
/// from underscores. Returns `None` if the name has neither.
pub(crate) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["a", "a.b_c-D9", "__consumer_offsets", &"x".repeat(249), "...", "-"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", &"x".repeat(250), "a b", "a/b", "ä", "a\0"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_eq!(collision_key("ab"), None);
    }
}
