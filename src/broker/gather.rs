//! Questions for end offsets that come at once and go together.
//!
//! A broker serves the requests of a connection in turn, and a request costs it and the client much more than one more topic in
//! it. So while one is on its way those who come meanwhile gather, and go together once it is back: where
//! many lanes are busy a request serves several of them, and a lane that is alone never waits. What an answer tells was so
//! after its question: nobody joins a request that has left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use super::end_offsets::TopicNow;
use crate::wait::{self, Deadline};

/// How long others wait for a request that is on its way.
///
/// Many times what one takes where 64 lanes keep two cores busy (5 ms), and no more than that one slow topic may cost another
/// lane, once: a topic that was slow goes alone until it is answered in time again.
const PATIENCE: Duration = Duration::from_millis(50);

/// What is asked in one request: topics.
pub(super) type Question = BTreeSet<String>;

/// What each of them is now.
pub(super) type Answer = HashMap<String, TopicNow>;

/// Where questions gather while one is on its way.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the request that is on its way.
    on_its_way: Option<u64>,
    /// The number of the last request or question.
    last: u64,
    /// Those who wait for the next request, in the order in which they came.
    gathered: Vec<Asking>,
    /// Topics that were in a request which was late or failed.
    slow: HashSet<String>,
}

#[derive(Debug)]
struct Asking {
    id: u64,
    topic: String,
    turn: oneshot::Sender<Turn>,
}

/// What comes to one who has gathered with others.
#[derive(Debug)]
enum Turn {
    Answer(TopicNow),
    /// It makes the request of this number, for itself and for these.
    Request(u64, Vec<Asking>),
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A request leaves now.
    fn leave(&mut self) -> u64 {
        let id = self.next_id();
        self.on_its_way = Some(id);
        id
    }

    /// Gives the next request to the first of those who have gathered and wait still.
    fn pass_on(&mut self) {
        self.on_its_way = None;
        let mut gathered = std::mem::take(&mut self.gathered);
        while !gathered.is_empty() {
            let first = gathered.remove(0);
            let id = self.leave();
            match first.turn.send(Turn::Request(id, gathered)) {
                Err(Turn::Request(_, others)) => gathered = others,
                _ => return,
            }
            self.on_its_way = None;
        }
    }
}

impl Gathering {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end offsets of a topic, by a request that leaves after this call has begun, for it alone or for others as well.
    ///
    /// `None` where that brings none, for whatever reason: they are then to be asked for without others.
    pub(super) fn ask<E>(
        &self,
        topic: &str,
        deadline: Deadline,
        request: impl Fn(&Question) -> Result<Answer, E>,
    ) -> Option<TopicNow> {
        let mut state = self.lock();
        if state.slow.contains(topic) {
            drop(state);
            return self.ask_alone(topic, request);
        }
        if state.on_its_way.is_none() {
            let id = state.leave();
            drop(state);
            return self.ask_for_all(id, topic, Vec::new(), request);
        }
        let (turn, mut mine) = oneshot::channel();
        let id = state.next_id();
        state.gathered.push(Asking { id, topic: topic.to_owned(), turn });
        drop(state);
        let patience = Deadline::after(deadline.remaining().min(PATIENCE));
        match wait::block_on(&mut mine, patience).unwrap_or_else(|| self.lose_patience(id, mine)) {
            Ok(Turn::Answer(now)) => Some(now),
            Ok(Turn::Request(id, others)) => self.ask_for_all(id, topic, others, request),
            Err(oneshot::Canceled) => None,
        }
    }

    /// What has not come in time has come just now, or one no longer waits for what is on its way.
    fn lose_patience(&self, id: u64, mut mine: oneshot::Receiver<Turn>) -> Result<Turn, oneshot::Canceled> {
        let mut state = self.lock();
        // What is sent to it from here on is refused.
        mine.close();
        if let Ok(Some(turn)) = mine.try_recv() {
            return Ok(turn);
        }
        match state.gathered.iter().position(|asking| asking.id == id) {
            Some(at) => {
                state.gathered.remove(at);
                let others = std::mem::take(&mut state.gathered);
                Ok(Turn::Request(state.leave(), others))
            }
            None => Err(oneshot::Canceled),
        }
    }

