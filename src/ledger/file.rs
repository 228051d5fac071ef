//! One ledger file: claimed by a lock, read as a whole, appended to.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::contents::Contents;
use super::event::{self, Event, Header, Unreadable};
use super::folder::{self, unusable};
use crate::model::error::Result;
use crate::sync::fault_point;

/// A file that has grown beyond this is shortened when it is opened.
const LONGEST: u64 = 128 * 1024;

/// What one owner has created on a cluster, in a file that this process has locked until the ledger is dropped or the
/// process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    header: Header,
    /// Held while lines are written; never while a broker is asked.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    length: u64,
    contents: Contents,
}

/// What became of the attempt to claim a file.
#[derive(Debug)]
pub(super) enum Claim {
    Ours(Box<Ledger>),
    /// Empty, or not there.
    Nothing,
    /// Another process has it.
    Held,
    Unreadable(Unreadable),
}

impl Ledger {
    /// Claims the file at the path; if there is none, it is created with this header.
    pub(super) fn open(path: &Path, header: &Header) -> Result<Claim> {
        let open = || -> io::Result<Claim> {
            let Some((mut file, bytes)) = lock(path, true)? else { return Ok(Claim::Held) };
            if !bytes.is_empty() {
                return Self::read(path, file, &bytes);
            }
            let text = event::file(header, [])?;
            append_to(&mut file, 0, &text)?;
            fault_point::point("header");
            Ok(Self::ours(path, header.clone(), file, text.len() as u64, Contents::default()))
        };
        open().map_err(|error| unusable(path, "write the ledger file", error))
    }

