//! cargo, called by a test that needs something built which is no test of `cargo test`'s own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder of this run's builds, `target` or `target/x86_64-unknown-linux-gnu`.
fn builds() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("cargo puts this folder among its builds")
}

/// The target folder, and what is compiled for where cargo was told so: that has a folder of its own.
fn target() -> (&'static Path, Option<&'static str>) {
    let (builds, has_info) = (builds(), |folder: &Path| folder.join(".rustc_info.json").exists());
    match (builds.parent(), builds.file_name().and_then(|name| name.to_str())) {
        (Some(above), Some(triple)) if !has_info(builds) && has_info(above) && triple.contains('-') => {
            (above, Some(triple))
        }
        _ => (builds, None),
    }
}

/// cargo with the target folder of this run, and without the environment that belongs to this run or this package.
pub fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("NEXTEST") || name.starts_with("RSTEST_KAFKA_") || name.starts_with("CARGO_PKG") {
            command.env_remove(name);
        }
    }
    command.env("CARGO_TARGET_DIR", target().0).stdin(Stdio::null());
    command
}

macro_rules! features {
    ($($feature:literal)*) => { [$(($feature, cfg!(feature = $feature))),*] };
}

/// Each feature of this package, and whether this build has it.
const FEATURES: &[(&str, bool)] = &features!["default" "rstest" "tokio" "json" "report" "ssl" "ssl-vendored" "sasl" "gssapi" "zstd" "cmake-build" "dynamic-linking"];

/// The features of this build. The dependency of the tests on their own package adds `__internal`.
fn features() -> String {
    let manifest = include_str!("../../Cargo.toml").split_once("[features]\n").expect("there are features").1;
    for line in manifest.lines().take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.split_once(" = ") else { continue };
        let is_known = name == "__internal" || FEATURES.iter().any(|(known, _)| *known == name);
        assert!(is_known, "the feature {name} is missing in tests/common/cargo.rs");
    }
    FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

/// The folder of this build's profile: `debug` for the usual one.
fn profile() -> Option<String> {
    let binary = env::current_exe().ok()?;
    let within = binary.strip_prefix(builds().canonicalize().ok()?).ok()?;
    Some(within.iter().next()?.to_str()?.to_owned())
}

/// Builds a test target of this package, and returns the path of its binary. Features, profile and target are those of the
/// calling test, so that neither the library nor librdkafka is compiled again.
///
/// Of several processes that ask at once one builds: cargo has a lock for that. Where nothing has changed it takes a tenth of a
/// second.
pub fn build(test: &str) -> PathBuf {
    let mut cargo = command();
    cargo.args(["test", "--no-run", "--offline", "--message-format=json-render-diagnostics", "--test", test]);
    cargo.args(["--no-default-features", "--features", &features()]).current_dir(env!("CARGO_MANIFEST_DIR"));
    match profile().as_deref() {
        None | Some("debug") => {}
        Some(profile) => _ = cargo.args(["--profile", profile]),
    }
    if let Some(triple) = target().1 {
        cargo.args(["--target", triple]);
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo, which builds {test}, does not start: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = messages
        .filter(|message| message["target"]["name"] == test)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| {
        panic!("cargo could not build {test} ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr))
    })
}