    fn ask_for_all<E>(
        &self,
        id: u64,
        topic: &str,
        others: Vec<Asking>,
        request: impl Fn(&Question) -> Result<Answer, E>,
    ) -> Option<TopicNow> {
        let mut question = Question::from([topic.to_owned()]);
        question.extend(others.iter().map(|other| other.topic.clone()));
        let mut under_way = UnderWay { gathering: self, id, began: Instant::now(), question, in_time: false };
        let answer = request(&under_way.question).ok();
        under_way.in_time = answer.is_some() && under_way.began.elapsed() < PATIENCE;
        // First: the next one leaves, then those of this one go on.
        drop(under_way);
        let answer = answer?;
        for other in others {
            if let Some(now) = answer.get(&other.topic) {
                // Who has lost patience asks alone.
                let _ = other.turn.send(Turn::Answer(now.clone()));
            }
        }
        answer.get(topic).cloned()
    }

    fn ask_alone<E>(&self, topic: &str, request: impl Fn(&Question) -> Result<Answer, E>) -> Option<TopicNow> {
        let began = Instant::now();
        let mut answer = request(&Question::from([topic.to_owned()])).ok()?;
        if began.elapsed() < PATIENCE {
            self.lock().slow.remove(topic);
        }
        answer.remove(topic)
    }
}

