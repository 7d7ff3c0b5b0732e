//! Who a check says it is, to a server with users and passwords.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest::{SHA256, digest},
    hmac::{HMAC_SHA256, Key, sign},
    pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use tokio::task::spawn_blocking;

use crate::config::{Section, form};

/// How often a server may have the password hashed: the least that RFC 7677 allows, and what takes a tenth of a second.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=200_000;

/// A user and a password, which is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; empty if there is none.
    pub password: String,
}

/// One exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677), the way of PostgreSQL and MongoDB to ask for a password.
pub(super) struct Scram {
    password: String,
    nonce: String,
    /// The first message without its header.
    bare: String,
}

/// What the client says last, and what the server has to say to that: only who knows the password can.
pub(super) struct Proof {
    pub(super) message: String,
    signature: String,
}

// === impl Credentials ===

impl Credentials {
    /// Reads `user` and `password`; none where neither is there.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Option<Self>> {
        let user = section.or("user", |value| form::text(value).map(Some), None);
        let password = section.or("password", |value| form::secret(value).map(Some), None);
        match (user?, password?) {
            (None, None) => Some(None),
            (Some(user), password) => Some(Some(Self { user, password: password.unwrap_or_default() })),
            (None, Some(_)) => {
                section.report("user", "a password is for somebody: write the name as `user`");
                None
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

// === impl Scram ===

impl Scram {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let mut random = [0; 18];
        SystemRandom::new().fill(&mut random).expect("the system has random bytes");
        let (nonce, user) = (BASE64.encode(random), user.replace('=', "=3D").replace(',', "=2C"));
        Self { password: password.to_owned(), bare: format!("n={user},r={nonce}"), nonce }
    }

    /// What the client says first.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What the client says to the server's challenge.
    pub(super) async fn answer(self, challenge: String) -> Result<Proof, &'static str> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).unwrap_or_default();
        let (nonce, iterations) = (part("r="), part("i=").parse::<u32>());
        let salt = BASE64.decode(part("s=")).map_err(|_| "its salt is no Base64")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("it does not answer what was asked");
        }
        let iterations = iterations.ok().filter(|number| ITERATIONS.contains(number));
        let iterations = iterations.and_then(|number| number.try_into().ok()).ok_or("its number of iterations")?;
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{without_proof}", self.bare);
        // Milliseconds of computing, which would hold up all checks.
        let hashing = spawn_blocking(move || prove(&self.password, &salt, iterations, &message));
        let (proof, signature) = hashing.await.map_err(|_| "it was not computed")?;
        Ok(Proof { message: format!("{without_proof},p={proof}"), signature })
    }
}

/// The client's proof and the server's signature.
fn prove(password: &str, salt: &[u8], iterations: std::num::NonZeroU32, message: &str) -> (String, String) {
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
    let hmac = |key: &[u8], data: &[u8]| sign(&Key::new(HMAC_SHA256, key), data);
    let client = hmac(&salted, b"Client Key");
    let signature = hmac(digest(&SHA256, client.as_ref()).as_ref(), message.as_bytes());
    let proof: Vec<u8> = client.as_ref().iter().zip(signature.as_ref()).map(|(key, mask)| key ^ mask).collect();
    let server = hmac(hmac(&salted, b"Server Key").as_ref(), message.as_bytes());
    (BASE64.encode(proof), BASE64.encode(server.as_ref()))
}

// === impl Proof ===

impl Proof {
    /// Whether it is the server that was meant: it knows the password too.
    pub(super) fn is_answered_by(&self, last: &str) -> bool {
        last.split(',').next().and_then(|part| part.strip_prefix("v=")) == Some(&*self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Scram};

    /// The exchange of RFC 7677, section 3.
    #[tokio::test]
    async fn a_password_is_proved_as_in_the_rfc() {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let scram = Scram { password: "pencil".to_owned(), bare: format!("n=user,r={nonce}"), nonce };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.answer(challenge.to_owned()).await.expect("an answer");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(proof.message, expected);
        assert!(proof.is_answered_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!proof.is_answered_by("v=") && !proof.is_answered_by("e=other-error"));
    }

    #[tokio::test]
    async fn a_server_that_is_none_gets_no_proof() {
        let answer = async |challenge: &dyn Fn(&str) -> String| {
            let scram = Scram::new("a,b=c", "secret");
            assert!(scram.first().starts_with("n,,n=a=2Cb=3Dc,r="));
            let challenge = challenge(&scram.nonce);
            scram.answer(challenge).await.map(|proof| proof.message)
        };
        assert!(answer(&|nonce| format!("r={nonce}x,s=AAAA,i=4096")).await.is_ok());
        assert!(answer(&|nonce| format!("r={nonce},s=AAAA,i=4096")).await.is_err());
        assert!(answer(&|_| "r=other,s=AAAA,i=4096".to_owned()).await.is_err());
        for weak in ["0", "1", "4095", "4294967295", "", "-1"] {
            assert!(answer(&|nonce| format!("r={nonce}x,s=AAAA,i={weak}")).await.is_err(), "{weak}");
        }
        assert!(answer(&|nonce| format!("r={nonce}x,s=?,i=4096")).await.is_err());
        assert!(answer(&|_| String::new()).await.is_err());
    }

    #[test]
    fn a_password_does_not_print() {
        let credentials = Credentials { user: "u".to_owned(), password: "hunter2".to_owned() };
        assert_eq!(format!("{credentials:?}"), "Credentials { user: \"u\", .. }");
    }
}
