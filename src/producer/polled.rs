//! A producer without a thread of its own: who waits for a delivery report takes it out of the queue.
//!
//! A thread that does nothing but poll is woken for each report, only to wake the one who waits for it. Without it librdkafka
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

/// Who waits for something from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// A thread, which looks as soon as it is woken.
    Thread,
    /// A task, whose runtime may be busy with something that blocks.
    Task,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    who: Who,
    waker: Waker,
}

/// Those who wait now.
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
        for waiting in &self.lock().waiting {
            waiting.waker.wake_by_ref();
            if waiting.who == Who::Thread {
                break;
            }
        }
    }
}

/// Called on a thread of librdkafka's, which holds the queue's lock: it may not look into the queue itself.
unsafe extern "C" fn has_something(_: *mut rdsys::rd_kafka_t, waiters: *mut c_void) {
    // SAFETY: it is what `Polled::new` has given, which `Polled` keeps alive until the callback is taken back.
    let waiters = unsafe { &*waiters.cast::<Waiters>() };
    waiters.wake();
}

/// The producer and those who wait for something from its queue.
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

    /// Takes out all that is in the queue: reports go to those who wait for them, errors to the context.
    pub(super) fn take_out(&self) {
        // SAFETY: the queue is valid as long as `self`.
        while unsafe { rdsys::rd_kafka_queue_length(self.queue.0.as_ptr()) } > 0 {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// The future's output, which something in the queue brings about.
    pub(super) async fn wait<F: Future>(&self, who: Who, future: F) -> F::Output {
        let mut future = pin!(future);
        let place = Place { polled: self, id: self.next_id() };
        poll_fn(|context| {
            // In this order: what comes after the look into the queue wakes us.
            place.take(who, context.waker());
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

/// A place among those who wait.
struct Place<'a, C: ProducerContext + 'static> {
    polled: &'a Polled<C>,
    id: u64,
}

impl<C: ProducerContext + 'static> Place<'_, C> {
    fn take(&self, who: Who, waker: &Waker) {
        let list = &mut self.polled.waiters.lock().waiting;
        match list.iter_mut().find(|waiting| waiting.id == self.id) {
            Some(waiting) => waiting.waker.clone_from(waker),
            None => list.push(Waiting { id: self.id, who, waker: waker.clone() }),
        }
    }
}

impl<C: ProducerContext + 'static> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let left = {
            let list = &mut self.polled.waiters.lock().waiting;
            list.retain(|waiting| waiting.id != self.id);
            list.len()
        };
        // It may have been woken for something that others wait for.
        if left > 0 {
            self.polled.take_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Broker, Embedded, Shape};
    use crate::producer::Producer;
    use crate::wait::{self, Deadline, until};
    use rdkafka::producer::BaseRecord;
    use std::thread;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(10))
    }

    /// Much later than a test waits for anything: at its deadline who waits looks once more.
    fn late() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    /// A producer on a broker that has the topic.
    fn producer() -> Producer {
        let broker: Arc<dyn Broker> = Arc::new(Embedded::start(1).unwrap());
        let shape = Shape { partitions: 1, replication_factor: None, config: Vec::new() };
        broker.create_topics(&[("events", &shape)], soon()).remove(0).unwrap();
        Producer::new(broker, late().remaining()).unwrap()
    }

    fn send(producer: &Producer) -> i64 {
        let sending = producer.enqueue(BaseRecord::to("events").key("k").payload("v")).unwrap();
        producer.wait(sending, late()).unwrap().offset
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
        let sending = producer.enqueue(BaseRecord::to("events").key("k").payload("v")).unwrap();
        let mut task = Box::pin(producer.wait_async(sending, late()));
        // Its place is taken, and whoever wakes it wakes nobody.
        let _ = task.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| send(&producer));
            until(|| thread.is_finished());
            assert_eq!(thread.join().unwrap(), 1);
        });
        // What was for the task has come to it meanwhile.
        assert_eq!(wait::poll_now(task).map(|outcome| outcome.unwrap().offset), Some(0));
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
            place.take(Who::Thread, Waker::noop());
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
