//! The `embedded-kafka` binary: the broker for other processes, in any language.

use std::error::Error as _;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use embedded_kafka::{Builder, EmbeddedKafka};
use lexopt::prelude::*;

const HELP: &str = "\
An in-memory Kafka broker for tests that answers as Apache Kafka 4.1 does.

It prints the addresses of its brokers on the first line. It exits when its standard input is closed or when it receives a
signal. All data is lost when it exits.

Usage: embedded-kafka [OPTIONS]

Options:
  --port PORT           Set the port of the first broker on 127.0.0.1; the others use the ports after it [default: free ports]
  --brokers N           Set the number of brokers, 1 to 9 [default: 1]
  --config NAME=VALUE   Set a broker property by its name in Kafka, such as num.partitions=3; can be repeated
  --sasl USER:PASSWORD  Add a user, and refuse clients that do not log in; can be repeated
  --tls FILE            Encrypt connections with TLS, and write the CA certificate that clients must trust to FILE
  -h, --help            Print this help
  -V, --version         Print the version

Example:
  embedded-kafka --port 9092 --config num.partitions=3 --config auto.create.topics.enable=false
";

enum Command {
    /// Contains the file for the CA certificate.
    Start(Builder, Option<PathBuf>),
    Print(String),
}

fn main() -> ExitCode {
    let printed = match parse(lexopt::Parser::from_env()) {
        Ok(Command::Start(builder, certificate)) => return serve(builder, certificate),
        Ok(Command::Print(text)) => std::io::stdout().write_all(text.as_bytes()),
        Err(error) => return fail(&format!("{error}; see --help for the options")),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut builder, mut certificate) = (EmbeddedKafka::builder(), None);
    while let Some(argument) = parser.next()? {
        builder = match argument {
            Long("port") => builder.port(parser.value()?.parse()?),
            Long("brokers") => builder.brokers(parser.value()?.parse()?),
            Long("config") => {
                let setting = parser.value()?.string()?;
                let (name, value) = setting
                    .split_once('=')
                    .ok_or_else(|| format!("--config takes NAME=VALUE, and {setting:?} has no \"=\""))?;
                builder.config(name.trim(), value.trim())
            }
            Long("sasl") => sasl(builder, &parser.value()?.string()?)?,
            Long("tls") => {
                certificate = Some(parser.value()?.into());
                tls(builder)?
            }
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(concat!("embedded-kafka ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            other => return Err(other.unexpected()),
        };
    }
    Ok(Command::Start(builder, certificate))
}

#[cfg(feature = "sasl")]
fn sasl(builder: Builder, login: &str) -> Result<Builder, String> {
    // The error does not repeat the value, because it may contain a password.
    let (user, password) = login.split_once(':').ok_or("--sasl takes USER:PASSWORD")?;
    Ok(builder.sasl(user, password))
}

#[cfg(not(feature = "sasl"))]
fn sasl(_: Builder, _: &str) -> Result<Builder, String> {
    Err("--sasl requires the feature `sasl`; build with --features sasl".to_owned())
}

#[cfg(feature = "tls")]
fn tls(builder: Builder) -> Result<Builder, String> {
    Ok(builder.tls())
}

#[cfg(not(feature = "tls"))]
fn tls(_: Builder) -> Result<Builder, String> {
    Err("--tls requires the feature `tls`; build with --features tls".to_owned())
}

#[cfg(feature = "tls")]
fn write_certificate(kafka: &EmbeddedKafka, file: &Path) -> std::io::Result<()> {
    std::fs::write(file, kafka.ca_certificate().unwrap_or_default())
}

#[cfg(not(feature = "tls"))]
fn write_certificate(_: &EmbeddedKafka, _: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Serves until the standard input is closed.
fn serve(builder: Builder, certificate: Option<PathBuf>) -> ExitCode {
    let kafka = match builder.start() {
        Ok(kafka) => kafka,
        Err(error) => {
            let advice = match &error {
                embedded_kafka::Error::Io { .. } => "; choose another --port, or none for a free one",
                _ => "",
            };
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            return fail(&format!("{error}{cause}{advice}"));
        }
    };
    // Write the certificate before the first line, because clients may connect as soon as they have read the line.
    if let Some(file) = certificate
        && let Err(error) = write_certificate(&kafka, &file)
    {
        return fail(&format!("could not write the certificate to {}: {error}", file.display()));
    }
    let mut stdout = std::io::stdout();
    // Ignore a closed standard output, because a caller that chose the port needs no addresses.
    let _ = writeln!(stdout, "{}", kafka.bootstrap_servers()).and_then(|()| stdout.flush());
    wait_until_stdin_is_closed();
    ExitCode::SUCCESS
}

fn wait_until_stdin_is_closed() {
    if is_null_device() {
        // A shell gives /dev/null to a background job. It is at its end from the start, so only a signal stops this process.
        loop {
            std::thread::park();
        }
    }
    let mut stdin = std::io::stdin().lock();
    let mut ignored = [0; 1024];
    while !matches!(stdin.read(&mut ignored), Ok(0) | Err(_)) {}
}

#[cfg(unix)]
fn is_null_device() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;

    let stdin = std::io::stdin();
    let device = stdin.as_fd().try_clone_to_owned().map(std::fs::File::from).and_then(|file| file.metadata());
    device.is_ok_and(|device| device.file_type().is_char_device()) && !stdin.is_terminal()
}

#[cfg(not(unix))]
fn is_null_device() -> bool {
    false
}

fn fail(message: &str) -> ExitCode {
    eprintln!("embedded-kafka: {message}");
    ExitCode::from(2)
}
