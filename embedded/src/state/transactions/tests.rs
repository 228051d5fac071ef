//! Tests of the transaction coordinator's state alone.

use kafka_protocol::ResponseError::{self, *};

use super::transaction::Ended;
use super::{Producer, State, TransactionSupport, Transactions};
use crate::clock::Time;

const ID: &str = "tx";
const EXPIRATION: i64 = 1_000_000;

fn transactions() -> Transactions {
    Transactions::new(EXPIRATION)
}

fn init(transactions: &mut Transactions, now: i64) -> Producer {
    init_with(transactions, None, now).unwrap()
}

fn init_with(transactions: &mut Transactions, had: Option<Producer>, now: i64) -> Result<Producer, ResponseError> {
    transactions.fence(ID, 1000, had, Time(now))?;
    transactions.init(ID, 1000, had, Time(now))
}

fn add(transactions: &mut Transactions, producer: Producer, now: i64) {
    transactions.add(ID, producer, [("t", 0)], Time(now)).unwrap();
}

fn state(transactions: &Transactions) -> State {
    transactions.get(ID).unwrap().state()
}

/// Returns the one transaction that has ended since the last call.
fn ended(transactions: &mut Transactions) -> Ended {
    assert_eq!(transactions.ended.len(), 1);
    transactions.ended.remove(0).1
}

/// Returns a producer with the last epoch.
fn last_epoch(transactions: &mut Transactions) -> Producer {
    loop {
        let producer = init(transactions, 0);
        if producer.epoch == i16::MAX - 1 {
            return producer;
        }
    }
}

#[test]
fn a_transaction_ends_with_what_was_added_to_it() {
    let mut transactions = transactions();
    let producer = init(&mut transactions, 0);
    transactions.add(ID, producer, [("b", 1), ("a", 0)], Time(0)).unwrap();
    transactions.add(ID, producer, [("b", 0), ("b", 1)], Time(5)).unwrap();
    transactions.end(ID, producer, true, false, Time(9)).unwrap();
    let ended = ended(&mut transactions);
    assert_eq!((ended.producer, ended.commit), (producer, true));
    assert_eq!(ended.partitions, [("a".to_owned(), [0].into()), ("b".to_owned(), [0, 1].into())].into());
    // A retry ends nothing.
    transactions.end(ID, producer, true, false, Time(9)).unwrap();
    assert!(transactions.ended.is_empty());
    assert!(transactions.get(ID).unwrap().partitions().is_empty());
}

#[test]
fn the_marker_of_version_2_has_the_bumped_epoch() {
    let mut transactions = transactions();
    let producer = init(&mut transactions, 0);
    add(&mut transactions, producer, 0);
    let next = transactions.end(ID, producer, false, true, Time(9)).unwrap();
    assert_eq!(next, Producer { epoch: producer.epoch + 1, ..producer });
    assert_eq!(ended(&mut transactions).producer, next);
}

#[test]
fn used_up_epochs_are_followed_by_another_producer_id() {
    let mut transactions = transactions();
    let last = last_epoch(&mut transactions);
    let next = init(&mut transactions, 0);
    assert!(next.id != last.id && next.epoch == 0);
    assert!(transactions.new_producer_id() > next.id, "nobody else gets it");
    // The producer may not have received the response, and sends its old id and epoch.
    assert_eq!(init_with(&mut transactions, Some(last), 0), Err(ProducerFenced), "another one has asked since");
    let last = last_epoch(&mut transactions);
    let next = init_with(&mut transactions, Some(last), 0).unwrap();
    assert_eq!(init_with(&mut transactions, Some(last), 0), Ok(next));
    assert_eq!(init_with(&mut transactions, Some(next), 0), Ok(Producer { epoch: 1, ..next }));
}

#[test]
fn the_end_of_a_transaction_may_use_the_epochs_up() {
    let mut transactions = transactions();
    let last = last_epoch(&mut transactions);
    add(&mut transactions, last, 0);
    let next = transactions.end(ID, last, true, true, Time(0)).unwrap();
    assert!(next.id != last.id && next.epoch == 0);
    assert_eq!(ended(&mut transactions).producer, Producer { epoch: i16::MAX, ..last });
    assert_eq!(transactions.end(ID, last, true, true, Time(0)), Ok(next), "a retry");
    assert_eq!(transactions.end(ID, last, false, true, Time(0)), Err(InvalidTxnState));
    assert_eq!(transactions.end(ID, last, true, false, Time(0)), Err(InvalidProducerIdMapping));
}

