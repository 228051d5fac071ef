//! Steps with a deadline each. Their results are printed to stdout for scripts/clients.

use std::error::Error;
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(30);
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// A part of every name in this run.
pub fn run() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..8].to_owned()
}

/// Runs one step with a timeout, to distinguish a client that hangs from a client that is refused.
pub async fn step(name: &str, what: impl Future<Output = Outcome>) {
    let began = Instant::now();
    let told = match tokio::time::timeout(DEADLINE, what).await {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => format!("failed: {error}").replace('\n', " "),
        Err(_) => format!("failed: no end within {DEADLINE:?}"),
    };
    println!("{name} {told} {} ms", began.elapsed().as_millis());
}

pub fn equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{found:?} and not {expected:?}").into()) }
}
