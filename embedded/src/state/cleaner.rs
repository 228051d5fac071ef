//! Retention and compaction at the request of a test. Kafka's cleaner runs periodically, and by segments.

use std::collections::HashMap;

use bytes::{BufMut, BytesMut};

use super::Cluster;
use super::batch::Batch;
use super::configs::TopicSettings;
use super::partition::Partition;
use super::records::{Records, uncompressed};
use crate::clock::Time;

impl Cluster {
    /// Deletes and compacts records according to the configuration of the topics, and forgets the producers that have expired.
    pub(crate) fn clean_logs(&mut self, now: Time) {
        let mut changed = Vec::new();
        for topic in self.topics.iter_mut() {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let before = (partition.log.start(), partition.log.bytes());
                partition.clean(topic.settings.on(partition.leader), now);
                let expiration = self.configs.number_of(partition.leader, "producer.id.expiration.ms");
                partition.producers.expire(now, expiration);
                if before != (partition.log.start(), partition.log.bytes()) {
                    changed.push((topic.id, index));
                }
            }
        }
        changed.into_iter().for_each(|(id, index)| self.topics.touch(id, index));
    }
}

impl Partition {
    fn clean(&mut self, settings: &TopicSettings, now: Time) {
        if settings.delete {
            self.retain(settings, now);
        }
        if settings.compact {
            self.compact(settings, now);
        }
    }

    /// Deletes records from the front of the log according to the retention time and the retention size.
    fn retain(&mut self, settings: &TopicSettings, now: Time) {
        let mut too_much = match settings.retention_bytes {
            most @ 0.. => self.log.bytes().saturating_sub(most as usize),
            _ => 0,
        };
        let mut start = self.log.start();
        for batch in self.log.batches() {
            let too_old =
                settings.retention_ms >= 0 && now.0.saturating_sub(batch.max_timestamp) > settings.retention_ms;
            if !too_old && batch.bytes.len() > too_much {
                break;
            }
            too_much = too_much.saturating_sub(batch.bytes.len());
            start = batch.last_offset() + 1;
        }
        self.truncate_before(start);
    }

    /// Keeps the last record of each key, and deletes records of aborted transactions. Records of open transactions, and
    /// records that are too young, are kept.
    fn compact(&mut self, settings: &TopicSettings, now: Time) {
        let young = |batch: &&Batch| batch.max_timestamp > now.0.saturating_sub(settings.min_compaction_lag_ms);
        let young = self.log.batches().find(|batch| settings.min_compaction_lag_ms > 0 && young(batch));
        let end = young.map_or(i64::MAX, |batch| batch.base_offset).min(self.last_stable_offset());
        let mut aborted: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for transaction in self.aborted_transactions(self.log.start(), end) {
            let range = (transaction.first_offset, transaction.last_offset);
            aborted.entry(transaction.producer_id).or_default().push(range);
        }
        let is_aborted = |batch: &Batch| {
            let ranges = aborted.get(&batch.producer_id).filter(|_| batch.is_transactional());
            ranges.is_some_and(|ranges| ranges.iter().any(|(first, last)| (first..=last).contains(&&batch.base_offset)))
        };
        let is_data = |batch: &&Batch| batch.base_offset < end && !batch.is_control();

        let mut last: HashMap<Vec<u8>, i64> = HashMap::new();
        for batch in self.log.batches().filter(is_data).filter(|batch| !is_aborted(batch)) {
            let Ok(bytes) = uncompressed(batch) else { continue };
            for record in Records::new(&bytes, batch.count).map_while(Result::ok) {
                if let Some(key) = record.key {
                    last.insert(key.to_vec(), batch.base_offset + i64::from(record.offset_delta));
                }
            }
        }
        let compacted = self.log.batches().filter_map(|batch| match is_data(&batch) {
            true if is_aborted(batch) => None,
            true => compacted(batch, &last, now.0.saturating_sub(settings.delete_retention_ms)),
            false => Some(batch.clone()),
        });
        let compacted: Vec<Batch> = compacted.collect();
        self.log.replace(compacted);
    }
}

