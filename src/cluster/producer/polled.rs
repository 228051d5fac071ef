//! A producer without a polling thread: the callers that wait for delivery reports take them from the queue.
//!
//! A polling thread would be woken for each report, only to wake the caller that waits for it. Without that thread
//! librdkafka wakes the caller directly, by a callback that reports a new event in the empty queue.

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

/// What waits for an event in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A thread, which polls the queue as soon as it is woken.
    Thread,
    /// A task. Its runtime may be blocked, so it might not poll soon.
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

/// A thread or task that waits.
#[derive(Debug)]
struct Entry {
    id: u64,
    waiter: Waiter,
    /// In an `Arc`, so that it can be passed on under a lock. A runtime's waker is never called, cloned or dropped
    /// there.
    waker: Arc<Waker>,
}

/// The threads and tasks that wait now.
#[derive(Debug, Default)]
struct Waiters {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last_id: u64,
    /// In the order of registration.
    entries: Vec<Entry>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the first waiting thread, and every task before it.
    ///
    /// One thread is enough, because it drains the queue and so wakes all others. A task might not poll soon, so it
    /// does not replace a thread.
    fn wake(&self) {
        let mut tasks_to_wake = Vec::new();
        for entry in &self.lock().entries {
            match entry.waiter {
                Waiter::Task => tasks_to_wake.push(Arc::clone(&entry.waker)),
                Waiter::Thread => {
                    // This waker is ours and only unparks the thread.
                    entry.waker.wake_by_ref();
                    break;
                }
            }
        }
        if !tasks_to_wake.is_empty() {
            tasks::wake(tasks_to_wake);
        }
    }
}

/// librdkafka calls this on its own thread and holds the lock of the queue, so the queue must not be accessed here.
unsafe extern "C" fn on_event(_: *mut rdsys::rd_kafka_t, waiters: *mut c_void) {
    // SAFETY: the pointer is the one that `Polled::new` has passed. `Polled` keeps it valid until its drop has disabled
    // the callback.
    let waiters = unsafe { &*waiters.cast::<Waiters>() };
    waiters.wake();
}

/// A producer, and the threads and tasks that wait for events in its queue.
pub(super) struct Polled<C: ProducerContext + 'static> {
    // Dropped first, because the reference to the queue must not outlive the client.
    queue: Queue,
    producer: BaseProducer<C>,
    waiters: Arc<Waiters>,
}

