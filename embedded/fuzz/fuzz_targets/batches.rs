//! What a producer may send, with a right checksum.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedded_kafka::fuzzing::batches(data));
