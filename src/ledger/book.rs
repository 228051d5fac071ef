//! What a ledger file comes to when its records are read in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Numbers, Record};
use crate::broker::Shape;

/// A topic that may exist and is not known to be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BookedTopic {
    pub(crate) name: String,
    /// `None`: only named.
    pub(crate) shape: Option<Shape>,
    /// How many partitions it was made with; `None` as long as nobody has seen it.
    pub(crate) partitions: Option<i32>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    topics: BTreeMap<String, (Option<Shape>, Option<i32>)>,
    groups: BTreeSet<String>,
    generation: u32,
    /// A process began in this generation.
    is_used: bool,
    /// A process began and has not said that it ended well.
    is_dirty: bool,
    numbers: Numbers,
    is_swept: bool,
}

impl Book {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut book = Self::default();
        records.iter().for_each(|record| book.apply(record));
        book
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Header(_) => {}
            Record::Topic { name, shape } => {
                let (known, _) = self.topics.entry(name.clone()).or_default();
                if shape.is_some() {
                    known.clone_from(shape);
                }
            }
            Record::Made { name, partitions } => {
                if let Some((_, made)) = self.topics.get_mut(name) {
                    *made = Some(*partitions);
                }
            }
            Record::Group { name } => {
                self.groups.insert(name.clone());
            }
            Record::TopicGone { name } => {
                self.topics.remove(name);
            }
            Record::GroupGone { name } => {
                self.groups.remove(name);
            }
            Record::Opened { generation } => {
                self.generation = *generation;
                self.is_used = true;
                self.is_dirty = true;
            }
            Record::Closed { generation, numbers } => {
                self.is_used &= self.generation == *generation;
                self.generation = *generation;
                self.is_dirty = false;
                self.numbers = *numbers;
            }
            Record::Swept => self.is_swept = true,
        }
    }

    /// The generation in which the next process begins: a new one after one that did not end well, and, where a fresh
    /// one is asked for, one in which nobody has begun.
    pub(super) fn next_generation(&self, fresh: bool) -> u32 {
        self.generation + u32::from(self.is_dirty || (fresh && self.is_used))
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }

    pub(super) fn is_swept(&self) -> bool {
        self.is_swept
    }

    /// Whether the record says nothing new.
    pub(super) fn knows(&self, record: &Record) -> bool {
        match record {
            Record::Topic { name, shape } => {
                self.topics.get(name).is_some_and(|(known, _)| shape.is_none() || known == shape)
            }
            Record::Made { name, partitions } => {
                self.topics.get(name).is_some_and(|(_, made)| *made == Some(*partitions))
            }
            Record::Group { name } => self.groups.contains(name),
            Record::TopicGone { name } => !self.topics.contains_key(name),
            Record::GroupGone { name } => !self.groups.contains(name),
            _ => false,
        }
    }

    pub(super) fn topics(&self) -> Vec<BookedTopic> {
        let topic = |(name, (shape, partitions)): (&String, &(Option<Shape>, Option<i32>))| BookedTopic {
            name: name.clone(),
            shape: shape.clone(),
            partitions: *partitions,
        };
        self.topics.iter().map(topic).collect()
    }

    pub(super) fn groups(&self) -> Vec<String> {
        self.groups.iter().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.groups.is_empty()
    }

    /// The fewest records that come to the same.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let closed = |generation| Record::Closed { generation, numbers: self.numbers };
        records.push(closed(self.generation));
        if self.is_used {
            records.push(Record::Opened { generation: self.generation });
            if !self.is_dirty {
                records.push(closed(self.generation));
            }
        }
        for (name, (shape, partitions)) in &self.topics {
            records.push(Record::Topic { name: name.clone(), shape: shape.clone() });
            records.extend(partitions.map(|partitions| Record::Made { name: name.clone(), partitions }));
        }
        records.extend(self.groups.iter().map(|name| Record::Group { name: name.clone() }));
        records.extend(self.is_swept.then_some(Record::Swept));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(exclusive: u64) -> Numbers {
        Numbers { exclusive, group: 0 }
    }

    #[test]
    fn a_worker_moves_on_after_a_process_that_did_not_end_well() {
        let mut book = Book::default();
        assert_eq!((book.next_generation(false), book.next_generation(true)), (0, 0));
        book.apply(&Record::Opened { generation: 0 });
        assert_eq!(book.next_generation(false), 1, "killed");
        book.apply(&Record::Closed { generation: 0, numbers: numbers(3) });
        assert_eq!((book.next_generation(false), book.next_generation(true)), (0, 1), "a retry gets a fresh one");
        book.apply(&Record::Opened { generation: 0 });
        book.apply(&Record::Closed { generation: 1, numbers: numbers(4) });
        assert_eq!((book.next_generation(false), book.next_generation(true)), (1, 1), "nobody has begun in it");
        assert_eq!(book.numbers(), numbers(4));
    }

    #[test]
    fn what_is_gone_is_not_left_and_the_shortest_book_says_the_same() {
        let name = || "t".to_owned();
        let shape = Shape { partitions: 2, replication_factor: None, config: Vec::new() };
        let mut book = Book::default();
        for record in [
            Record::Opened { generation: 2 },
            Record::Topic { name: name(), shape: None },
            Record::Topic { name: name(), shape: Some(shape.clone()) },
            Record::Made { name: name(), partitions: 2 },
            Record::Topic { name: "u".to_owned(), shape: None },
            Record::TopicGone { name: "u".to_owned() },
            Record::Group { name: "g".to_owned() },
        ] {
            assert!(!book.knows(&record), "{record:?}");
            book.apply(&record);
        }
        assert!(book.knows(&Record::Topic { name: name(), shape: None }), "the shape is not forgotten");
        let again = Book::of(&book.records());
        assert_eq!(again.topics(), vec![BookedTopic { name: name(), shape: Some(shape), partitions: Some(2) }]);
        assert_eq!((again.groups(), again.next_generation(false)), (vec!["g".to_owned()], 3));
        book.apply(&Record::TopicGone { name: name() });
        book.apply(&Record::GroupGone { name: "g".to_owned() });
        assert!(book.is_empty());
    }
}
