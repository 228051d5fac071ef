//! A producer without a thread of its own: waiter waits for a delivery report takes it out of the queue.
//!
//! A thread that does nothing but poll is woken for each report, only to wake the one waiter waits for it. Without it librdkafka
//! wakes that one, by a callback for what comes into its empty queue.

use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use rdkafka::bindings as rdsys;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::tasks;
use crate::sync::wait::Calls;

/// Waiter waits for something from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A thread, which looks as soon as it is woken.
    Thread,
    /// A task, whose runtime may be busy with something that blocks.
    Task,
}

impl From<Calls> for Waiter {
    fn from(calls: Calls) -> Self {
        match calls {
            Calls::OnThisThread => Self::Thread,
            Calls::OnAnotherThread => Self::Task,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    waiter: Waiter,
    /// In an `Arc`, so that it can be passed on under a lock: no waker of somebody else's is called, cloned or dropped there.
    waker: Arc<Waker>,
}

/// Those waiter wait now.
#[derive(Debug, Default)]
struct Waiters {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last_id: u64,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread is enough, since it takes out all that is there, and wakes those whom it concerns. A task may not come to
    /// look, so those before it are woken as well.
    fn wake(&self) {
        let mut of_tasks = Vec::new();
        for waiting in &self.lock().waiting {
            match waiting.waiter {
                Waiter::Task => of_tasks.push(Arc::clone(&waiting.waker)),
                Waiter::Thread => {
                    // It is our own, and unparks the thread.
                    waiting.waker.wake_by_ref();
                    break;
                }
            }
        }
        if !of_tasks.is_empty() {
            tasks::wake(of_tasks);
        }
    }
}

/// Called on a thread of librdkafka's, which holds the queue's lock: it may not look into the queue itself.
unsafe extern "C" fn has_something(_: *mut rdsys::rd_kafka_t, waiters: *mut c_void) {
    // SAFETY: it is what `Polled::new` has given, which `Polled` keeps alive until the callback is taken back.
    let waiters = unsafe { &*waiters.cast::<Waiters>() };
    waiters.wake();
}

/// The producer and those waiter wait for something from its queue.
pub(super) struct Polled<C: ProducerContext + 'static> {
    // Dropped first: a reference may not outlive its client.
    queue: Queue,
    producer: BaseProducer<C>,
    waiters: Arc<Waiters>,
}

/// A reference to a queue of librdkafka's, given back when dropped.
struct Queue(NonNull<rdsys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues take their own lock in each call.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and given back once.
        unsafe { rdsys::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

impl<C: ProducerContext + 'static> Polled<C> {
    pub(super) fn new(producer: BaseProducer<C>) -> Self {
        // SAFETY: the handle is valid; the reference that is returned is ours.
        let queue = unsafe { rdsys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let queue = Queue(NonNull::new(queue).expect("every client has a main queue"));
        let waiters = Arc::<Waiters>::default();
        // SAFETY: the queue is valid, and `waiters` lives until `drop` has taken the callback back.
        unsafe {
            let waiters = Arc::as_ptr(&waiters).cast_mut().cast();
            rdsys::rd_kafka_queue_cb_event_enable(queue.0.as_ptr(), Some(has_something), waiters);
        }
        Self { queue, producer, waiters }
    }

    pub(super) fn producer(&self) -> &BaseProducer<C> {
        &self.producer
    }

    /// Takes out all that is in the queue: reports go to those waiter wait for them, errors to the context.
    pub(super) fn take_out(&self) {
        // SAFETY: the queue is valid as long as `self`.
        while unsafe { rdsys::rd_kafka_queue_length(self.queue.0.as_ptr()) } > 0 {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// The future's output, which something in the queue brings about.
    pub(super) async fn wait<F: Future>(&self, waiter: Waiter, future: F) -> F::Output {
        if waiter == Waiter::Task {
            tasks::get_ready();
        }
        let mut future = pin!(future);
        let place = Place { polled: self, id: self.next_id() };
        poll_fn(|context| {
            // In this order: what comes after the look into the queue wakes us.
            place.take(waiter, context.waker());
            self.take_out();
            future.as_mut().poll(context)
        })
        .await
    }

    fn next_id(&self) -> u64 {
        let mut list = self.waiters.lock();
        list.last_id += 1;
        list.last_id
    }
}

impl<C: ProducerContext + 'static> Drop for Polled<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is valid. The callback runs under the queue's lock, which this takes: after it none is running,
        // and none comes.
        unsafe { rdsys::rd_kafka_queue_cb_event_enable(self.queue.0.as_ptr(), None, std::ptr::null_mut()) };
    }
}

/// A place among those waiter wait.
struct Place<'a, C: ProducerContext + 'static> {
    polled: &'a Polled<C>,
    id: u64,
}

impl<C: ProducerContext + 'static> Place<'_, C> {
    fn take(&self, waiter: Waiter, waker: &Waker) {
        let is_mine = |waiting: &Waiting| waiting.id == self.id;
        let known =
            self.polled.waiters.lock().waiting.iter().any(|other| is_mine(other) && other.waker.will_wake(waker));
        if known {
            return;
        }
        let mine = Waiting { id: self.id, waiter, waker: Arc::new(waker.clone()) };
        let mut list = self.polled.waiters.lock();
        let before = match list.waiting.iter_mut().find(|waiting| is_mine(waiting)) {
            Some(place) => Some(std::mem::replace(place, mine)),
            None => {
                list.waiting.push(mine);
                None
            }
        };
        drop(list);
        drop(before);
    }
}

impl<C: ProducerContext + 'static> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let mut list = self.polled.waiters.lock();
        let mine = list.waiting.iter().position(|waiting| waiting.id == self.id).map(|at| list.waiting.remove(at));
        let others_wait = !list.waiting.is_empty();
        drop(list);
        drop(mine);
        // It may have been woken for something that others wait for.
        if others_wait {
            self.polled.take_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Broker, Shape};
    use crate::cluster::producer::{Producer, Sending};
    use crate::model::producer_record::ProducerRecord;
    use crate::sync::wait::{self, Deadline, until};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};
    use std::thread;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Much later than a test waits for anything: at its deadline waiter waits looks once more.
    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    /// A producer on a broker that has the topic.
    fn producer() -> Producer {
        let broker = Arc::new(Broker::embedded(1, &[]).unwrap());
        let shape = Shape { partitions: 1, replication_factor: None, config: Vec::new() };
        broker.create_topics(&[("events", &shape)], soon()).remove(0).unwrap();
        Producer::new(broker, late().remaining()).unwrap()
    }

    fn enqueue(producer: &Producer) -> Sending {
        producer.enqueue("events", &ProducerRecord::new("k", "v")).unwrap()
    }

    fn send(producer: &Producer) -> i64 {
        wait::block_on(enqueue(producer).outcome(Waiter::Thread), late()).unwrap().unwrap().offset
    }

    #[test]
    fn all_who_wait_at_once_get_their_own() {
        let producer = producer();
        let mut offsets: Vec<i64> = thread::scope(|scope| {
            let many = |_| scope.spawn(|| (0..50).map(|_| send(&producer)).collect::<Vec<_>>());
            let threads: Vec<_> = (0..8).map(many).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        offsets.sort_unstable();
        assert_eq!(offsets, (0..400).collect::<Vec<_>>());
        assert!(producer.native().waiters.lock().waiting.is_empty());
    }

    #[test]
    fn a_task_that_is_not_polled_holds_no_thread_up() {
        let producer = producer();
        let mut sending = enqueue(&producer);
        let mut task = Box::pin(sending.outcome(Waiter::Task));
        // Its place is taken, and whoever wakes it wakes nobody.
        let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| send(&producer));
            until(|| thread.is_finished());
            assert_eq!(thread.join().unwrap(), 1);
        });
        // What was for the task has come to it meanwhile.
        assert_eq!(wait::poll_now(task).map(|outcome| outcome.unwrap().offset), Some(0));
    }

