//! Java-style client property files.

use std::fs::File;
use std::path::Path;

use super::Secret;
use crate::error::{Error, Result};

/// Reads a client `.properties` file: escapes and continuation lines as in Java.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, Secret)>> {
    let unreadable = |why: String| Error::Config {
        setting: "RSTEST_KAFKA_PROPERTIES".to_owned(),
        value: path.display().to_string(),
        takes: format!("it takes the path of a readable .properties file ({why})"),
    };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let properties = java_properties::read(file).map_err(|error| unreadable(format!("{:?}", error.line_number())))?;
    let mut properties: Vec<_> = properties.into_iter().map(|(key, value)| (key, Secret(value))).collect();
    properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(properties)
}
