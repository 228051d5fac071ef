//! Answers as text: what may differ between two brokers is left out.

use kafka_protocol::ResponseError;

/// Replaces the text between a prefix and an end, wherever it occurs.
pub fn rewrite(text: &str, prefix: &str, end: &str, anew: impl Fn(&str) -> String) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, from) = rest.split_at(at + prefix.len());
        let length = from.find(end).unwrap_or(from.len());
        written.push_str(before);
        written.push_str(&anew(&from[..length]));
        rest = &from[length..];
    }
    written + rest
}

pub fn plain(text: &str) -> String {
    let mut text = text.replace(", unknown_tagged_fields: {}", "").replace("throttle_time_ms: 0, ", "");
    // Sentences, ports and times are each broker's own; how often a member is to beat is so by a setting.
    text = rewrite(&text, "error_message: Some(\"", "\")", |_| "…".to_owned());
    text = text
        .replace("error_message: Some(\"…\")", "error_message: …")
        .replace("error_message: None", "error_message: …");
    for prefix in ["port: ", "log_append_time_ms: ", "transaction_start_time_ms: ", "heartbeat_interval_ms: "] {
        text = rewrite(&text, prefix, ",", |number| if number.starts_with('-') { number } else { "…" }.to_owned());
    }
    // A member whose name has never come to its client.
    for prefix in ["\"differential-", "\"instance-"] {
        text = rewrite(&text, prefix, "\"", |_| "…".to_owned());
    }
    rewrite(&text, "error_code: ", ",", |code| error(code.trim_end_matches(['}', ' ', ']']), code))
}

fn error(code: &str, text: &str) -> String {
    match code.parse().ok().and_then(ResponseError::try_from_code) {
        // Kafka asks the transaction coordinator about several producers at once, and takes them all for clients of the
        // version that the first one has.
        Some(ResponseError::TransactionAbortable) => text.replacen(code, "InvalidTxnState", 1),
        Some(error) => text.replacen(code, &format!("{error:?}"), 1),
        None => text.to_owned(),
    }
}

/// The names of errors that a broker gives while something is still on its way: a client asks again.
pub fn is_passing(text: &str) -> bool {
    [
        "ConcurrentTransactions",
        "CoordinatorLoadInProgress",
        "CoordinatorNotAvailable",
        "NotCoordinator",
        "NotEnoughReplicas",
    ]
    .iter()
    .any(|error| text.contains(error))
}
