//! The users that may log in, and their authentication: SASL PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::scram::{Credential, Scram};

/// The mechanisms, in the order in which Kafka lists them.
pub(crate) const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// The minimum number of iterations that Kafka accepts. A test's password is no secret.
const ITERATIONS: u32 = 4096;

/// Users with their passwords.
#[derive(Clone, Default)]
pub(crate) struct Logins(BTreeMap<String, String>);

impl Logins {
    pub(crate) fn add(&mut self, user: String, password: String) {
        self.0.insert(user, password);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a user with an empty name or password, if there is one.
    pub(crate) fn bad(&self) -> Option<&str> {
        self.0.iter().find(|(user, password)| user.is_empty() || password.is_empty()).map(|(user, _)| user.as_str())
    }

    /// Returns the SCRAM credentials of the users.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = (&str, i8, Credential)> {
        let of = |password: &str| {
            let salt = uuid::Uuid::new_v4().into_bytes();
            [Hash::Sha256, Hash::Sha512].map(|hash| {
                let salted_password = hash.salted(password, &salt).into();
                let salt = Bytes::copy_from_slice(&salt);
                (hash.mechanism(), Credential { iterations: ITERATIONS as i32, salt, salted_password })
            })
        };
        self.0.iter().flat_map(move |(user, password)| {
            of(password).map(|(mechanism, credential)| (user.as_str(), mechanism, credential))
        })
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    /// Returns the number of the mechanism in the protocol.
    fn mechanism(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            // An HMAC accepts a key of any length, so this does not fail.
            let Ok(mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
            mac.chain_update(data).finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha256 => of::<Hmac<Sha256>>(key, data),
            Self::Sha512 => of::<Hmac<Sha512>>(key, data),
        }
    }

    fn salted(self, password: &str, salt: &[u8]) -> Vec<u8> {
        let (mut short, mut long) = ([0; 32], [0; 64]);
        match self {
            Self::Sha256 => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, ITERATIONS, &mut short);
                short.to_vec()
            }
            Self::Sha512 => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, ITERATIONS, &mut long);
                long.to_vec()
            }
        }
    }
}

/// A started login: the token that the client has to send next.
#[derive(Debug)]
pub(crate) enum Exchange {
    Plain,
    /// The client's first message.
    ScramFirst(Hash),
    /// The client's final message.
    ScramFinal(Box<Final>),
}

/// The data to check the client's final message against.
#[derive(Debug)]
pub(crate) struct Final {
    hash: Hash,
    user: String,
    nonce: String,
    salted_password: Bytes,
    /// The first messages of both sides, which the proof covers.
    first_messages: String,
}

/// The result of a token.
#[derive(Debug)]
pub(crate) enum Step {
    /// The client gets this challenge, and has to send another token.
    Challenge(Exchange, Bytes),
    /// The client is authenticated as this user, and gets this token.
    Done(String, Bytes),
}

impl Exchange {
    /// Returns the login of a mechanism, or `None` if the mechanism is not supported.
    pub(crate) fn of(mechanism: &str) -> Option<Self> {
        match mechanism {
            "PLAIN" => Some(Self::Plain),
            "SCRAM-SHA-256" => Some(Self::ScramFirst(Hash::Sha256)),
            "SCRAM-SHA-512" => Some(Self::ScramFirst(Hash::Sha512)),
            _ => None,
        }
    }

    /// Processes a token of the client. The error is Kafka's message.
    pub(crate) fn step(self, token: &[u8], logins: &Logins, scram: &Scram) -> Result<Step, String> {
        let (hash, step) = match self {
            Self::Plain => return plain(token, logins).map(|user| Step::Done(user, Bytes::new())),
            Self::ScramFirst(hash) => (hash, first(hash, token, scram)),
            Self::ScramFinal(expected) => (expected.hash, last(*expected, token)),
        };
        step.ok_or_else(|| {
            let bits = if matches!(hash, Hash::Sha256) { 256 } else { 512 };
            format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-{bits}"
            )
        })
    }
}

fn plain(token: &[u8], logins: &Logins) -> Result<String, String> {
    let failed = |reason: &str| Err(format!("Authentication failed: {reason}"));
    let text = String::from_utf8_lossy(token);
    let parts: Vec<&str> = text.split('\0').collect();
    let &[authorization_id, user, password] = &parts[..] else {
        let count = parts.len();
        return Err(format!("Invalid SASL/PLAIN response: expected 3 tokens, got {count}"));
    };
    if user.is_empty() {
        return failed("username not specified");
    }
    if password.is_empty() {
        return failed("password not specified");
    }
    if logins.0.get(user).is_none_or(|expected| expected != password) {
        return failed("Invalid username or password");
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return failed("Client requested an authorization id that is different from username");
    }
    Ok(user.to_owned())
}

