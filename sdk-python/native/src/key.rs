//! A participant's key: signs, and opens what is sealed to it. Its secrets never become Python objects, the key file's text apart.

use crate::{
    envelope,
    errors::{refusal, refusal_text},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use entrepot_chain_statement::{
    Hash, Timestamp,
    ids::{AgreementId, GrantId, OrderId, ProductId},
    key::KeyFile,
    sealing::{RESULT_INFO, ResultShare},
};
use pyo3::prelude::*;
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

/// A result has three shares.
const SHARES: usize = 3;

/// The text of a new key file. It holds secrets: write it where only its owner can read it.
#[pyfunction]
pub fn keygen() -> String {
    KeyFile::generate(&mut OsRng).to_json().as_str().to_owned()
}

/// A new id of one of the kinds that a participant chooses.
#[pyfunction]
pub fn new_id(kind: &str, now_ms: i64) -> PyResult<String> {
    let mut random = [0; 10];
    OsRng.fill_bytes(&mut random);
    let now = Timestamp(now_ms);
    match kind {
        "agreement" => Ok(AgreementId::compose(now, random).into()),
        "grant" => Ok(GrantId::compose(now, random).into()),
        "order" => Ok(OrderId::compose(now, random).into()),
        "product" => Ok(ProductId::compose(now, random).into()),
        _ => Err(refusal_text("id_kind", "ids of this kind are not chosen by participants")),
    }
}

/// 128 random bits as text: an idempotency key or the id of a token.
#[pyfunction]
pub fn random_token() -> String {
    let mut random = [0; 16];
    OsRng.fill_bytes(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode(random)
}

/// The secrets of a key file.
#[pyclass(frozen)]
pub struct Key(KeyFile);

#[pymethods]
impl Key {
    /// Reads the text of a key file.
    #[staticmethod]
    fn parse(json: &str) -> PyResult<Self> {
        KeyFile::from_json(json).map(Self).map_err(|error| refusal("key_file", &error))
    }

    /// The participant that is this key.
    #[getter]
    fn did(&self) -> String {
        self.0.signing.did().into()
    }

    /// The key that cosigns checkpoints.
    #[getter]
    fn witness(&self) -> String {
        self.0.witness.did().into()
    }

    /// Where results for this key are sealed to.
    #[getter]
    fn sealing_key(&self) -> String {
        self.0.sealing.public().into()
    }

    /// Signs a statement given as JSON of its kind; the envelope as JSON.
    fn sign(&self, kind: &str, statement: &str) -> PyResult<String> {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        envelope::text(&envelope::sign(kind, statement, &self.0.signing, salt)?)
    }

    /// Adds this key's signatures to an envelope whose statement the caller has read and means.
    fn countersign(&self, envelope: &[u8]) -> PyResult<String> {
        let mut envelope = envelope::parse(envelope)?;
        envelope.countersign(&self.0.signing).map_err(|error| refusal("envelope", &error))?;
        envelope::text(&envelope)
    }

    /// A JWT by which this participant asks `audience` for a token (RFC 7523). Nothing else is ever signed raw with this key; the
    /// signing input of a JWT begins with base64 and can be taken for no statement, which begins with `DSSEv1 `.
    fn client_assertion(&self, audience: &str, issued_at_s: i64, expires_at_s: i64) -> String {
        let did = self.did();
        let header = serde_json::json!({"alg": "EdDSA", "typ": "JWT", "kid": did});
        let claims = serde_json::json!({
            "iss": did, "sub": did, "aud": audience, "iat": issued_at_s, "exp": expires_at_s, "jti": random_token(),
        });
        let encode = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.signing.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// Opens the three sealed shares of a result, by share number, and adds them up: the cells of the result.
    fn open_result(&self, order: &str, attempt: u32, sealed: Vec<Vec<u8>>) -> PyResult<Vec<u64>> {
        let order: Hash = order.parse().map_err(|why: &str| refusal_text("hash", why))?;
        if sealed.len() != SHARES {
            return Err(refusal_text("result_shares", "a result has three sealed shares"));
        }
        let mut cells: Option<Vec<u64>> = None;
        for (share, sealed) in (0u8..).zip(&sealed) {
            let aad = ResultShare { order, attempt, share }.aad();
            let opened = self.0.sealing.open(RESULT_INFO, &aad, sealed).map_err(|error| refusal("sealed_share", &error))?;
            let elements = elements(&opened)?;
            match &mut cells {
                None => cells = Some(elements.to_vec()),
                Some(cells) if cells.len() == elements.len() => {
                    for (cell, element) in cells.iter_mut().zip(elements.iter()) {
                        *cell = cell.wrapping_add(*element);
                    }
                }
                Some(_) => return Err(refusal_text("result_shares", "the shares are not of one length")),
            }
        }
        Ok(cells.unwrap_or_default())
    }

    fn __repr__(&self) -> String {
        format!("Key({})", self.0.signing.did())
    }
}

/// Ring elements, little endian.
fn elements(bytes: &[u8]) -> PyResult<Zeroizing<Vec<u64>>> {
    let (whole, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(refusal_text("result_shares", "a share is not a whole number of elements"));
    }
    Ok(Zeroizing::new(whole.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()))
}
