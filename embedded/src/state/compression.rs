//! Decompression of batches, for checks that read the records. Batches are stored and sent as the client sent them.

use std::io::Read;

use super::batch::Batch;

/// The maximum uncompressed size of one batch, so that a small batch cannot use up all memory.
const MOST: usize = if cfg!(test) { 1 << 20 } else { 128 << 20 };

/// The reason why the records of a batch cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The compression type is unknown, or the bytes are invalid.
    Corrupt,
    /// The uncompressed size is larger than [`MOST`].
    TooLarge,
}

/// The compression types in the attributes of a batch.
pub(crate) const NONE: i16 = 0;
pub(crate) const GZIP: i16 = 1;
pub(crate) const SNAPPY: i16 = 2;
pub(crate) const LZ4: i16 = 3;
pub(crate) const ZSTD: i16 = 4;

/// Returns the uncompressed bytes of a batch's records.
pub(crate) fn decompress(batch: &Batch) -> Result<Vec<u8>, Unreadable> {
    let bytes = batch.records();
    match batch.compression() {
        NONE => Ok(bytes.to_vec()),
        GZIP => gzip(bytes),
        SNAPPY => snappy(bytes),
        LZ4 => read(lz4_flex::frame::FrameDecoder::new(bytes)),
        ZSTD => read(ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|_| Unreadable::Corrupt)?),
        _ => Err(Unreadable::Corrupt),
    }
}

fn read(from: impl Read) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    from.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(|_| Unreadable::Corrupt)?;
    if bytes.len() > MOST { Err(Unreadable::TooLarge) } else { Ok(bytes) }
}

/// Decompresses all members of a gzip file, as Java does. Trailing bytes that are no member are ignored.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    /// Java looks for another member only if more bytes follow than a header and a trailer need.
    const LEAST: usize = 18;
    let mut uncompressed = Vec::new();
    let mut member = without_gzip_header(bytes).ok_or(Unreadable::Corrupt)?;
    loop {
        let begin = uncompressed.len();
        let rest = inflate(member, &mut uncompressed)?;
        let of_member = &uncompressed[begin..];
        let (trailer, rest) = rest.split_first_chunk::<8>().ok_or(Unreadable::Corrupt)?;
        let expected = u64::from(crc32(of_member)) | (of_member.len() as u64) << 32;
        if u64::from_le_bytes(*trailer) != expected {
            return Err(Unreadable::Corrupt);
        }
        match without_gzip_header(rest).filter(|_| rest.len() > LEAST) {
            Some(next) => member = next,
            None => return Ok(uncompressed),
        }
    }
}

/// Inflates the deflated data at the start of the bytes, and returns the bytes after it.
fn inflate<'a>(mut bytes: &'a [u8], into: &mut Vec<u8>) -> Result<&'a [u8], Unreadable> {
    use miniz_oxide::inflate::stream::{InflateState, inflate};
    use miniz_oxide::{DataFormat, MZFlush, MZStatus};
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut buffer = vec![0; 32 << 10];
    loop {
        let result = inflate(&mut state, bytes, &mut buffer, MZFlush::None);
        bytes = &bytes[result.bytes_consumed..];
        into.extend_from_slice(&buffer[..result.bytes_written]);
        if into.len() > MOST {
            return Err(Unreadable::TooLarge);
        }
        match result.status {
            Ok(MZStatus::StreamEnd) => return Ok(bytes),
            Ok(_) if result.bytes_consumed + result.bytes_written > 0 => {}
            _ => return Err(Unreadable::Corrupt),
        }
    }
}

/// The checksum of RFC 1952. It differs from the checksum of a batch.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut entry, mut bit) = (n as u32, 0);
            while bit < 8 {
                entry = if entry & 1 == 1 { (entry >> 1) ^ 0xedb8_8320 } else { entry >> 1 };
                bit += 1;
            }
            table[n] = entry;
            n += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum, byte| (sum >> 8) ^ TABLE[(sum as u8 ^ byte) as usize])
}

