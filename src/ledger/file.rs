//! One ledger file: claimed by a lock, appended to, read as a whole.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::book::Book;
use super::folder::{self, unusable};
use super::record::{self, Header, Record, Unreadable};
use crate::model::error::Result;
use crate::sync::fault_point;

/// A kill can cut a write only where it crosses a page: no line does, as long as it fits into one.
const PAGE: usize = 4096;

/// A file that has grown beyond this is written anew when it is opened, with what it still says.
const LONGEST: u64 = 128 * 1024;

/// A file that this process has locked, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// Held while a line is written; never while a broker is asked.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    length: u64,
    book: Book,
}

/// What became of the attempt to have a file.
#[derive(Debug)]
pub(super) enum Claim {
    Ours(Box<LedgerFile>, Header),
    /// Empty, or not there.
    Nothing,
    /// Another process has it.
    Held,
    Unreadable(Unreadable),
}

impl LedgerFile {
    /// Claims the file at the path, making it with this header if there is none.
    pub(super) fn open(path: &Path, header: &Header) -> Result<Claim> {
        let open = || -> io::Result<Claim> {
            let Some((file, bytes)) = lock(path, true)? else { return Ok(Claim::Held) };
            if !bytes.is_empty() {
                return Self::read(path, file, &bytes);
            }
            let inner = Inner { file, length: 0, book: Book::default() };
            let opened = Self { path: path.to_owned(), inner: Mutex::new(inner) };
            opened.append(&[Record::Header(Box::new(header.clone()))], true)?;
            if let Some(folder) = path.parent() {
                folder::sync_folder(folder)?;
            }
            fault_point::point("header");
            Ok(Claim::Ours(Box::new(opened), header.clone()))
        };
        open().map_err(|error| unusable(path, "write the ledger file", error))
    }

