//! What comes and goes over the wire. Decoding takes no length at its word: a frame of a few bytes must not ask for gigabytes.

use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// Why a frame is not what it says it is.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

/// Decodes a message. What follows it is ignored, as Kafka does.
///
/// The decoder allocates an array for the length in the message, before it reads the first element. No length
/// may be larger than what is left of the message, since each element takes a byte at least. A first pass over a
/// [`Guarded`] buffer checks that. Kafka checks the same (`"Tried to allocate a collection of size …"`).
pub(crate) fn decode<T: Decodable>(bytes: &Bytes, version: i16) -> Result<T, Malformed> {
    let mut guarded = Guarded { bytes: bytes.clone(), doubtful: false, varint: 0, shift: 0 };
    let message = T::decode(&mut guarded, version).map_err(|error| Malformed(error.to_string()))?;
    if !guarded.doubtful {
        return Ok(message);
    }
    T::decode(&mut bytes.clone(), version).map_err(|error| Malformed(error.to_string()))
}

/// Decodes the front of `bytes`, and leaves what follows it. It must hold no arrays but tagged fields.
pub(crate) fn decode_part<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, Malformed> {
    let mut guarded = Guarded { bytes: std::mem::take(bytes), doubtful: false, varint: 0, shift: 0 };
    let message = T::decode(&mut guarded, version).map_err(|error| Malformed(error.to_string()))?;
    *bytes = guarded.bytes;
    // A number was changed, which only the correlation id can be: the caller has read it itself.
    Ok(message)
}

/// An answer of any API, to be encoded in the version of its request.
pub(crate) trait Reply: Send {
    fn encode(&self, version: i16, into: &mut BytesMut) -> Result<(), String>;
    fn header_version(&self, version: i16) -> i16;
    /// Tells the client for how long it is throttled, where the answer has a place for it.
    fn throttle(&mut self, milliseconds: i32);
}

/// A buffer that lets no length pass which is larger than what is left of it.
///
/// It does not know which of the numbers that are read are lengths. Of a 32-bit number that is too large for one it gives
/// -2 instead, which no array and no byte string takes for a length; that the message was changed so is `doubtful`.
/// An unsigned varint is always a length or a tag, so one that is too large is an error.
struct Guarded {
    bytes: Bytes,
    doubtful: bool,
    varint: u64,
    shift: u32,
}

/// Lengths of up to 256 MiB take four bytes, and no frame is that long.
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
        // A compact length is one more than the length.
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
            // A boolean before it changes nothing.
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
