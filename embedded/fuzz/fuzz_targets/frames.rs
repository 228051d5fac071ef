//! What a connection may send.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedded_kafka::fuzzing::frames(data));
