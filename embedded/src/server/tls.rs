//! TLS for the connections, with a certificate that is created when the broker starts.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};

use crate::error::{Error, Result};

/// The certificate and key of the brokers.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// The CA certificate that signed the certificate of the brokers, in PEM format.
    pub(crate) ca: String,
}

impl Tls {
    /// Creates a certificate for 127.0.0.1 and `localhost`, signed by a new CA.
    pub(crate) fn new() -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::refused("make a certificate", error.to_string());
        let make = || -> std::result::Result<_, rcgen::Error> {
            let mut authority = CertificateParams::new([])?;
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            authority.distinguished_name.push(DnType::CommonName, "embedded-kafka");
            let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
            let key = KeyPair::generate()?;
            let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
            let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
            Ok((authority.pem(), certificate, key))
        };
        let (ca, certificate, key) = make().map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .map_err(|error| failed(&error))?;
        Ok(Self { config: Arc::new(config), ca })
    }

    pub(super) fn session(&self) -> io::Result<ServerConnection> {
        ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)
    }
}

/// A socket with TLS. If the socket would block, reads and writes return `WouldBlock`.
pub(super) struct TlsStream {
    pub(super) socket: TcpStream,
    session: Box<ServerConnection>,
}

impl TlsStream {
    pub(super) fn new(socket: TcpStream, session: ServerConnection) -> Self {
        Self { socket, session: Box::new(session) }
    }

    /// Sends the TLS records that are ready.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

impl Read for TlsStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The client closed the socket without a `close_notify`. Treat it like the end of a plain connection.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let processed = self.session.process_new_packets();
            // Send a part of the handshake, or an alert that names the error.
            match self.send() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for TlsStream {
    /// Writes as much as fits in the buffer, until the socket can send more.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.send();
        let taken = self.session.writer().write(bytes)?;
        match (sent.and_then(|()| self.send()), taken) {
            (Err(error), 0) => Err(error),
            (Err(error), _) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            (_, taken) => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
