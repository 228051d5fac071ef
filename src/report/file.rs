//! The page as a file, which the processes of a run write one after another.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::Run;
use super::{data, page, runner};
use crate::sync::wait::Deadline;

/// More than a full page ever has.
const LONGEST: u64 = 64 * 1024 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Where the page goes: `{binary}`, `{pid}` and `{run}` in the path are replaced, and a relative one starts from here.
pub(super) fn page(path: &Path, binary: &str, run_id: &str) -> PathBuf {
    let text = path.to_string_lossy();
    let told = if text.contains('{') {
        let pid = std::process::id().to_string();
        PathBuf::from(text.replace("{binary}", binary).replace("{pid}", &pid).replace("{run}", run_id))
    } else {
        path.to_owned()
    };
    std::path::absolute(&told).unwrap_or(told)
}

/// Writes the page. One that another process of the same run has written is drawn anew with both; one of a run that is over
/// is replaced; what is no page of ours is left alone.
pub(super) fn write(path: &Path, run: Run, runner: &str, deadline: Deadline) -> Result<(), String> {
    // Opening a pipe would wait for its reader.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err("it is there and is not a file".to_owned());
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| error.to_string())?;
    lock(&file, deadline)?;
    // Only now: what stands there was written by whoever had it before.
    let run = with_earlier(&mut file, run, runner)?;
    let text = page::draw(&run, runner);
    // In place, because the lock is the file's. Waiter reads it half way finds no end of the data and begins anew.
    let put = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    };
    put(&mut file).map_err(|error| error.to_string())
}

fn lock(file: &File, deadline: Deadline) -> Result<(), String> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if deadline.has_passed() => {
                return Err(format!("another process holds it for longer than {:?}", deadline.allowed()));
            }
            Err(TryLockError::WouldBlock) => deadline.pause(LOOK_AGAIN),
            // A file system without locks: one process alone writes the page as ever.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
        }
    }
}

fn with_earlier(file: &mut File, run: Run, runner: &str) -> Result<Run, String> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Ok(run);
    }
    if !bytes.starts_with(data::BEGINNING.as_bytes()) {
        return Err("it is there and is no page of rstest-kafka: it is left as it is".to_owned());
    }
    let earlier = std::str::from_utf8(&bytes).ok().and_then(data::decode);
    Ok(match earlier {
        Some((mut earlier, theirs)) if runner::goes_on(&theirs, runner) => {
            earlier.take_in(run);
            earlier
        }
        _ => run,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run::LeaseNote;

    const SOON: fn() -> Deadline = || Deadline::after(Duration::from_secs(10));

    fn run_of(test: &str) -> Run {
        let mut run = Run { processes: 1, ..Run::default() };
        run.add(LeaseNote { test: test.to_owned(), worker: "main".to_owned(), ..LeaseNote::default() });
        run
    }

    fn tests_of(path: &Path) -> Vec<String> {
        let (run, _) = data::decode(&std::fs::read_to_string(path).unwrap()).unwrap();
        run.leases.into_iter().map(|lease| lease.test).collect()
    }

    #[test]
    fn a_page_of_the_run_is_extended_and_one_of_another_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        write(&path, run_of("one"), "run a", SOON()).unwrap();
        write(&path, run_of("two"), "run a", SOON()).unwrap();
        assert_eq!(tests_of(&path), ["one", "two"]);
        write(&path, run_of("three"), "run b", SOON()).unwrap();
        assert_eq!(tests_of(&path), ["three"]);
        // One that was cut off is begun anew.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..80]).unwrap();
        write(&path, run_of("four"), "run b", SOON()).unwrap();
        assert_eq!(tests_of(&path), ["four"]);
    }

    #[test]
    fn many_at_once_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        std::thread::scope(|scope| {
            for n in 0..16 {
                let path = &path;
                scope.spawn(move || write(path, run_of(&format!("{n:02}")), "run a", SOON()).unwrap());
            }
        });
        let mut tests = tests_of(&path);
        tests.sort();
        assert_eq!(tests, (0..16).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_page_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Cargo.toml");
        std::fs::write(&path, "[package]").unwrap();
        let error = write(&path, run_of("one"), "run a", SOON()).unwrap_err();
        assert!(error.contains("no page of rstest-kafka"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[package]");
        assert!(write(folder.path(), run_of("one"), "run a", SOON()).unwrap_err().contains("not a file"));
        let missing = folder.path().join("no such folder").join("page.html");
        assert!(write(&missing, run_of("one"), "run a", SOON()).is_err());
    }

    #[test]
    fn a_page_that_another_holds_is_waited_for_until_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        let error = write(&path, run_of("one"), "run a", Deadline::after(Duration::from_millis(20))).unwrap_err();
        assert!(error.contains("another process holds it"), "{error}");
        drop(held);
        write(&path, run_of("one"), "run a", SOON()).unwrap();
    }

    #[test]
    fn a_path_may_name_the_process() {
        let at = page(Path::new("/x/{binary}-{pid}-{run}.html"), "smoke", "1a2b3c4d");
        assert_eq!(at, Path::new(&format!("/x/smoke-{}-1a2b3c4d.html", std::process::id())));
        assert!(page(Path::new("page.html"), "smoke", "1a2b3c4d").is_absolute());
    }
}
