//! The folder in which ledger files are, and opening files in it without following anybody's links.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::StateDir;
use crate::model::error::{Error, Result};

impl StateDir {
    /// The folder, made if it is not there.
    pub(crate) fn open(&self) -> Result<PathBuf> {
        match self {
            Self::Given(path) => {
                let made = private_builder().recursive(true).create(path);
                made.map_err(|error| unusable(path, "make the state folder", error))?;
                Ok(path.clone())
            }
            Self::Own(bases) => {
                for base in bases {
                    let path = base.join("rstest-kafka");
                    if std::fs::create_dir_all(base).and_then(|()| make_private(&path)).is_ok() {
                        return check_private(path);
                    }
                }
                let path = std::env::temp_dir().join(temporary_name());
                make_private(&path).map_err(|error| unusable(&path, "make the state folder", error))?;
                check_private(path)
            }
        }
    }
}

/// An error that names the file or folder, and what to do.
pub(super) fn unusable(path: &Path, action: &str, source: io::Error) -> Error {
    Error::State { action: action.to_owned(), path: path.to_owned(), source: Arc::new(source) }
}

fn make_private(path: &Path) -> io::Result<()> {
    match private_builder().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// In a place that others can write to somebody else may have made it, or a link in its place.
fn check_private(path: PathBuf) -> Result<PathBuf> {
    let found = std::fs::symlink_metadata(&path).map_err(|error| unusable(&path, "use the state folder", error))?;
    let wrong = if !found.is_dir() { Some("it is not a folder") } else { whose(&found).err() };
    match wrong {
        None => Ok(path),
        Some(wrong) => Err(unusable(&path, "use the state folder", io::Error::other(wrong))),
    }
}

#[cfg(unix)]
mod system {
    use super::*;
    use std::fs::Metadata;
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};

    pub(super) fn private_builder() -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    }

    pub(super) fn temporary_name() -> String {
        format!("rstest-kafka-{}", user())
    }

    fn user() -> u32 {
        // SAFETY: it takes nothing, cannot fail and touches no memory.
        unsafe { libc::geteuid() }
    }

    pub(super) fn whose(folder: &Metadata) -> Result<(), &'static str> {
        if folder.uid() != user() {
            Err("it belongs to another user")
        } else if folder.mode() & 0o077 != 0 {
            Err("other users have rights to it: its mode must be 0700")
        } else {
            Ok(())
        }
    }

    pub(super) fn private_options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        options
    }

    pub(in crate::ledger) fn is_own(file: &File) -> bool {
        file.metadata().is_ok_and(|found| found.is_file() && found.uid() == user())
    }

    /// Whether the path still leads to this file.
    pub(in crate::ledger) fn is_at(file: &File, path: &Path) -> bool {
        let id = |found: &Metadata| (found.dev(), found.ino());
        matches!((file.metadata(), std::fs::symlink_metadata(path)), (Ok(open), Ok(there)) if id(&open) == id(&there))
    }
}

#[cfg(not(unix))]
mod system {
    use super::*;
    use std::fs::Metadata;

    pub(super) fn private_builder() -> DirBuilder {
        DirBuilder::new()
    }

    pub(super) fn temporary_name() -> String {
        "rstest-kafka".to_owned()
    }

    pub(super) fn whose(_: &Metadata) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn private_options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(in crate::ledger) fn is_own(_: &File) -> bool {
        true
    }

    pub(in crate::ledger) fn is_at(_: &File, path: &Path) -> bool {
        path.exists()
    }
}

pub(super) use self::system::{is_at, is_own};
use self::system::{private_builder, private_options, temporary_name, whose};

/// Opens a file to read it and to append to it.
pub(super) fn open_file(path: &Path, make: bool) -> io::Result<File> {
    private_options().read(true).append(true).create(make).open(path)
}

/// Opens a file to read it.
pub(super) fn read_file(path: &Path) -> io::Result<File> {
    private_options().read(true).open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_folder_of_ones_own_is_private_and_no_link() {
        let base = tempfile::tempdir().unwrap();
        let own = StateDir::Own(vec![base.path().join("not/there/yet")]);
        let path = own.open().unwrap();
        assert_eq!(path, base.path().join("not/there/yet/rstest-kafka"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(own.open().unwrap(), path, "and stays");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let message = own.open().unwrap_err();
        assert!(message.to_string().contains(&*path.to_string_lossy()), "{message}");
        assert!(std::error::Error::source(&message).unwrap().to_string().contains("0700"));

        std::fs::remove_dir(&path).unwrap();
        symlink(base.path(), &path).unwrap();
        assert!(own.open().is_err(), "a link is not followed");
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (target, link) = (base.path().join("target"), base.path().join("link"));
        std::fs::write(&target, "theirs").unwrap();
        symlink(&target, &link).unwrap();
        assert!(open_file(&link, true).is_err() && read_file(&link).is_err());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs");
    }

    #[test]
    fn a_given_folder_that_cannot_be_made_is_named() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        std::fs::write(&file, "").unwrap();
        let message = StateDir::Given(file.join("state")).open().unwrap_err().to_string();
        assert!(message.contains("file/state") && message.contains("RSTEST_KAFKA_STATE_DIR"), "{message}");
    }
}
