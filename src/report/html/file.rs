//! The two files of an HTML report, which the processes of a run write one after another.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::iter;
use std::path::Path;
use std::time::Duration;

use super::page;
use super::run::{BEGINNING, Lease, Line, Process, Run};
use crate::sync::wait::Deadline;

/// Adds a process to the data of the run, or replaces the data of an earlier run, and draws the report from all of them.
pub(super) fn write(report: &Path, process: Process, leases: Vec<Lease>, deadline: Deadline) -> io::Result<()> {
    let (data, drawn) = (report.with_extension("jsonl"), report.with_extension("tmp"));
    check(report, page::BEGINNING)?;
    check(&data, BEGINNING)?;
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&data)?;
    // A file system without locks has another error: a process that writes alone needs none.
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if deadline.has_passed() {
            return Err(io::Error::other(format!("another process holds the lock of {}", data.display())));
        }
        deadline.pause(Duration::from_millis(2));
    }
    let mut earlier = Vec::new();
    file.read_to_end(&mut earlier)?;
    let mut run = Run::of(&String::from_utf8_lossy(&earlier));
    // The last line is torn where a process was killed while it wrote.
    let mut text = String::from(if earlier.ends_with(b"\n") { "" } else { "\n" });
    if !run.has(&process.run_id) {
        file.set_len(0)?;
        text.clear();
        run = Run::default();
    }
    for line in iter::once(Line::Process(process)).chain(leases.into_iter().map(Line::Lease)) {
        text += &serde_json::to_string(&line)?;
        text.push('\n');
        run.add(line);
    }
    file.seek(SeekFrom::End(0))?;
    file.write_all(text.as_bytes())?;
    run.sort();
    // A reader sees the earlier report or this one, never a part.
    fs::write(&drawn, page::draw(&run))?;
    fs::rename(&drawn, report)
}

/// Refuses a file that rstest-kafka has not written, and what is not a file: opening a pipe waits for its other end.
fn check(path: &Path, beginning: &str) -> io::Result<()> {
    let Ok(found) = path.metadata() else { return Ok(()) };
    let mut start = Vec::new();
    if found.is_file() {
        File::open(path)?.take(beginning.len() as u64).read_to_end(&mut start)?;
    }
    if found.is_file() && beginning.as_bytes().starts_with(&start) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} exists and is not a file that rstest-kafka has written", path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::run::VERSION;
    use super::*;

    const SOON: fn() -> Deadline = || Deadline::after(Duration::from_secs(10));

    fn add(report: &Path, run_id: &str, test: &str, deadline: Deadline) -> io::Result<()> {
        let process = Process { version: VERSION, run_id: run_id.to_owned(), ..Process::default() };
        write(report, process, vec![Lease { test: test.to_owned(), ..Lease::default() }], deadline)
    }

    fn tests_of(report: &Path) -> Vec<String> {
        let run = Run::of(&fs::read_to_string(report.with_extension("jsonl")).unwrap());
        let html = fs::read_to_string(report).unwrap();
        assert!(html.starts_with(page::BEGINNING) && html.ends_with("</html>"), "{html}");
        let mut tests: Vec<String> = run.leases.into_iter().map(|lease| lease.test).collect();
        assert!(tests.iter().all(|test| html.contains(&format!("<td class=\"name\">{test}</td>"))), "{html}");
        tests.sort();
        tests
    }

    #[test]
    fn a_report_of_the_run_is_extended_and_one_of_another_run_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("kafka.html");
        add(&report, "a", "one", SOON()).unwrap();
        add(&report, "a", "two", SOON()).unwrap();
        assert_eq!(tests_of(&report), ["one", "two"]);
        add(&report, "b", "three", SOON()).unwrap();
        assert_eq!(tests_of(&report), ["three"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the report and its data");
    }

    #[test]
    fn a_process_that_was_killed_while_it_wrote_costs_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("kafka.html");
        add(&report, "a", "one", SOON()).unwrap();
        add(&report, "a", "two", SOON()).unwrap();
        let data = report.with_extension("jsonl");
        let whole = fs::read(&data).unwrap();
        fs::write(&data, &whole[..whole.len() - 20]).unwrap();
        add(&report, "a", "three", SOON()).unwrap();
        assert_eq!(tests_of(&report), ["one", "three"]);
        // Its first line.
        fs::write(&data, &whole[..20]).unwrap();
        add(&report, "a", "four", SOON()).unwrap();
        assert_eq!(tests_of(&report), ["four"]);
    }

    #[test]
    fn processes_that_exit_together_lose_no_lease() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("kafka.html");
        std::thread::scope(|scope| {
            for n in 0..16 {
                let report = &report;
                scope.spawn(move || add(report, "a", &format!("{n:02}"), SOON()).unwrap());
            }
        });
        assert_eq!(tests_of(&report), (0..16).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_foreign_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for (foreign, report) in [("Cargo.toml", "Cargo.toml"), ("data.jsonl", "data.html")] {
            fs::write(folder.path().join(foreign), "[package]").unwrap();
            let error = add(&folder.path().join(report), "a", "one", SOON()).unwrap_err().to_string();
            assert!(error.contains(foreign) && error.contains("rstest-kafka has written"), "{error}");
            assert_eq!(fs::read_to_string(folder.path().join(foreign)).unwrap(), "[package]");
        }
        assert!(add(folder.path(), "a", "one", SOON()).is_err());
        assert!(add(&folder.path().join("no such folder/kafka.html"), "a", "one", SOON()).is_err());
    }

    #[test]
    fn a_lock_is_waited_for_until_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("kafka.html");
        let held = File::create(report.with_extension("jsonl")).unwrap();
        held.lock().unwrap();
        let error = add(&report, "a", "one", Deadline::after(Duration::from_millis(20))).unwrap_err().to_string();
        assert!(error.contains("another process holds the lock"), "{error}");
        drop(held);
        add(&report, "a", "one", SOON()).unwrap();
    }
}