/// Returns the value of an attribute of a SCRAM message.
fn attribute<'a>(part: Option<&'a str>, name: &str) -> Option<&'a str> {
    part?.strip_prefix(name)?.strip_prefix('=')
}

/// Parses `n,[a=USER],n=USER,r=NONCE`. The response is `r=NONCE+OURS,s=SALT,i=ITERATIONS`.
fn first(hash: Hash, token: &[u8], scram: &Scram) -> Option<Step> {
    let message = std::str::from_utf8(token).ok()?;
    let mut header = message.splitn(3, ',');
    let (binding, authorization_id, bare) = (header.next()?, header.next()?, header.next()?);
    let mut parts = bare.split(',');
    let user = attribute(parts.next(), "n")?.replace("=2C", ",").replace("=3D", "=");
    let client_nonce = attribute(parts.next(), "r")?;
    let other_user = attribute(Some(authorization_id), "a").is_some_and(|id| id != user);
    if binding != "n" || other_user {
        return None;
    }
    let Credential { iterations, salt, salted_password } = scram.credential(&user, hash.mechanism())?;
    let nonce = format!("{client_nonce}{}", uuid::Uuid::new_v4().simple());
    let challenge = format!("r={nonce},s={},i={iterations}", BASE64.encode(salt));
    let first_messages = format!("{bare},{challenge}");
    let salted_password = salted_password.clone();
    let expected = Final { hash, user, nonce, salted_password, first_messages };
    Some(Step::Challenge(Exchange::ScramFinal(Box::new(expected)), challenge.into()))
}

/// Parses `c=BINDING,r=NONCE,p=PROOF`. The response is `v=SIGNATURE`.
fn last(expected: Final, token: &[u8]) -> Option<Step> {
    let Final { hash, user, nonce, salted_password, first_messages } = expected;
    let message = std::str::from_utf8(token).ok()?;
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    let mut parts = without_proof.split(',');
    attribute(parts.next(), "c")?;
    if attribute(parts.next(), "r")? != nonce {
        return None;
    }
    let signed = format!("{first_messages},{without_proof}");
    let client_key = hash.hmac(&salted_password, b"Client Key");
    let stored_key = hash.digest(&client_key);
    let signature = hash.hmac(&stored_key, signed.as_bytes());
    let own_proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
    if BASE64.decode(proof).ok()? != own_proof {
        return None;
    }
    let server_key = hash.hmac(&salted_password, b"Server Key");
    let verifier = BASE64.encode(hash.hmac(&server_key, signed.as_bytes()));
    Some(Step::Done(user, format!("v={verifier}").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins() -> (Logins, Scram) {
        let mut logins = Logins::default();
        logins.add("tester".to_owned(), "secret".to_owned());
        let mut scram = Scram::default();
        scram.log_in_with(&logins);
        (logins, scram)
    }

    #[test]
    fn plain_takes_the_right_password_only() {
        let (logins, scram) = logins();
        let step = |token: &[u8]| Exchange::Plain.step(token, &logins, &scram);
        assert!(matches!(step(b"\0tester\0secret"), Ok(Step::Done(user, _)) if user == "tester"));
        assert!(matches!(step(b"tester\0tester\0secret"), Ok(Step::Done(..))));
        for wrong in
            [&b"\0tester\0wrong"[..], b"\0nobody\0secret", b"other\0tester\0secret", b"\0\0secret", b"\0tester\0", b"x"]
        {
            assert!(step(wrong).is_err(), "{wrong:?}");
        }
    }

    /// The example of RFC 7677, with its nonce and its salt.
    #[test]
    fn the_proof_of_the_rfc_is_taken() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let expected = Final {
            hash: Hash::Sha256,
            user: "user".to_owned(),
            nonce: nonce.to_owned(),
            salted_password: Hash::Sha256.salted("pencil", &salt).into(),
            first_messages: format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        };
        let token = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let Some(Step::Done(user, answer)) = last(expected, token.as_bytes()) else { panic!("it was refused") };
        assert_eq!((&*user, &*answer), ("user", &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..]));
    }

    #[test]
    fn a_first_message_of_a_stranger_is_refused() {
        let (logins, scram) = logins();
        for wrong in ["n,,n=nobody,r=1", "n,,r=1", "y,,n=tester,r=1", "n,a=other,n=tester,r=1", "", "n,,n=tester"] {
            let step = Exchange::ScramFirst(Hash::Sha512).step(wrong.as_bytes(), &logins, &scram);
            assert!(step.is_err(), "{wrong}");
        }
    }
}
