//! The frame of one request: its length, header and body.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::Encodable;

use crate::api;
use crate::wire::{self, Malformed, Reply};

/// A request with a decoded header.
pub(super) struct Request {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: Arc<str>,
    pub(super) body: Bytes,
    /// The number of the request on its connection.
    pub(super) serial: u64,
    /// Whether this is an ApiVersions request of an unknown version. Nothing after its correlation id can be decoded.
    pub(super) unsupported_api_versions: bool,
    /// Whether this is a login token. Neither the token nor its response has a header.
    pub(super) bare: bool,
}

#[cfg(feature = "sasl")]
impl Request {
    pub(super) fn bare_token(token: Bytes, serial: u64, client_id: &Arc<str>) -> Self {
        Self {
            key: ApiKey::SaslAuthenticate,
            version: 0,
            correlation_id: 0,
            client_id: client_id.clone(),
            body: token,
            serial,
            unsupported_api_versions: false,
            bare: true,
        }
    }
}

/// Returns the length of the frame at the start of a buffer.
pub(super) fn length(buffer: &[u8], longest: usize) -> Result<Option<usize>, Malformed> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if length <= longest => Ok(Some(length)),
        _ => Err(Malformed(format!("a frame of {} bytes", i32::from_be_bytes(*length)))),
    }
}

/// Decodes the header of a frame. `client_id` is the client id of the previous request, which is usually the same.
pub(super) fn parse(mut frame: Bytes, serial: u64, client_id: &Arc<str>) -> Result<Request, Malformed> {
    let Some(&[key_high, key_low, version_high, version_low, a, b, c, d]) = frame.first_chunk::<8>() else {
        return Err(Malformed("a frame without a header".to_owned()));
    };
    let key = i16::from_be_bytes([key_high, key_low]);
    let version = i16::from_be_bytes([version_high, version_low]);
    let correlation_id = i32::from_be_bytes([a, b, c, d]);
    let key = ApiKey::try_from(key).map_err(|()| Malformed(format!("API key {key}")))?;
    let versions = api::versions(key).ok_or_else(|| Malformed(format!("API {key:?} is not served")))?;
    if !versions.contains(&version) {
        if key != ApiKey::ApiVersions {
            return Err(Malformed(format!("version {version} of {key:?} is not served")));
        }
        return Ok(Request {
            key,
            version: 0,
            correlation_id,
            client_id: client_id.clone(),
            body: Bytes::new(),
            serial,
            unsupported_api_versions: true,
            bare: false,
        });
    }
    // The only arrays of the header are its tagged fields, and their lengths are checked while they are read.
    let header_version = key.request_header_version(version);
    let header: RequestHeader = wire::decode_part(&mut frame, header_version)?;
    let sent = header.client_id.as_deref().unwrap_or_default();
    let client_id = if **client_id == *sent { client_id.clone() } else { sent.into() };
    Ok(Request {
        key,
        version,
        correlation_id,
        client_id,
        body: frame,
        serial,
        unsupported_api_versions: false,
        bare: false,
    })
}

/// Appends the response to a request, with its length first.
pub(super) fn encode(request: &Request, reply: &dyn Reply, into: &mut BytesMut) -> Result<(), String> {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    let header = kafka_protocol::messages::ResponseHeader::default().with_correlation_id(request.correlation_id);
    let header_version = reply.header_version(request.version);
    let encoded = match request.bare {
        true => Ok(()),
        false => Encodable::encode(&header, into, header_version).map_err(|error| error.to_string()),
    };
    encoded.and_then(|()| reply.encode(request.version, into)).inspect_err(|_| into.truncate(start))?;
    let length = (into.len() - start - 4) as u32;
    into[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Splits a complete frame off the front of a buffer, if there is one.
pub(super) fn take(buffer: &mut BytesMut, longest: usize) -> Result<Option<Bytes>, Malformed> {
    let Some(length) = length(buffer, longest)? else { return Ok(None) };
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}