/// A request that is on its way; whatever becomes of it, the next one can leave.
struct UnderWay<'a> {
    gathering: &'a Gathering,
    id: u64,
    began: Instant,
    question: Question,
    in_time: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.gathering.lock();
        if !self.in_time {
            state.slow.extend(std::mem::take(&mut self.question));
        }
        // If not, somebody has lost patience, and another has left since.
        if state.on_its_way == Some(self.id) {
            state.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::until;
    use std::sync::mpsc;
    use std::thread;
    use uuid::Uuid;

    type Outcome = Result<Answer, ()>;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Much later than a test waits for anything.
    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    fn now(end: i64) -> TopicNow {
        TopicNow { id: Uuid::nil(), ends: vec![end] }
    }

    /// Each topic ends where it was asked for the so-manieth request.
    fn ends(question: &Question, number: i64) -> Outcome {
        Ok(question.iter().map(|topic| (topic.clone(), now(number))).collect())
    }

    impl Gathering {
        fn gathered(&self) -> usize {
            self.lock().gathered.len()
        }
    }

    /// Requests that are answered when the test says so.
    struct Broker {
        questions: mpsc::Sender<(Question, mpsc::Sender<Outcome>)>,
    }

    impl Broker {
        fn new() -> (Self, mpsc::Receiver<(Question, mpsc::Sender<Outcome>)>) {
            let (questions, asked) = mpsc::channel();
            (Self { questions }, asked)
        }

        fn request(&self, question: &Question) -> Outcome {
            let (answer, answered) = mpsc::channel();
            self.questions.send((question.clone(), answer)).unwrap();
            answered.recv().unwrap_or(Err(()))
        }
    }

    /// One who asks, on a thread of its own.
    fn asks<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        gathering: &'scope Gathering,
        broker: &Broker,
        topic: &'static str,
    ) -> thread::ScopedJoinHandle<'scope, Option<TopicNow>> {
        let broker = Broker { questions: broker.questions.clone() };
        scope.spawn(move || gathering.ask(topic, late(), |question| broker.request(question)))
    }

    fn topics(question: &Question) -> Vec<&str> {
        question.iter().map(String::as_str).collect()
    }

    #[test]
    fn those_who_come_while_one_is_on_its_way_go_together_and_not_before_it_is_back() {
        let gathering = Gathering::default();
        let (broker, asked) = Broker::new();
        thread::scope(|scope| {
            let ask = |topic| asks(scope, &gathering, &broker, topic);
            let first = ask("a");
            let (question, answer) = asked.recv().unwrap();
            assert_eq!(topics(&question), ["a"], "one that is alone leaves at once");
            let others = [ask("b"), ask("c"), ask("b"), ask("a")];
            until(|| gathering.gathered() == 4 || asked.try_recv().is_ok());
            answer.send(ends(&question, 1)).unwrap();
            assert_eq!(first.join().unwrap(), Some(now(1)));
            let (question, answer) = asked.recv().unwrap();
            assert_eq!(topics(&question), ["a", "b", "c"]);
            answer.send(ends(&question, 2)).unwrap();
            // Also who asks again for what was on its way: a message may have come after that request had left.
            let answers = others.map(|other| other.join().unwrap());
            assert_eq!(answers, [2; 4].map(|end| Some(now(end))));
            assert!(asked.try_recv().is_err());
        });
        assert!(gathering.lock().on_its_way.is_none() && gathering.lock().slow.is_empty());
    }

    #[test]
    fn one_that_does_not_come_back_holds_nobody_up_for_long_and_then_nobody_at_all() {
        let gathering = Gathering::default();
        let (broker, asked) = Broker::new();
        thread::scope(|scope| {
            let ask = |topic| asks(scope, &gathering, &broker, topic);
            let slow = ask("slow");
            let (slow_question, slow_answer) = asked.recv().unwrap();
            // The first waits for as long as one may, the others do not wait; all of it while the slow one is still out.
            for _ in 0..100 {
                let quick = ask("quick");
                let (question, answer) = asked.recv_timeout(soon().remaining()).unwrap();
                assert_eq!(topics(&question), ["quick"]);
                answer.send(ends(&question, 7)).unwrap();
                assert_eq!(quick.join().unwrap(), Some(now(7)));
            }
            let first = ask("a");
            let (question, answer) = asked.recv().unwrap();
            slow_answer.send(ends(&slow_question, 1)).unwrap();
            assert_eq!(slow.join().unwrap(), Some(now(1)));
            // That it is back, at last, does not end another's.
            assert!(gathering.lock().on_its_way.is_some());
            answer.send(ends(&question, 2)).unwrap();
            assert_eq!(first.join().unwrap(), Some(now(2)));
        });
        let state = gathering.lock();
        assert!(state.on_its_way.is_none());
        assert!(state.slow.contains("slow") && !state.slow.contains("quick"));
    }

    #[test]
    fn one_that_was_slow_goes_alone_until_it_is_answered_in_time() {
        let gathering = Gathering::default();
        gathering.lock().slow.insert("slow".to_owned());
        let (broker, asked) = Broker::new();
        thread::scope(|scope| {
            let ask = |topic| asks(scope, &gathering, &broker, topic);
            let slow = ask("slow");
            let (alone, slow_answer) = asked.recv().unwrap();
            let quick = ask("quick");
            // Although the other is out.
            let (question, answer) = asked.recv().unwrap();
            assert_eq!((topics(&alone), topics(&question)), (vec!["slow"], vec!["quick"]));
            answer.send(ends(&question, 1)).unwrap();
            slow_answer.send(ends(&alone, 2)).unwrap();
            assert_eq!((quick.join().unwrap(), slow.join().unwrap()), (Some(now(1)), Some(now(2))));
        });
        assert_eq!(gathering.ask("slow", late(), |question| ends(question, 3)), Some(now(3)));
        assert!(gathering.lock().slow.is_empty());
    }

    #[test]
    fn of_one_that_fails_or_panics_all_ask_alone_and_the_next_leaves() {
        let gathering = Gathering::default();
        let (broker, asked) = Broker::new();
        thread::scope(|scope| {
            let ask = |topic| asks(scope, &gathering, &broker, topic);
            let first = ask("a");
            let (question, answer) = asked.recv().unwrap();
            let others = [ask("b"), ask("c")];
            until(|| gathering.gathered() == 2);
            answer.send(ends(&question, 1)).unwrap();
            first.join().unwrap();
            let (question, answer) = asked.recv().unwrap();
            assert_eq!(topics(&question), ["b", "c"]);
            answer.send(Err(())).unwrap();
            assert_eq!(others.map(|other| other.join().unwrap()), [None, None]);
        });
        let is_slow = |topic: &str| gathering.lock().slow.contains(topic);
        assert!(is_slow("b") && is_slow("c"), "none of them goes with others for now");
        let panics = || gathering.ask("d", late(), |_| -> Outcome { panic!("in a request") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(gathering.ask("e", late(), |question| ends(question, 5)), Some(now(5)));
    }

    #[test]
    fn who_no_longer_waits_passes_its_turn_on() {
        let gathering = Gathering::default();
        let (broker, asked) = Broker::new();
        thread::scope(|scope| {
            let ask = |topic| asks(scope, &gathering, &broker, topic);
            let first = ask("a");
            let (question, answer) = asked.recv().unwrap();
            // What one that has given up leaves behind.
            let (turn, gone) = oneshot::channel();
            drop(gone);
            let mut state = gathering.lock();
            let id = state.next_id();
            state.gathered.push(Asking { id, topic: "gone".to_owned(), turn });
            drop(state);
            let next = ask("b");
            until(|| gathering.gathered() == 2);
            answer.send(ends(&question, 1)).unwrap();
            first.join().unwrap();
            let (question, answer) = asked.recv().unwrap();
            assert_eq!(topics(&question), ["b"]);
            answer.send(ends(&question, 2)).unwrap();
            assert_eq!(next.join().unwrap(), Some(now(2)));
        });
    }
}