/// Returns the batch with only the last record of each key, or nothing if it contains none of them. A record without a value
/// marks a deleted key. It is deleted too if it is older than `deleted`.
fn compacted(batch: &Batch, last: &HashMap<Vec<u8>, i64>, deleted: i64) -> Option<Batch> {
    let Ok(bytes) = uncompressed(batch) else { return Some(batch.clone()) };
    let (mut kept, mut count, mut largest) = (BytesMut::new(), 0, -1);
    for record in Records::new(&bytes, batch.count).map_while(Result::ok) {
        let offset = batch.base_offset + i64::from(record.offset_delta);
        let timestamp = batch.timestamp(record.timestamp_delta);
        let is_last = record.key.is_some_and(|key| last.get(key) == Some(&offset));
        if is_last && (record.value.is_some() || timestamp >= deleted) {
            kept.put_slice(record.bytes);
            count += 1;
            largest = timestamp.max(largest);
        }
    }
    match count {
        0 => None,
        _ if count == batch.count => Some(batch.clone()),
        _ => Some(batch.with_records(&kept, count, largest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::batch::MaxTimestamp;

    /// Creates a partition of batches. Each batch has records with these keys and values, and a timestamp one second after the
    /// batch before it.
    fn partition(batches: &[&[(&str, Option<&str>)]]) -> Partition {
        let mut partition = Partition::new(vec![1]);
        for (n, records) in batches.iter().enumerate() {
            let mut bytes = BytesMut::new();
            for (delta, (key, value)) in records.iter().enumerate() {
                let mut record = vec![0, 0, 2 * delta as u8, 2 * key.len() as u8];
                record.extend_from_slice(key.as_bytes());
                record.push(value.map_or(1, |value| 2 * value.len() as u8));
                record.extend_from_slice(value.unwrap_or_default().as_bytes());
                record.push(0);
                bytes.put_u8(2 * record.len() as u8);
                bytes.put_slice(&record);
            }
            let time = Time(1000 * n as i64);
            let mut batch = Batch::end_marker(0, 0, MaxTimestamp::Created(time.0), (-1, -1), 0, true);
            (batch.attributes, batch.last_offset_delta) = (0, records.len() as i32 - 1);
            let batch = batch.with_records(&bytes, records.len() as i32, time.0);
            partition.log.append(batch.placed(partition.log.end(), 0, MaxTimestamp::Created(time.0)));
        }
        partition
    }

    fn left(partition: &Partition) -> Vec<(i64, String)> {
        let mut left = Vec::new();
        for batch in partition.log.batches() {
            assert!(batch.has_right_checksum());
            for record in Records::new(batch.records(), batch.count).map(Result::unwrap) {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"-").to_vec()).unwrap();
                let offset = batch.base_offset + i64::from(record.offset_delta);
                left.push((offset, format!("{}{}", text(record.key), text(record.value))));
            }
        }
        left
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_from_the_front() {
        let one = [("k", Some("v"))];
        let mut partition = partition(&[&one, &one, &one, &one]);
        let size = partition.log.bytes() / 4;
        let mut settings =
            TopicSettings { delete: true, retention_ms: 2000, retention_bytes: -1, ..Default::default() };
        partition.clean(&settings, Time(3000));
        assert_eq!(partition.log.start(), 1);
        settings = TopicSettings { retention_ms: -1, retention_bytes: size as i64 + 1, ..settings };
        partition.clean(&settings, Time(i64::MAX));
        assert_eq!((partition.log.start(), partition.log.bytes()), (2, 2 * size));
        settings.retention_bytes = 0;
        partition.clean(&settings, Time(3000));
        assert_eq!((partition.log.start(), partition.log.end(), partition.log.bytes()), (4, 4, 0));
    }

    #[test]
    fn the_last_record_of_each_key_is_left() {
        let mut partition = partition(&[
            &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))],
            &[("a", Some("2"))],
            &[("b", None), ("a", Some("3"))],
        ]);
        let settings = TopicSettings { compact: true, delete_retention_ms: 5000, ..Default::default() };
        partition.clean(&settings, Time(3000));
        let of = |records: &[(i64, &str)]| records.iter().map(|(n, text)| (*n, (*text).to_owned())).collect::<Vec<_>>();
        assert_eq!(left(&partition), of(&[(2, "c1"), (4, "b-"), (5, "a3")]));
        assert_eq!((partition.log.start(), partition.log.end()), (0, 6));
        partition.clean(&settings, Time(8000));
        assert_eq!(left(&partition), of(&[(2, "c1"), (5, "a3")]));
    }

    #[test]
    fn what_is_younger_than_the_lag_is_left() {
        let mut partition = partition(&[&[("a", Some("1"))], &[("a", Some("2"))], &[("a", Some("3"))]]);
        let settings = TopicSettings { compact: true, min_compaction_lag_ms: 1500, ..Default::default() };
        partition.clean(&settings, Time(3000));
        assert_eq!(left(&partition).len(), 2);
    }
}
