//! Who is dead, and what is done about files that are not what they should be.

use std::fs::File;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(25 * 60 * 60);

fn folder() -> (TempDir, Folder) {
    let base = tempfile::tempdir().unwrap();
    let folder = Folder::open(&StateDir::Given(base.path().join("state"))).unwrap();
    (base, folder)
}

pub(super) fn header(owner: Owner) -> Header {
    Header {
        cluster_id: "ours".to_owned(),
        bootstrap_servers: "a:1".to_owned(),
        run_id: "1a2b3c4d".to_owned(),
        keeps_topics: false,
        owner,
    }
}

pub(super) fn process() -> Header {
    header(Owner::Process(ProcessMark::of_this_process()))
}

pub(super) fn run(runner: Option<ProcessMark>) -> Header {
    header(Owner::Run { id: "r".to_owned(), runner })
}

/// A worker's ledger with a topic on it, let go as a process that ends lets it go.
fn leave(folder: &Folder, header: &Header, worker: &str) {
    let ledger = folder.for_worker(header, "r", worker).unwrap().unwrap();
    ledger.begin(false).unwrap();
    ledger.write_ahead(Event::create_topic("test-a", None)).unwrap();
}

fn the_file(folder: &Folder) -> PathBuf {
    let mut files = std::fs::read_dir(folder.path()).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    path
}

fn written_before(folder: &Folder, age: Duration) {
    let file = File::options().append(true).open(the_file(folder)).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

fn topics(dead: &DeadOwners) -> Vec<String> {
    dead.owners.iter().flat_map(|owner| owner.ledger.topics()).map(|topic| topic.name).collect()
}

#[test]
fn a_process_is_dead_when_it_has_let_go_of_its_lock() {
    let (_base, folder) = folder();
    let ledger = folder.for_process(&process()).unwrap();
    ledger.write_ahead(Event::create_topic("test-a", None)).unwrap();
    ledger.write_ahead(Event::create_group("group-a")).unwrap();
    written_before(&folder, DAY);
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "however old its file is");
    drop(ledger);
    let dead = folder.dead_owners("ours", None).unwrap();
    assert_eq!(topics(&dead), vec!["test-a".to_owned()]);
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "one sweeps at a time");
    dead.owners[0].ledger.forget(&["test-a".to_owned()], &[]);
    dead.owners[0].ledger.end();
    assert!(the_file(&folder).exists(), "the group is left");
    dead.owners[0].ledger.forget(&[], &["group-a".to_owned()]);
    dead.owners[0].ledger.end();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_is_dead_when_its_runner_is() {
    let (_base, folder) = folder();
    let this = ProcessMark::of_this_process();
    leave(&folder, &run(Some(this.clone())), "slot-0");
    written_before(&folder, DAY);
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "alive, however old its files are");
    std::fs::remove_file(the_file(&folder)).unwrap();

    let reused = ProcessMark { start: this.start.map(|start| start + 1), ..this };
    leave(&folder, &run(Some(reused.clone())), "slot-0");
    assert!(folder.dead_owners("ours", Some("r")).unwrap().owners.is_empty(), "nobody sweeps its own run");
    assert_eq!(folder.dead_owners("ours", None).unwrap().owners.len(), 1, "another process has got its number");
    let held = folder.for_worker(&run(Some(reused)), "r", "slot-0").unwrap().unwrap();
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "one of its tests goes on without it");
    drop(held);
}

#[test]
fn a_run_whose_runner_is_unknown_is_dead_when_all_its_files_are_old() {
    let (_base, folder) = folder();
    leave(&folder, &run(None), "slot-0");
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "young");
    let first = the_file(&folder);
    for (age, dead) in [(DAY, 1), (Duration::from_secs(60), 0)] {
        written_before(&folder, age);
        assert_eq!(folder.dead_owners("ours", None).unwrap().owners.len(), dead);
    }
    let file = File::options().append(true).open(&first).unwrap();
    file.set_modified(SystemTime::now() + DAY).unwrap();
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "the clock was set back");
    file.set_modified(SystemTime::now() - DAY).unwrap();
    leave(&folder, &run(None), "slot-1");
    assert!(folder.dead_owners("ours", None).unwrap().owners.is_empty(), "another slot of it is young");
}

#[cfg(target_os = "linux")]
#[test]
fn one_file_that_knows_the_runner_speaks_for_its_run() {
    let (_base, folder) = folder();
    let this = ProcessMark::of_this_process();
    leave(&folder, &run(None), "slot-0");
    let reused = ProcessMark { start: this.start.map(|start| start + 1), ..this.clone() };
    leave(&folder, &run(Some(reused)), "slot-1");
    assert_eq!(folder.dead_owners("ours", None).unwrap().owners.len(), 2);
    leave(&folder, &run(Some(this)), "slot-2");
    assert_eq!(folder.dead_owners("ours", None).unwrap().owners.len(), 0);
}

