//! What a ledger lists once its events have been applied in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Event, Numbers};
use crate::broker::Shape;

/// A topic that may exist and is not known to be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedTopic {
    pub(crate) name: String,
    /// `None`: only named.
    pub(crate) shape: Option<Shape>,
    /// How many partitions it was created with; `None` as long as nobody has seen it.
    pub(crate) partitions: Option<i32>,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    topics: BTreeMap<String, ListedTopic>,
    groups: BTreeSet<String>,
    generation: u32,
    /// A process began in this generation.
    is_used: bool,
    /// A process began and has not ended well, as far as is known.
    is_dirty: bool,
    pub(super) numbers: Numbers,
    pub(super) is_swept: bool,
}

impl Contents {
    pub(super) fn of(events: &[Event]) -> Self {
        let mut contents = Self::default();
        events.iter().for_each(|event| contents.apply(event));
        contents
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::CreateTopic { name, shape } => {
                let new = || ListedTopic { name: name.clone(), shape: None, partitions: None };
                let topic = self.topics.entry(name.clone()).or_insert_with(new);
                if shape.is_some() {
                    topic.shape.clone_from(shape);
                }
            }
            Event::TopicCreated { name, partitions } => {
                if let Some(topic) = self.topics.get_mut(name) {
                    topic.partitions = Some(*partitions);
                }
            }
            Event::CreateGroup { name } => {
                self.groups.insert(name.clone());
            }
            Event::TopicGone { name } => {
                self.topics.remove(name);
            }
            Event::GroupGone { name } => {
                self.groups.remove(name);
            }
            Event::Begun { generation } => {
                self.generation = *generation;
                self.is_used = true;
                self.is_dirty = true;
            }
            Event::Closed { generation, numbers } => {
                self.is_used &= self.generation == *generation;
                self.generation = *generation;
                self.is_dirty = false;
                self.numbers = *numbers;
            }
            Event::Swept => self.is_swept = true,
        }
    }

    /// Whether the event would change nothing.
    pub(super) fn knows(&self, event: &Event) -> bool {
        match event {
            Event::CreateTopic { name, shape } => {
                self.topics.get(name).is_some_and(|topic| shape.is_none() || topic.shape == *shape)
            }
            Event::TopicCreated { name, partitions } => {
                self.topics.get(name).is_some_and(|topic| topic.partitions == Some(*partitions))
            }
            Event::CreateGroup { name } => self.groups.contains(name),
            Event::TopicGone { name } => !self.topics.contains_key(name),
            Event::GroupGone { name } => !self.groups.contains(name),
            Event::Begun { .. } | Event::Closed { .. } | Event::Swept => false,
        }
    }

    /// The generation in which the next process begins: a new one after a process that did not end well, and, where a
    /// `fresh` one is asked for, a generation in which no process has begun.
    pub(super) fn next_generation(&self, fresh: bool) -> u32 {
        self.generation + u32::from(self.is_dirty || (fresh && self.is_used))
    }

    pub(super) fn topics(&self) -> Vec<ListedTopic> {
        self.topics.values().cloned().collect()
    }

    pub(super) fn groups(&self) -> Vec<String> {
        self.groups.iter().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.groups.is_empty()
    }

    /// The fewest events that amount to the same.
    pub(super) fn events(&self) -> Vec<Event> {
        let closed = Event::Closed { generation: self.generation, numbers: self.numbers };
        let mut events = vec![closed.clone()];
        if self.is_used {
            events.push(Event::Begun { generation: self.generation });
            if !self.is_dirty {
                events.push(closed);
            }
        }
        for ListedTopic { name, shape, partitions } in self.topics.values() {
            events.push(Event::create_topic(name, shape.as_ref()));
            events.extend(partitions.map(|partitions| Event::TopicCreated { name: name.clone(), partitions }));
        }
        events.extend(self.groups.iter().map(|name| Event::create_group(name)));
        events.extend(self.is_swept.then_some(Event::Swept));
        events
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
        let mut contents = Contents::default();
        assert_eq!((contents.next_generation(false), contents.next_generation(true)), (0, 0));
        contents.apply(&Event::Begun { generation: 0 });
        assert_eq!(contents.next_generation(false), 1, "killed");
        contents.apply(&Event::Closed { generation: 0, numbers: numbers(3) });
        assert_eq!((contents.next_generation(false), contents.next_generation(true)), (0, 1), "a retry gets a new one");
        contents.apply(&Event::Begun { generation: 0 });
        contents.apply(&Event::Closed { generation: 1, numbers: numbers(4) });
        assert_eq!((contents.next_generation(false), contents.next_generation(true)), (1, 1), "no process began in it");
        assert_eq!(contents.numbers, numbers(4));
    }

    #[test]
    fn what_is_gone_is_not_listed_and_the_fewest_events_amount_to_the_same() {
        let gone = |name: &str| Event::TopicGone { name: name.to_owned() };
        let shape = Shape { partitions: 2, replication_factor: None, config: Vec::new() };
        let mut contents = Contents::default();
        for event in [
            Event::Begun { generation: 2 },
            Event::create_topic("t", None),
            Event::create_topic("t", Some(&shape)),
            Event::TopicCreated { name: "t".to_owned(), partitions: 2 },
            Event::create_topic("u", None),
            gone("u"),
            Event::create_group("g"),
        ] {
            assert!(!contents.knows(&event), "{event:?}");
            contents.apply(&event);
        }
        assert!(contents.knows(&Event::create_topic("t", None)), "the shape is not forgotten");
        let again = Contents::of(&contents.events());
        let listed = ListedTopic { name: "t".to_owned(), shape: Some(shape), partitions: Some(2) };
        assert_eq!(again.topics(), vec![listed]);
        assert_eq!((again.groups(), again.next_generation(false)), (vec!["g".to_owned()], 3));
        contents.apply(&gone("t"));
        contents.apply(&Event::GroupGone { name: "g".to_owned() });
        assert!(contents.is_empty());
    }
}