    /// Claims a file that another process has left.
    pub(super) fn claim(path: &Path) -> io::Result<Claim> {
        match lock(path, false) {
            Ok(None) => Ok(Claim::Held),
            Ok(Some((_, bytes))) if bytes.is_empty() => Ok(Claim::Nothing),
            Ok(Some((file, bytes))) => Self::read(path, file, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Claim::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Removes a file in which nothing was written, unless a process has it.
    pub(super) fn remove_empty(path: &Path) {
        if let Ok(Some((file, bytes))) = lock(path, false)
            && bytes.is_empty()
            && folder::is_at(&file, path)
        {
            let _ = std::fs::remove_file(path);
        }
    }

    fn ours(path: &Path, header: Header, file: File, length: u64, contents: Contents) -> Claim {
        let inner = Mutex::new(Inner { file, length, contents });
        Claim::Ours(Box::new(Self { path: path.to_owned(), header, inner }))
    }

    fn read(path: &Path, file: File, bytes: &[u8]) -> io::Result<Claim> {
        let (header, events) = match event::read(bytes) {
            Ok(whole) => whole,
            Err(unreadable) => return Ok(Claim::Unreadable(unreadable)),
        };
        let contents = Contents::of(&events);
        let length = event::whole_lines(bytes).len() as u64;
        if length < bytes.len() as u64 {
            // The next line must not be appended to a torn one.
            file.set_len(length)?;
        }
        let shorter = if length > LONGEST { shorten(path, &header, &contents).ok() } else { None };
        let (file, length) = shorter.unwrap_or((file, length));
        Ok(Self::ours(path, header, file, length, contents))
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn contents<T>(&self, ask: impl FnOnce(&Contents) -> T) -> T {
        ask(&self.lock().contents)
    }

    /// Appends the events that change something, all or none of them.
    pub(super) fn append(&self, events: &[Event]) -> Result<()> {
        let mut inner = self.lock();
        let Inner { file, length, contents } = &mut *inner;
        let new: Vec<&Event> = events.iter().filter(|event| !contents.knows(event)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let written = event::lines(new.iter().copied()).and_then(|text| append_to(file, *length, &text));
        *length = written.map_err(|error| unusable(&self.path, "write the ledger file", error))?;
        new.into_iter().for_each(|event| contents.apply(event));
        Ok(())
    }

    /// Removes the file, which nobody else has as long as we hold its lock.
    pub(super) fn remove(&self) {
        fault_point::point("remove");
        if folder::is_at(&self.lock().file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens and locks the file; `None` if another process has it.
fn lock(path: &Path, create: bool) -> io::Result<Option<(File, Vec<u8>)>> {
    loop {
        let mut file = folder::open_file(path, create)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between opening and locking, its last owner may have removed it.
        if folder::is_at(&file, path) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return Ok(Some((file, bytes)));
        }
    }
}

/// Appends the text to a file of that length, in one write, and returns the new length.
fn append_to(file: &mut File, length: u64, text: &[u8]) -> io::Result<u64> {
    if let Err(error) = file.write_all(text) {
        // A full disk may have taken half a line.
        let _ = file.set_len(length);
        return Err(error);
    }
    Ok(length + text.len() as u64)
}

/// Replaces the file by a shorter one that amounts to the same.
fn shorten(path: &Path, header: &Header, contents: &Contents) -> io::Result<(File, u64)> {
    let shorter = path.with_extension("new");
    let _ = std::fs::remove_file(&shorter);
    let mut file = folder::open_file(&shorter, true)?;
    // Locked before it takes the other's place, so that nobody finds it free.
    file.try_lock()?;
    let length = append_to(&mut file, 0, &event::file(header, &contents.events())?)?;
    // Else a crash of the machine could leave an empty file in the place of one that was on the disk.
    file.sync_data()?;
    std::fs::rename(&shorter, path)?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::process;

    fn ours(claim: Claim) -> Box<Ledger> {
        match claim {
            Claim::Ours(ledger) => ledger,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_has_one_owner_at_a_time_and_keeps_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        assert!(matches!(Ledger::claim(&path).unwrap(), Claim::Nothing));
        let first = ours(Ledger::open(&path, &process()).unwrap());
        first.append(&[Event::create_group("g")]).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        first.append(&[Event::create_group("g")]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length, "nothing is written twice");
        assert!(matches!(Ledger::open(&path, &process()).unwrap(), Claim::Held));
        assert!(matches!(Ledger::claim(&path).unwrap(), Claim::Held));
        drop(first);
        let second = ours(Ledger::claim(&path).unwrap());
        assert_eq!(second.groups(), vec!["g".to_owned()]);
        second.remove();
        assert!(!path.exists());
    }

    #[test]
    fn after_a_torn_line_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let group = Event::create_group;
        ours(Ledger::open(&path, &process()).unwrap()).append(&[group("first"), group("torn")]).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().append(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let next = ours(Ledger::open(&path, &process()).unwrap());
        assert_eq!(next.groups(), ["first"]);
        next.append(&[group("second")]).unwrap();
        drop(next);
        assert_eq!(ours(Ledger::claim(&path).unwrap()).groups(), ["first", "second"]);
    }

    #[test]
    fn a_long_file_is_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let ledger = ours(Ledger::open(&path, &process()).unwrap());
        let name = |n: usize| "g".repeat(n % 240 + 1);
        for n in 0..1_000 {
            ledger.append(&[Event::create_group(&name(n))]).unwrap();
            ledger.append(&[Event::GroupGone { name: name(n) }]).unwrap();
        }
        ledger.append(&[Event::create_group("last")]).unwrap();
        drop(ledger);
        assert!(std::fs::metadata(&path).unwrap().len() > LONGEST);
        let ledger = ours(Ledger::open(&path, &process()).unwrap());
        assert_eq!(ledger.groups(), vec!["last".to_owned()]);
        assert!(std::fs::metadata(&path).unwrap().len() < 1_000);
        assert!(matches!(Ledger::claim(&path).unwrap(), Claim::Held), "the shortened one is locked too");
        ledger.append(&[Event::create_group("more")]).unwrap();
        drop(ledger);
        let ledger = ours(Ledger::claim(&path).unwrap());
        assert_eq!(ledger.groups(), vec!["last".to_owned(), "more".to_owned()]);
    }
}
