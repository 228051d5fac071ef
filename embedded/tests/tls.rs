//! TLS on the connections of an embedded broker.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use common::*;
use embedded_kafka::EmbeddedKafka;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn connect(kafka: &EmbeddedKafka, trusted: &EmbeddedKafka) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.ca_certificate().unwrap().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let socket = TcpStream::connect(kafka.bootstrap_servers()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    StreamOwned::new(session, socket)
}

/// ApiVersions of version 0, without a client id; how long the answer is.
fn ask(stream: &mut (impl Read + Write)) -> std::io::Result<usize> {
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer[..4], [0, 0, 0, 1]);
    Ok(answer.len())
}

#[test]
fn a_client_that_trusts_the_broker_is_served() {
    let kafka = EmbeddedKafka::builder().tls().start().unwrap();
    let mut clients: Vec<_> = (0..8).map(|_| connect(&kafka, &kafka)).collect();
    for _ in 0..20 {
        clients.iter_mut().for_each(|client| assert!(ask(client).unwrap() > 100));
    }
}

#[test]
fn a_client_that_trusts_somebody_else_is_not() {
    let (kafka, other) =
        (EmbeddedKafka::builder().tls().start().unwrap(), EmbeddedKafka::builder().tls().start().unwrap());
    assert!(ask(&mut connect(&kafka, &other)).is_err());
    assert!(ask(&mut connect(&kafka, &kafka)).is_ok());
}

#[test]
fn a_client_without_tls_is_not_served_and_harms_nobody() {
    let kafka = EmbeddedKafka::builder().tls().start().unwrap();
    let mut plain = TcpStream::connect(kafka.bootstrap_servers()).unwrap();
    assert!(ask(&mut plain).is_err());
    assert!(ask(&mut connect(&kafka, &kafka)).is_ok());
}

/// More than the socket and the buffers of TLS take at once, both ways.
#[test]
fn large_requests_and_answers_come_whole() {
    let kafka = EmbeddedKafka::builder().tls().start().unwrap();
    let mut stream = connect(&kafka, &kafka);
    // Metadata of version 1 for many topics that are not there, without creating them: an answer for each.
    let names = 100_000_u32;
    let mut body = vec![0, 3, 0, 4, 0, 0, 0, 2, 0xff, 0xff];
    body.extend(names.to_be_bytes());
    (0..names).for_each(|n| {
        body.extend([0, 8]);
        body.extend(format!("{n:08}").as_bytes());
    });
    body.push(0);
    stream.write_all(&(body.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let length = u32::from_be_bytes(length) as usize;
    assert!(length > names as usize * 10, "{length}");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], [0, 0, 0, 2]);
}
