//! The `embedded-kafka` binary, run as a child process.

#![cfg(feature = "cli")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use common::*;
use kafka_protocol::messages::MetadataRequest;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded-kafka"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the binary and returns the addresses of its brokers.
fn start(arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = command(arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().split(',').map(str::to_owned).collect())
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

#[test]
fn it_prints_its_addresses_and_exits_when_its_standard_input_is_closed() {
    let (mut child, addresses) = start(&["--brokers", "3", "--config", "num.partitions=4"]);
    assert_eq!(addresses.len(), 3);
    let mut raw = Raw::connect(&addresses[2]);
    let topic = metadata_topic("t");
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    eventually(|| (raw.call(&request, 12).topics[0].partitions.len() == 4).then_some(()));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(raw.receive_frame(), None);
}

fn metadata_topic(name: &str) -> kafka_protocol::messages::metadata_request::MetadataRequestTopic {
    kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

#[test]
#[cfg(unix)]
fn in_the_background_of_a_shell_it_runs_until_a_signal() {
    let mut child = command(&[]).stdin(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Raw::connect(line.trim_end()).call(&MetadataRequest::default(), 12);
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn errors_are_one_line_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let cases: [(&[&str], &str); 7] = [
        (&["--frob"], "invalid option '--frob'; see --help for the options"),
        (&["--port"], "missing argument for option '--port'; see --help for the options"),
        (
            &["--port", "many"],
            "cannot parse argument \"many\": invalid digit found in string; see --help for the options",
        ),
        (&["--config", "a"], "--config takes NAME=VALUE, and \"a\" has no \"=\"; see --help for the options"),
        (&["--brokers", "10"], "brokers cannot be \"10\": expected a number from 1 to 9"),
        (&["extra"], "unexpected argument \"extra\"; see --help for the options"),
        (&["--port", &taken], "; choose another --port, or none for a free one"),
    ];
    for (arguments, message) in cases {
        let output = run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr.starts_with("embedded-kafka: ") && stderr.trim_end().ends_with(message), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn it_prints_its_options_and_its_version() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("--config NAME=VALUE"));
    let version = run(&["-V"]);
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("embedded-kafka {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn it_keeps_running_if_its_output_is_closed() {
    let mut child = command(&[]).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}