    /// A waker may take whatever lock it likes, also those that are taken when something comes into the queue.
    #[test]
    fn a_tasks_waker_may_use_the_producer() {
        struct UsesIt(Arc<super::super::Native>, AtomicUsize);

        impl Wake for UsesIt {
            fn wake(self: Arc<Self>) {
                self.0.take_out();
                self.0.next_id();
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }

        let producer = producer();
        let waker = Arc::new(UsesIt(producer.native(), AtomicUsize::new(0)));
        // Once more where the report was there before the task waited.
        let is_shown = (0..20).any(|_| {
            let mut sending = enqueue(&producer);
            let mut task = Box::pin(sending.outcome(Waiter::Task));
            let waits = task.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&waker)))).is_pending();
            if waits {
                until(|| waker.1.load(Ordering::SeqCst) > 0);
                let deadline = soon();
                while wait::poll_now(task.as_mut()).is_none() {
                    assert!(!deadline.has_passed());
                    deadline.pause(Duration::from_millis(1));
                }
            }
            waits
        });
        assert!(is_shown);
    }

    #[test]
    fn who_goes_leaves_nothing_in_the_queue_for_which_it_was_woken() {
        let producer = producer();
        send(&producer);
        let native = producer.native();
        // Once more where the other thread was so late to wait that it found its report at once.
        let is_shown = (0..20).any(|_| {
            // The first of the threads that wait: the callback wakes it alone.
            let place = Place { polled: &native, id: native.next_id() };
            place.take(Waiter::Thread, Waker::noop());
            thread::scope(|scope| {
                let other = scope.spawn(|| send(&producer));
                // SAFETY: the queue is valid as long as `native`.
                until(|| unsafe { rdsys::rd_kafka_queue_length(native.queue.0.as_ptr()) } > 0 || other.is_finished());
                let waits = !other.is_finished();
                drop(place);
                until(|| other.is_finished());
                waits
            })
        });
        assert!(is_shown);
    }
}