#[test]
fn fencing_takes_the_epoch_that_no_producer_is_given() {
    let mut transactions = transactions();
    let last = last_epoch(&mut transactions);
    add(&mut transactions, last, 0);
    // Kafka fails in the same way. The result is the same if a client makes up this epoch.
    assert_eq!(init_with(&mut transactions, Some(last), 0), Err(UnknownServerError));
    let fence = Producer { epoch: i16::MAX, ..last };
    assert_eq!(ended(&mut transactions).producer, fence);
    assert_eq!(init_with(&mut transactions, Some(last), 0), Err(UnknownServerError));
    assert_eq!(transactions.end(ID, fence, false, true, Time(0)), Err(UnknownServerError));
    transactions.add(ID, fence, [("t", 0)], Time(0)).unwrap();
    let next = init(&mut transactions, 0);
    assert!(next.id != last.id && next.epoch == 0);
    assert_eq!(ended(&mut transactions).producer, fence);
}

#[test]
fn an_open_transaction_times_out_and_its_producer_is_fenced() {
    let mut transactions = transactions();
    let producer = init(&mut transactions, 0);
    add(&mut transactions, producer, 100);
    add(&mut transactions, producer, 600);
    assert_eq!(transactions.next_timeout(), Some(Time(1101)));
    transactions.expire(Time(1100));
    assert_eq!(state(&transactions), State::Ongoing);
    transactions.expire(Time(1101));
    assert_eq!(state(&transactions), State::Complete { commit: false });
    let ended = ended(&mut transactions);
    assert_eq!((ended.producer.epoch, ended.commit), (producer.epoch + 1, false));
    assert_eq!(transactions.add(ID, producer, [("t", 0)], Time(1101)), Err(ProducerFenced));
}

#[test]
fn a_transactional_id_is_forgotten_when_it_was_not_used_for_long() {
    let mut transactions = transactions();
    let producer = init(&mut transactions, 0);
    add(&mut transactions, producer, 10);
    transactions.end(ID, producer, true, false, Time(20)).unwrap();
    assert_eq!(transactions.next_timeout(), Some(Time(20 + EXPIRATION)));
    transactions.expire(Time(19 + EXPIRATION));
    assert!(transactions.get(ID).is_some());
    transactions.expire(Time(20 + EXPIRATION));
    assert!(transactions.get(ID).is_none());
    assert_eq!(transactions.next_timeout(), None);
    let next = init(&mut transactions, 30 + EXPIRATION);
    assert!(next.id > producer.id && next.epoch == 0);
}

#[test]
fn a_write_is_admitted_by_what_the_client_knows() {
    use TransactionSupport::*;
    let mut transactions = transactions();
    let producer = init(&mut transactions, 0);
    let mut verify = |id, producer, partition, support| {
        let result = transactions.verify(id, producer, ("t", partition), support, Time(0));
        (result, state(&transactions))
    };
    assert_eq!(verify(ID, producer, 0, Verify), (Err(InvalidTxnState), State::Empty));
    assert_eq!(verify(ID, producer, 0, VerifyAbortable), (Err(TransactionAbortable), State::Empty));
    assert_eq!(verify(ID, producer, 0, Add), (Ok(()), State::Ongoing));
    assert_eq!(verify(ID, producer, 0, Verify), (Ok(()), State::Ongoing));
    assert_eq!(verify(ID, producer, 1, Verify), (Err(InvalidTxnState), State::Ongoing));
    for support in [Verify, VerifyAbortable, Add] {
        let stale = Producer { epoch: producer.epoch - 1, ..producer };
        assert_eq!(verify(ID, stale, 0, support).0, Err(ProducerFenced));
        let other = Producer { id: producer.id + 1, ..producer };
        assert_eq!(verify(ID, other, 0, support).0, Err(InvalidProducerIdMapping));
        assert_eq!(verify("nobody", producer, 0, support).0, Err(InvalidProducerIdMapping));
        assert_eq!(verify("", producer, 0, support).0, Err(InvalidRequest));
    }
}
