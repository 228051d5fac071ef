//! Children: tests that other tests run in a process of their own, to read what they did: the lines they `say`, what
//! libtest printed, how it ended and when.
//!
//! They are the test target `children`, which `cargo test` leaves out. The first test of a process that needs a child has
//! cargo build them.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::cargo;

/// Set for a child; what it is set to is the test's own business.
pub const CHILD_RUN: &str = "CHILD_RUN";

/// How a line begins that a child test says to its parent.
const SAYS: &str = "child says ";

/// How long a child may take in all: for the machine that hangs, not for any rule.
const AT_MOST: Duration = Duration::from_secs(120);

/// The binary of the children. A test that measures time asks for it before: it may have to be built.
pub fn children() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| cargo::build("children"))
}

pub fn is_child() -> bool {
    env::var_os(CHILD_RUN).is_some()
}

/// Tells the parent something, as `who: what`.
pub fn say(who: &str, what: impl std::fmt::Display) {
    eprintln!("{SAYS}{who}: {what}");
}

/// A run of some children, to be started.
pub struct Child {
    command: Command,
    /// How many tests are to be found at least; libtest takes a name that no test has for success.
    tests: usize,
}

impl Child {
    /// The children of these paths, in alphabetical order where `threads` is 1.
    pub fn tests(paths: &[&str], threads: usize) -> Self {
        let mut child = Self::with(&["--exact", "--nocapture"]);
        child.command.arg(format!("--test-threads={threads}")).args(paths);
        child.tests = paths.len();
        child
    }

    /// The children whose path has this in it.
    pub fn module(path: &str, threads: usize) -> Self {
        let mut child = Self::with(&["--nocapture"]);
        child.command.arg(format!("--test-threads={threads}")).arg(path);
        child.tests = 1;
        child
    }

    /// The binary of the children with these arguments of libtest's.
    pub fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new(children());
        command.args(arguments).env(CHILD_RUN, "yes").stdin(Stdio::null());
        // A runner's own settings are for this process.
        for variable in ["RUST_TEST_THREADS", "RUST_TEST_NOCAPTURE", "RUST_TEST_SHUFFLE", "RUST_BACKTRACE"] {
            command.env_remove(variable);
        }
        // Nor is the child one of this process's nextest run, with its slot.
        for (variable, _) in env::vars_os() {
            if variable.to_string_lossy().starts_with("NEXTEST") {
                command.env_remove(variable);
            }
        }
        Self { command, tests: 0 }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Waits for its end.
    pub fn run(self) -> Outcome {
        self.start().end()
    }

    /// Starts it; it goes on until it ends by itself, or its test sees that it [`is_to_end`].
    pub fn start_until_ended(mut self) -> Running {
        self.command.stdin(Stdio::piped());
        self.start()
    }

    fn start(mut self) -> Running {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child, tests: self.tests }
    }
}

/// Whether the parent has ended this child, or is gone itself.
pub fn is_to_end() -> bool {
    static ENDED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let ended = ENDED.get_or_init(|| {
        let ended = Arc::new(AtomicBool::new(false));
        let sees = Arc::clone(&ended);
        thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            sees.store(true, Ordering::SeqCst);
        });
        ended
    });
    ended.load(Ordering::SeqCst)
}