/// Returns the bytes after the header that RFC 1952 puts in front of deflated data.
fn without_gzip_header(bytes: &[u8]) -> Option<&[u8]> {
    let [0x1f, 0x8b, 8, flags, ..] = *bytes else { return None };
    let after_zero = |bytes: &'_ [u8]| bytes.iter().position(|byte| *byte == 0).map(|at| at + 1);
    let mut rest = bytes.get(10..)?;
    if flags & 4 != 0 {
        let length = u16::from_le_bytes(*rest.first_chunk()?);
        rest = rest.get(2 + usize::from(length)..)?;
    }
    for field in [8, 16] {
        if flags & field != 0 {
            rest = &rest[after_zero(rest)?..];
        }
    }
    if flags & 2 != 0 { rest.get(2..) } else { Some(rest) }
}

/// Decompresses snappy data. librdkafka writes one block. snappy-java writes a header of 16 bytes, and then blocks with their
/// lengths.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    let mut uncompressed = Vec::new();
    if !bytes.starts_with(MAGIC) {
        snappy_block(bytes, &mut uncompressed)?;
        return Ok(uncompressed);
    }
    let mut rest = bytes.get(16..).ok_or(Unreadable::Corrupt)?;
    while let Some((length, block)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = block.split_at_checked(length).ok_or(Unreadable::Corrupt)?;
        snappy_block(block, &mut uncompressed)?;
        rest = after;
    }
    if rest.is_empty() { Ok(uncompressed) } else { Err(Unreadable::Corrupt) }
}

fn snappy_block(block: &[u8], into: &mut Vec<u8>) -> Result<(), Unreadable> {
    let length = snap::raw::decompress_len(block).map_err(|_| Unreadable::Corrupt)?;
    // Snappy compresses 64 bytes to 3 at best. If a length is beyond that, it is wrong, and no memory is allocated for it.
    if length > block.len().saturating_mul(64) {
        return Err(Unreadable::Corrupt);
    }
    let filled = into.len();
    if filled + length > MOST {
        return Err(Unreadable::TooLarge);
    }
    into.resize(filled + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut into[filled..]).map_err(|_| Unreadable::Corrupt)?;
    into.truncate(filled + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the same, the same, the same, the same, and again the same";

    fn gzipped(flags: u8, extra: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut gzipped = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        gzipped.extend_from_slice(extra);
        gzipped.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
        gzipped.extend_from_slice(&crc32(bytes).to_le_bytes());
        gzipped.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        gzipped
    }

    #[test]
    fn all_members_of_gzip_are_read_and_checked() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let member = gzipped(0, b"", TEXT);
        let twice = [&member[..], &member].concat();
        assert_eq!(gzip(&twice).unwrap(), [TEXT, TEXT].concat());
        assert_eq!(gzip(&[&member[..], b"\x1f\x8b and what is no member"].concat()).unwrap(), TEXT);
        assert_eq!(gzip(&twice[..twice.len() - 1]), Err(Unreadable::Corrupt));
        for at in [1, 8] {
            let mut wrong = member.clone();
            *wrong.iter_mut().rev().nth(at - 1).unwrap() ^= 1;
            assert_eq!(gzip(&wrong), Err(Unreadable::Corrupt), "{at}");
        }
    }

    #[test]
    fn gzip_is_read_whatever_its_header_holds() {
        assert_eq!(gzip(&gzipped(0, b"", TEXT)).unwrap(), TEXT);
        assert_eq!(gzip(&gzipped(4 | 8 | 16 | 2, b"\x03\0abcname\0comment\0cc", TEXT)).unwrap(), TEXT);
        for cut in [0, 3, 9, 12] {
            assert_eq!(gzip(&gzipped(0, b"", TEXT)[..cut]), Err(Unreadable::Corrupt), "{cut}");
        }
    }

    #[test]
    fn snappy_is_read_in_both_framings() {
        let block = snap::raw::Encoder::new().compress_vec(TEXT).unwrap();
        assert_eq!(snappy(&block).unwrap(), TEXT);
        let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
        for _ in 0..2 {
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
        }
        assert_eq!(snappy(&framed).unwrap(), [TEXT, TEXT].concat());
        framed.pop();
        assert_eq!(snappy(&framed), Err(Unreadable::Corrupt));
        assert_eq!(snappy(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(Unreadable::Corrupt));
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = gzipped(0, b"", &vec![0; MOST + 1]);
        assert!(bomb.len() < MOST / 100);
        assert_eq!(gzip(&bomb), Err(Unreadable::TooLarge));
    }
}