    /// Claims a file that somebody else has left.
    pub(super) fn claim(path: &Path) -> io::Result<Claim> {
        match lock(path, false) {
            Ok(None) => Ok(Claim::Held),
            Ok(Some((_, bytes))) if bytes.is_empty() => Ok(Claim::Nothing),
            Ok(Some((file, bytes))) => Self::read(path, file, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Claim::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Removes a file in which nothing was written, unless somebody has it.
    pub(super) fn remove_empty(path: &Path) {
        if let Ok(Some((file, bytes))) = lock(path, false)
            && bytes.is_empty()
            && folder::is_at(&file, path)
        {
            let _ = std::fs::remove_file(path);
        }
    }

    fn read(path: &Path, file: File, bytes: &[u8]) -> io::Result<Claim> {
        let (header, records) = match record::read(bytes) {
            Ok(whole) => whole,
            Err(unreadable) => return Ok(Claim::Unreadable(unreadable)),
        };
        let book = Book::of(&records);
        let whole = record::whole_lines(bytes).len();
        if whole < bytes.len() {
            // What is appended begins a line of its own.
            file.set_len(whole as u64)?;
        }
        let (file, length) = match whole as u64 {
            length if length > LONGEST => shorten(path, &header, &book).unwrap_or((file, length)),
            length => (file, length),
        };
        let inner = Inner { file, length, book };
        Ok(Claim::Ours(Box::new(Self { path: path.to_owned(), inner: Mutex::new(inner) }), header))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the book.
    pub(super) fn book<T>(&self, ask: impl FnOnce(&Book) -> T) -> T {
        ask(&self.lock().book)
    }

    /// Appends what is new among the records, all or nothing; `safe` means that it survives a power cut.
    pub(super) fn append(&self, records: &[Record], safe: bool) -> io::Result<()> {
        let mut inner = self.lock();
        let (new, text) = {
            let new: Vec<&Record> = records.iter().filter(|record| !inner.book.knows(record)).collect();
            let text = lines(&new, inner.length);
            (new, text)
        };
        if new.is_empty() {
            return Ok(());
        }
        let Inner { file, length, book } = &mut *inner;
        let written = file.write_all(text.as_bytes()).and_then(|()| if safe { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // A full disk may have taken half a line.
            let _ = file.set_len(*length);
            return Err(error);
        }
        *length += text.len() as u64;
        new.into_iter().for_each(|record| book.apply(record));
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
fn lock(path: &Path, make: bool) -> io::Result<Option<(File, Vec<u8>)>> {
    loop {
        let mut file = folder::open_file(path, make)?;
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

/// The text of the records for a file of that length, with filling before a line that would cross a page.
fn lines(records: &[&Record], length: u64) -> String {
    let mut text = String::new();
    for record in records {
        let line = record.write();
        let room = PAGE - (length as usize + text.len()) % PAGE;
        if line.len() > room && line.len() <= PAGE {
            text.extend(std::iter::repeat_n('\n', room));
        }
        text.push_str(&line);
    }
    text
}

/// Replaces the file by one that says the same in fewer lines; `None` leaves it as it is.
fn shorten(path: &Path, header: &Header, book: &Book) -> Option<(File, u64)> {
    let shorter = path.with_extension("new");
    let _ = std::fs::remove_file(&shorter);
    let header = Record::Header(Box::new(header.clone()));
    let records = book.records();
    let all: Vec<&Record> = std::iter::once(&header).chain(&records).collect();
    let text = lines(&all, 0);
    let write = || -> io::Result<File> {
        let mut file = folder::open_file(&shorter, true)?;
        // Locked before it takes the other's place, so that nobody finds it free.
        file.try_lock().map_err(io::Error::from)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&shorter, path)?;
        Ok(file)
    };
    Some((write().ok()?, text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::owner::{Owner, ProcessMark};

    fn header() -> Header {
        Header {
            cluster_id: "c".to_owned(),
            bootstrap_servers: "a:1".to_owned(),
            run_id: "1a2b3c4d".to_owned(),
            keeps_topics: false,
            owner: Owner::Process(ProcessMark::of_this_process()),
        }
    }

    fn ours(claim: Claim) -> Box<LedgerFile> {
        match claim {
            Claim::Ours(file, _) => file,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_has_one_owner_at_a_time_and_keeps_what_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        assert!(matches!(LedgerFile::claim(&path).unwrap(), Claim::Nothing));
        let first = ours(LedgerFile::open(&path, &header()).unwrap());
        first.append(&[Record::Group { name: "g".to_owned() }], true).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        first.append(&[Record::Group { name: "g".to_owned() }], true).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length, "nothing is said twice");
        assert!(matches!(LedgerFile::open(&path, &header()).unwrap(), Claim::Held));
        assert!(matches!(LedgerFile::claim(&path).unwrap(), Claim::Held));
        drop(first);
        let second = ours(LedgerFile::claim(&path).unwrap());
        assert_eq!(second.book(Book::groups), vec!["g".to_owned()]);
        second.remove();
        assert!(!path.exists());
    }

    #[test]
    fn after_a_line_that_was_cut_the_next_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let group = |name: &str| Record::Group { name: name.to_owned() };
        ours(LedgerFile::open(&path, &header()).unwrap()).append(&[group("first"), group("torn")], true).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        File::options().append(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let next = ours(LedgerFile::open(&path, &header()).unwrap());
        assert_eq!(next.book(Book::groups), ["first"]);
        next.append(&[group("second")], true).unwrap();
        drop(next);
        assert_eq!(ours(LedgerFile::claim(&path).unwrap()).book(Book::groups), ["first", "second"]);
    }

    #[test]
    fn no_line_crosses_a_page_and_a_long_file_is_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let file = ours(LedgerFile::open(&path, &header()).unwrap());
        let name = |n: usize| "g".repeat(n % 240 + 1);
        for n in 0..1_000 {
            file.append(&[Record::Group { name: name(n) }], false).unwrap();
            file.append(&[Record::GroupGone { name: name(n) }], false).unwrap();
        }
        file.append(&[Record::Group { name: "last".to_owned() }], false).unwrap();
        drop(file);
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() as u64 > LONGEST);
        for (at, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| page.len() == PAGE) {
            assert_eq!(page[PAGE - 1], b'\n', "page {at}");
        }
        let file = ours(LedgerFile::open(&path, &header()).unwrap());
        assert_eq!(file.book(Book::groups), vec!["last".to_owned()]);
        assert!(std::fs::metadata(&path).unwrap().len() < 1_000);
        assert!(matches!(LedgerFile::claim(&path).unwrap(), Claim::Held), "the shortened one is locked too");
        file.append(&[Record::Group { name: "more".to_owned() }], false).unwrap();
        drop(file);
        let file = ours(LedgerFile::claim(&path).unwrap());
        assert_eq!(file.book(Book::groups), vec!["last".to_owned(), "more".to_owned()]);
    }
}