#[test]
fn what_is_on_another_cluster_is_only_told() {
    let (_base, folder) = folder();
    let ledger = folder.for_process(&process()).unwrap();
    ledger.write_ahead(Event::create_topic("test-a", None)).unwrap();
    drop(ledger);
    let dead = folder.dead_owners("theirs", None).unwrap();
    assert!(dead.owners.is_empty());
    assert_eq!(Vec::from_iter(dead.elsewhere), ["a:1"]);
    assert_eq!(topics(&folder.dead_owners("ours", None).unwrap()), vec!["test-a".to_owned()]);
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_its_slot_is_not_used_again() {
    let (_base, folder) = folder();
    leave(&folder, &run(None), "slot-0");
    let path = the_file(&folder);
    let whole = std::fs::read(&path).unwrap();
    let without_a_header = whole[..40].to_vec();
    let garbled = [b"~", &whole[1..]].concat();
    let torn_within = [&whole[..whole.len() - 5], b"\n"].concat();
    let foreign = b"their notes\n".to_vec();
    let asides = ["damaged", "damaged-1", "damaged-2", "damaged-3"];
    for (damaged, aside) in [without_a_header, garbled, torn_within, foreign].into_iter().zip(asides) {
        std::fs::write(&path, &damaged).unwrap();
        let dead = folder.dead_owners("ours", None).unwrap();
        assert!(dead.owners.is_empty());
        assert_eq!(dead.set_aside, vec![path.with_extension(aside)]);
        assert_eq!(std::fs::read(path.with_extension(aside)).unwrap(), damaged, "as it was");
        assert!(folder.dead_owners("ours", None).unwrap().set_aside.is_empty(), "told once");
    }
    let next = folder.for_worker(&run(None), "r", "slot-0").unwrap();
    assert!(next.is_none(), "what it made is not known, so its names are not used again");

    // A process of the run meets it first.
    std::fs::remove_file(path.with_extension("damaged")).unwrap();
    std::fs::write(&path, "x").unwrap();
    assert!(folder.for_worker(&run(None), "r", "slot-0").unwrap().is_none());
    assert!(path.with_extension("damaged").exists() && !path.exists());
}

#[test]
fn of_a_file_whose_owner_was_killed_while_writing_all_else_is_swept() {
    let (_base, folder) = folder();
    let ledger = folder.for_process(&process()).unwrap();
    ledger.write_ahead(Event::create_topic("test-a", None)).unwrap();
    ledger.write_ahead(Event::create_topic("test-b", None)).unwrap();
    drop(ledger);
    let file = File::options().append(true).open(the_file(&folder)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 5).unwrap();
    let dead = folder.dead_owners("ours", None).unwrap();
    assert_eq!((topics(&dead), dead.set_aside.len()), (vec!["test-a".to_owned()], 0));
    dead.owners[0].ledger.forget(&["test-a".to_owned()], &[]);
    dead.owners[0].ledger.end();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn other_files_and_other_versions_are_left_alone() {
    let (_base, folder) = folder();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let later = "{\"format\":\"rstest-kafka-ledger\",\"version\":3}\n";
    std::fs::write(folder.path().join("later.ledger"), later).unwrap();
    std::fs::create_dir(folder.path().join("folder.ledger")).unwrap();
    let dead = folder.dead_owners("ours", None).unwrap();
    assert!(dead.owners.is_empty() && dead.set_aside.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_empty_file_goes_when_it_is_old() {
    let (_base, folder) = folder();
    let path = folder.path().join("process-1-2.ledger");
    std::fs::write(&path, "").unwrap();
    folder.dead_owners("ours", None).unwrap();
    assert!(path.exists(), "its owner may be about to write");
    written_before(&folder, Duration::from_secs(60));
    folder.dead_owners("ours", None).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_kept_run_and_a_fresh_one_are_told() {
    let (_base, folder) = folder();
    let keeps = Header { keeps_topics: true, ..process() };
    drop(folder.for_process(&keeps).unwrap());
    let dead = folder.dead_owners("ours", None).unwrap();
    assert!(dead.owners[0].keeps_topics && dead.owners[0].wrote_recently);
    drop(dead);
    written_before(&folder, Duration::from_secs(60));
    assert!(!folder.dead_owners("ours", None).unwrap().owners[0].wrote_recently);
}

#[test]
fn a_worker_goes_from_process_to_process() {
    let (_base, folder) = folder();
    let take = || folder.for_worker(&run(None), "r", "slot-0").unwrap();
    let numbers = |exclusive, group| Numbers { exclusive, group };
    let first = take().unwrap();
    assert_eq!(first.begin(false).unwrap(), (0, numbers(0, 0)));
    assert!(take().is_none(), "one at a time");
    first.close(0, numbers(4, 5));
    drop(first);
    let killed = take().unwrap();
    assert_eq!(killed.begin(false).unwrap(), (0, numbers(4, 5)));
    drop(killed);
    let failed = take().unwrap();
    assert_eq!(failed.begin(false).unwrap(), (1, numbers(4, 5)));
    failed.move_on(2);
    drop(failed);
    assert_eq!(take().unwrap().begin(false).unwrap().0, 3, "it was killed after a failure");
    let long = "w".repeat(300);
    assert!(folder.for_worker(&run(None), "r", &long).unwrap().is_some(), "longer than a file's name may be");
}

#[test]
fn many_owners_are_taken_in_parts() {
    let (_base, folder) = folder();
    for n in 0..150 {
        let ledger = folder.for_process(&process()).unwrap();
        ledger.write_ahead(Event::create_group(&format!("group-{n}"))).unwrap();
    }
    let mut parts = Vec::new();
    loop {
        let dead = folder.dead_owners("ours", None).unwrap();
        if dead.owners.is_empty() {
            break;
        }
        parts.push(dead.owners.len());
        for owner in dead.owners {
            owner.ledger.forget(&[], &owner.ledger.groups());
            owner.ledger.end();
        }
    }
    assert_eq!(parts, [64, 64, 22]);
}