/// A child that runs; killed if it is dropped.
pub struct Running {
    child: std::process::Child,
    tests: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Ends it where it watches for that, and waits for its end.
    pub fn end(mut self) -> Outcome {
        let tests = self.tests;
        let child = &mut self.child;
        drop(child.stdin.take());
        let started = Instant::now();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (report, lines) = mpsc::channel();
        let (report_errors, errors) = mpsc::channel();
        // Detached: what a child leaves running may keep its pipes open.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = report.send((Instant::now(), line));
            }
        });
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = BufReader::new(stderr).read_to_end(&mut text);
            let _ = report_errors.send(String::from_utf8_lossy(&text).into_owned());
        });
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > AT_MOST {
                child.kill().unwrap();
                child.wait().unwrap();
                let stderr = errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
                panic!("the child did not end within {AT_MOST:?}\n{stderr}");
            }
            thread::park_timeout(Duration::from_millis(1));
        };
        let ended = Instant::now();
        let stderr = errors.recv_timeout(Duration::from_secs(10)).expect("the pipe ends with the child");
        let mut stdout = Vec::new();
        let mut result_shown = None;
        while let Ok((at, line)) = lines.recv_timeout(Duration::from_secs(10)) {
            if line.starts_with("test result: ") {
                result_shown = Some(at);
            }
            stdout.push(line);
        }
        let exit_took = result_shown.map(|shown| ended.saturating_duration_since(shown));
        let outcome = Outcome { status, stdout, stderr, exit_took };
        let ran = outcome.stdout.iter().find_map(|line| line.strip_prefix("running ")?.split(' ').next()?.parse().ok());
        assert!(ran.is_none_or(|ran: usize| ran >= tests), "there is no child of that name\n{outcome}");
        outcome
    }
}

/// What a child did.
#[derive(Debug)]
pub struct Outcome {
    pub status: std::process::ExitStatus,
    /// Line by line.
    pub stdout: Vec<String>,
    pub stderr: String,
    /// From libtest's last line to the end of the process; `None` where it did not get there.
    pub exit_took: Option<Duration>,
}

impl Outcome {
    /// Asserts the exit code; a child that was killed by a signal, such as an abort's, has none.
    #[track_caller]
    pub fn exits_with(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{self}", self.status);
        self
    }

    /// What was said by `who`, in order.
    pub fn said_by(&self, who: &str) -> Vec<String> {
        let begin = format!("{SAYS}{who}: ");
        // libtest's own output may stand on the same line, before it.
        let after = |line: &str| line.find(&begin).map(|at| line[at + begin.len()..].to_owned());
        self.stderr.lines().filter_map(after).collect()
    }

    /// What was said by `who`, who spoke once.
    #[track_caller]
    pub fn once_by(&self, who: &str) -> String {
        let mut said = self.said_by(who);
        assert_eq!(said.len(), 1, "{who} spoke {} times\n{self}", said.len());
        said.remove(0)
    }

    /// Asserts that a test of this name ended so: `ok`, `FAILED`.
    #[track_caller]
    pub fn test_was(&self, name: &str, outcome: &str) -> &Self {
        let line = |line: &&String| line.starts_with(&format!("test {name} ")) && line.ends_with(outcome);
        assert!(self.stdout.iter().any(|found| line(&found)), "no test {name:?} that was {outcome}\n{self}");
        self
    }

    /// Asserts that every line on stdout is one of libtest's own.
    #[track_caller]
    pub fn stdout_is_libtests(&self) -> &Self {
        let known = |line: &str| {
            line.is_empty()
                || (line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")))
                || (line.starts_with("test ") && (line.ends_with(" ... ok") || line.ends_with(" ... FAILED")))
                || (line.starts_with("test ") && line.ends_with(" - should panic ... ok"))
                || line == "failures:"
                || (line.starts_with("    ") && !line.trim().contains(' '))
                || line.starts_with("test result: ")
        };
        for line in &self.stdout {
            assert!(known(line), "libtest does not print {line:?}\n{self}");
        }
        assert!(self.stdout.iter().any(|line| line.starts_with("test result: ")), "libtest's end is missing\n{self}");
        self
    }

    /// Asserts that the process ended so soon after libtest's last line.
    #[track_caller]
    pub fn exits_within(&self, limit: Duration) -> &Self {
        let took = self.exit_took.unwrap_or_else(|| panic!("libtest's end is missing\n{self}"));
        assert!(took <= limit, "its exit took {took:?}, more than {limit:?}\n{self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "--- stdout of the child\n{}", self.stdout.join("\n"))?;
        write!(f, "--- stderr of the child\n{}", self.stderr)
    }
}
