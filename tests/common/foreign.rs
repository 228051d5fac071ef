//! What a client in another language may send.

use std::ffi::CString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr;
use std::time::{Duration, SystemTime};

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::bindings as rdsys;
use rstest_kafka::rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
use rstest_kafka::rdkafka::bindings::rd_kafka_vtype_t::*;
use rstest_kafka::rdkafka::consumer::{BaseConsumer, Consumer};
use rstest_kafka::rdkafka::producer::{BaseProducer, Producer};

/// Sends key `k` and value `v` with one header of this name and the value `a1`; the name need not be UTF-8, as rdkafka's must.
pub fn send_with_header(kafka: &Kafka, topic: &str, name: &[u8]) {
    let producer: BaseProducer = kafka.client_config().create().unwrap();
    let topic = CString::new(topic).unwrap();
    // SAFETY: all pointers are valid for the call, which copies what they point to and takes the headers over.
    let error = unsafe {
        let headers = rdsys::rd_kafka_headers_new(1);
        let added =
            rdsys::rd_kafka_header_add(headers, name.as_ptr().cast(), name.len() as isize, b"a1".as_ptr().cast(), 2);
        assert_eq!(added, RD_KAFKA_RESP_ERR_NO_ERROR);
        rdsys::rd_kafka_producev(
            producer.client().native_ptr(),
            RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            RD_KAFKA_VTYPE_MSGFLAGS,
            rdsys::RD_KAFKA_MSG_F_COPY,
            RD_KAFKA_VTYPE_KEY,
            b"k".as_ptr(),
            1_usize,
            RD_KAFKA_VTYPE_VALUE,
            b"v".as_ptr(),
            1_usize,
            RD_KAFKA_VTYPE_HEADERS,
            headers,
            RD_KAFKA_VTYPE_OPAQUE,
            ptr::null_mut::<std::ffi::c_void>(),
            RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(error, RD_KAFKA_RESP_ERR_NO_ERROR);
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// Writes value `v` without a key to the first partition, compressed with zstd, which the librdkafka of these tests may lack.
pub fn send_zstd(kafka: &Kafka, topic: &str) {
    // Length, attributes, timestamp and offset deltas, no key, a value of one byte, no headers.
    let record = [14, 0, 0, 0, 1, 2, b'v', 0];
    // A frame of one block, which is not compressed any further.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, record.len() as u8];
    frame.extend([(record.len() as u8) << 3 | 1, 0, 0]);
    frame.extend(record);

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let (zstd, none) = (4_i16, -1_i64);
    let mut summed = Vec::new();
    summed.extend(zstd.to_be_bytes());
    summed.extend(0_i32.to_be_bytes());
    summed.extend(now.to_be_bytes());
    summed.extend(now.to_be_bytes());
    summed.extend(none.to_be_bytes());
    summed.extend((none as i16).to_be_bytes());
    summed.extend((none as i32).to_be_bytes());
    summed.extend(1_i32.to_be_bytes());
    summed.extend(frame);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend((summed.len() as i32 + 9).to_be_bytes());
    batch.extend((none as i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&summed).to_be_bytes());
    batch.extend(summed);

    // Produce, version 7, to one partition of one topic, acknowledged by all.
    let string = |text: &str| [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat();
    let mut request = [[0, 0, 0, 7, 0, 0, 0, 1].to_vec(), string("foreign")].concat();
    request.extend((none as i16).to_be_bytes());
    request.extend((none as i16).to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(string(topic));
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((batch.len() as i32).to_be_bytes());
    request.extend(batch);

    let mut broker = TcpStream::connect(leader_of(kafka, topic)).unwrap();
    broker.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    broker.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    broker.write_all(&request).unwrap();
    let mut length = [0; 4];
    broker.read_exact(&mut length).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    broker.read_exact(&mut answer).unwrap();
    // Correlation id, topics, name, partitions, partition; then the error.
    let error = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "{answer:?}");
}

/// The address of the broker that leads the first partition of a topic.
fn leader_of(kafka: &Kafka, topic: &str) -> String {
    let client: BaseConsumer = kafka.client_config().create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let leader = partitions.iter().find(|partition| partition.id() == 0).unwrap().leader();
    let broker = metadata.brokers().iter().find(|broker| broker.id() == leader).unwrap();
    format!("{}:{}", broker.host(), broker.port())
}

/// The checksum of a batch.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 })
    })
}
