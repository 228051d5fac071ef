//! Encoding and decoding. Decoding trusts no length, because a frame of a few bytes must not make it allocate gigabytes.

use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// The reason why a frame is invalid.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

/// Decodes a message. Bytes after the message are ignored, as in Kafka.
///
/// The decoder allocates an array for the length in the message before it reads the first element. Each element takes at least
/// one byte, so a length must not be larger than the rest of the message. A first pass over a [`Guarded`] buffer checks that.
/// Kafka has the same check (`"Tried to allocate a collection of size …"`).
pub(crate) fn decode<T: Decodable>(bytes: &Bytes, version: i16) -> Result<T, Malformed> {
    let mut guarded = Guarded { bytes: bytes.clone(), doubtful: false, varint: 0, shift: 0 };
    let message = T::decode(&mut guarded, version).map_err(|error| Malformed(error.to_string()))?;
    if !guarded.doubtful {
        return Ok(message);
    }
    T::decode(&mut bytes.clone(), version).map_err(|error| Malformed(error.to_string()))
}

/// Decodes a message at the front of `bytes`, and leaves the bytes after it. The message must not contain arrays except tagged
/// fields.
pub(crate) fn decode_part<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, Malformed> {
    let mut guarded = Guarded { bytes: std::mem::take(bytes), doubtful: false, varint: 0, shift: 0 };
    let message = T::decode(&mut guarded, version).map_err(|error| Malformed(error.to_string()))?;
    *bytes = guarded.bytes;
    // The guard changed a number. It can only be the correlation id, which the caller has read itself.
    Ok(message)
}

/// A response of any API, which is encoded in the version of its request.
pub(crate) trait Reply: Send {
    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), String>;
    fn header_version(&self, version: i16) -> i16;
    /// Sets the throttle time, if the response has a field for it.
    fn throttle(&mut self, milliseconds: i32);
}

/// A buffer that refuses every length that is larger than the rest of the buffer.
///
/// It does not know which numbers are lengths. If a 32-bit number is too large for a length, it returns -2 instead, which is
/// invalid as the length of an array or byte string. It then sets `doubtful`, because the number may not be a length. An
/// unsigned varint is always a length or a tag, so a varint that is too large is an error.
struct Guarded {
    bytes: Bytes,
    doubtful: bool,
    varint: u64,
    shift: u32,
}

/// Lengths of up to 256 MiB take four bytes, and no frame is longer than that.
const MOST_VARINT_BYTES: u32 = 4;

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.bytes.try_get_i32()?;
        if usize::try_from(value).is_ok_and(|length| length > self.bytes.len()) {
            self.doubtful = true;
            return Ok(-2);
        }
        Ok(value)
    }

    /// A byte of a varint, or a boolean, which is a varint of one byte.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= u64::from(byte & 0x7f) << (7 * self.shift);
        self.shift += 1;
        if byte >= 0x80 {
            if self.shift >= MOST_VARINT_BYTES {
                return Err(TryGetError { requested: usize::MAX, available: self.bytes.len() });
            }
            return Ok(byte);
        }
        let (length, available) = (self.varint, self.bytes.len());
        (self.varint, self.shift) = (0, 0);
        // A compact length is encoded as the length plus one.
        if length > available as u64 + 1 {
            return Err(TryGetError { requested: length as usize, available });
        }
        Ok(byte)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use kafka_protocol::messages::{FetchRequest, MetadataRequest, OffsetFetchRequest};

    use super::*;

    #[test]
    fn a_length_beyond_the_frame_is_refused_before_anything_is_allocated() {
        for length in [3, 1 << 20, i32::MAX] {
            let mut frame = BytesMut::new();
            frame.put_i32(length);
            assert!(decode::<MetadataRequest>(&frame.freeze(), 0).is_err(), "{length}");
        }
        for length in [&[0x7f_u8][..], &[0xff, 0xff, 0x7f], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert!(decode::<MetadataRequest>(&Bytes::copy_from_slice(length), 12).is_err(), "{length:?}");
            // A boolean before the length changes nothing.
            let mut frame = BytesMut::new();
            frame.put_u8(0x80);
            frame.put_slice(length);
            assert!(decode::<OffsetFetchRequest>(&frame.freeze(), 7).is_err(), "{length:?}");
        }
    }

    #[test]
    fn a_number_that_is_no_length_may_be_large() {
        let mut frame = BytesMut::new();
        frame.put_i32(-1); // replica
        frame.put_i32(500);
        frame.put_i32(1);
        frame.put_i32(i32::MAX); // the most bytes
        frame.put_i8(0);
        frame.put_i32(0); // no topics
        let request = decode::<FetchRequest>(&frame.freeze(), 4).unwrap();
        assert_eq!((request.max_wait_ms, request.max_bytes), (500, i32::MAX));
    }
}