/// A reference to a queue of librdkafka, released on drop.
struct Queue(NonNull<rdsys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues take their own lock in each call.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and it is released once.
        unsafe { rdsys::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

impl<C: ProducerContext + 'static> Polled<C> {
    pub(super) fn new(producer: BaseProducer<C>) -> Self {
        // SAFETY: the handle is valid; the reference that is returned is ours.
        let queue = unsafe { rdsys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let queue = Queue(NonNull::new(queue).expect("every client has a main queue"));
        let waiters = Arc::<Waiters>::default();
        // SAFETY: the queue is valid, and `waiters` lives until `drop` has disabled the callback.
        unsafe {
            let waiters = Arc::as_ptr(&waiters).cast_mut().cast();
            rdsys::rd_kafka_queue_cb_event_enable(queue.0.as_ptr(), Some(on_event), waiters);
        }
        Self { queue, producer, waiters }
    }

    pub(super) fn producer(&self) -> &BaseProducer<C> {
        &self.producer
    }

    /// Polls until the queue is empty: reports go to the callers that wait for them, errors to the context.
    pub(super) fn drain(&self) {
        // SAFETY: the queue is valid as long as `self`.
        while unsafe { rdsys::rd_kafka_queue_length(self.queue.0.as_ptr()) } > 0 {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Waits for a future that an event in the queue completes.
    pub(super) async fn wait<F: Future>(&self, waiter: Waiter, future: F) -> F::Output {
        if waiter == Waiter::Task {
            tasks::start_thread();
        }
        let mut future = pin!(future);
        let registration = Registration { polled: self, id: self.next_id() };
        poll_fn(|context| {
            // Register first, so that an event after the poll wakes us.
            registration.register(waiter, context.waker());
            self.drain();
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
        // SAFETY: the queue is valid. The callback runs under the lock of the queue, which this call takes. So after
        // this call no callback is running, and none follows.
        unsafe { rdsys::rd_kafka_queue_cb_event_enable(self.queue.0.as_ptr(), None, std::ptr::null_mut()) };
    }
}

/// The entry of one caller in the list of waiters.
struct Registration<'a, C: ProducerContext + 'static> {
    polled: &'a Polled<C>,
    id: u64,
}

impl<C: ProducerContext + 'static> Registration<'_, C> {
    fn register(&self, waiter: Waiter, waker: &Waker) {
        let is_mine = |entry: &Entry| entry.id == self.id;
        let known =
            self.polled.waiters.lock().entries.iter().any(|other| is_mine(other) && other.waker.will_wake(waker));
        if known {
            return;
        }
        let mine = Entry { id: self.id, waiter, waker: Arc::new(waker.clone()) };
        let mut list = self.polled.waiters.lock();
        let before = match list.entries.iter_mut().find(|entry| is_mine(entry)) {
            Some(entry) => Some(std::mem::replace(entry, mine)),
            None => {
                list.entries.push(mine);
                None
            }
        };
        drop(list);
        drop(before);
    }
}

impl<C: ProducerContext + 'static> Drop for Registration<'_, C> {
    fn drop(&mut self) {
        let mut list = self.polled.waiters.lock();
        let mine = list.entries.iter().position(|entry| entry.id == self.id).map(|at| list.entries.remove(at));
        let others_wait = !list.entries.is_empty();
        drop(list);
        drop(mine);
        // This caller may have been woken for an event that another caller waits for.
        if others_wait {
            self.polled.drain();
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

    /// Much later than a test waits: at its deadline a caller polls once more.
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
    fn every_waiter_receives_its_own_report() {
        let producer = producer();
        let mut offsets: Vec<i64> = thread::scope(|scope| {
            let many = |_| scope.spawn(|| (0..50).map(|_| send(&producer)).collect::<Vec<_>>());
            let threads: Vec<_> = (0..8).map(many).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        offsets.sort_unstable();
        assert_eq!(offsets, (0..400).collect::<Vec<_>>());
        assert!(producer.native().waiters.lock().entries.is_empty());
    }

    #[test]
    fn a_task_that_is_not_polled_does_not_block_a_thread() {
        let producer = producer();
        let mut sending = enqueue(&producer);
        let mut task = Box::pin(sending.outcome(Waiter::Task));
        // The task is registered, and its waker does nothing.
        let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| send(&producer));
            until(|| thread.is_finished());
            assert_eq!(thread.join().unwrap(), 1);
        });
        // The task's report was delivered in the meantime.
        assert_eq!(wait::poll_now(task).map(|outcome| outcome.unwrap().offset), Some(0));
    }

    /// A waker may take any lock, including the locks that are taken when an event arrives in the queue.
    #[test]
    fn a_tasks_waker_may_use_the_producer() {
        struct UsesProducer(Arc<super::super::Native>, AtomicUsize);

        impl Wake for UsesProducer {
            fn wake(self: Arc<Self>) {
                self.0.drain();
                self.0.next_id();
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }

        let producer = producer();
        let waker = Arc::new(UsesProducer(producer.native(), AtomicUsize::new(0)));
        // Repeat if the report arrived before the task waited.
        let is_covered = (0..20).any(|_| {
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
        assert!(is_covered);
    }

    #[test]
    fn a_waiter_that_leaves_drains_the_queue() {
        let producer = producer();
        send(&producer);
        let native = producer.native();
        // Repeat if the other thread waited so late that its report had already arrived.
        let is_covered = (0..20).any(|_| {
            // The first of the waiting threads. The callback wakes only this one.
            let registration = Registration { polled: &native, id: native.next_id() };
            registration.register(Waiter::Thread, Waker::noop());
            thread::scope(|scope| {
                let other = scope.spawn(|| send(&producer));
                // SAFETY: the queue is valid as long as `native`.
                until(|| unsafe { rdsys::rd_kafka_queue_length(native.queue.0.as_ptr()) } > 0 || other.is_finished());
                let waits = !other.is_finished();
                drop(registration);
                until(|| other.is_finished());
                waits
            })
        });
        assert!(is_covered);
    }
}
