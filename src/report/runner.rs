//! Which processes belong to one run: those of the same runner, `cargo test` or cargo-nextest, as long as it lives.

use crate::ledger::ProcessMark;

/// The test binary's name, without the hash that cargo puts behind it.
pub(super) fn this_binary() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_hash = |end: &str| end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    match stem.rsplit_once('-') {
        Some((name, hash)) if is_hash(hash) => name.to_owned(),
        _ => stem.into_owned(),
    }
}

/// What stands in a page for the runner of this process.
///
/// Where the system does not tell who that is, the run's id: under cargo-nextest all processes have the same, elsewhere each
/// has its own.
pub(super) fn of_this_process(run_id: &str) -> String {
    match ProcessMark::of_runner() {
        Some(ProcessMark { pid, start: Some(start), host }) => format!("{pid} {start} {host}"),
        _ => format!("run {run_id}"),
    }
}

/// Whether what that runner has begun goes on: a page of it is extended, never replaced.
pub(super) fn goes_on(theirs: &str, ours: &str) -> bool {
    let mark = || {
        let mut parts = theirs.splitn(3, ' ');
        let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(ProcessMark { pid, start: Some(start), host: parts.next()?.to_owned() })
    };
    theirs == ours || mark().is_some_and(|mark| mark.is_alive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_processes_are_those_of_a_living_runner() {
        assert!(goes_on("run 1a2b3c4d", "run 1a2b3c4d"));
        assert!(!goes_on("run 1a2b3c4d", "run 00000000"));
        for odd in ["", "1", "1 2", "x y z"] {
            assert!(!goes_on(odd, "run 00000000"), "{odd:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_runner_that_has_ended_is_none() {
        let ours = of_this_process("00000000");
        assert!(goes_on(&ours, "run 00000000"), "{ours}");
        let mut parts: Vec<&str> = ours.splitn(3, ' ').collect();
        let earlier = (parts[1].parse::<u64>().unwrap() - 1).to_string();
        parts[1] = &earlier;
        assert!(!goes_on(&parts.join(" "), &ours), "its number, started earlier");
    }

    #[test]
    fn a_binary_is_called_without_its_hash() {
        assert!(this_binary().starts_with("rstest_kafka"), "{}", this_binary());
        assert!(!this_binary().contains('-'), "{}", this_binary());
    }
}
