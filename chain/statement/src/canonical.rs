//! RFC 8785 canonical JSON, narrowed: integers only, within ±(2^53 − 1), so that one value has one encoding in every language.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Canonical documents are at most this long.
pub const CANONICAL_MAX_BYTES: usize = 1 << 20;
/// RFC 8785 numbers are IEEE doubles; beyond this they skip integers.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical encoding, or bytes are not one.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value or the text is not JSON of the wanted shape.
    #[error("not JSON of the expected shape: {0}")]
    Json(#[source] serde_json::Error),
    /// A number is not an integer within ±(2^53 − 1).
    #[error("the number {number} is not an integer within ±(2^53 − 1); larger ones are strings")]
    Number {
        /// The number.
        number: String,
    },
    /// Another encoding of the value: other order, white space, escapes, a field given twice, an absent field spelled out.
    #[error("the JSON is not in the canonical form of RFC 8785")]
    NotCanonical,
    /// Longer than [`CANONICAL_MAX_BYTES`].
    #[error("longer than {CANONICAL_MAX_BYTES} bytes")]
    TooLong,
}

/// Encodes in the canonical form. (A NaN arrives from serde as null; no statement has a float, and none could read it back.)
pub fn to_canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(CanonicalError::Json)?;
    let mut out = Vec::with_capacity(1024);
    write(&value, &mut out)?;
    if out.len() > CANONICAL_MAX_BYTES { Err(CanonicalError::TooLong) } else { Ok(out) }
}

/// Decodes the canonical form and nothing else: what was read is encoded again and compared.
pub fn from_canonical_json<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    if bytes.len() > CANONICAL_MAX_BYTES {
        return Err(CanonicalError::TooLong);
    }
    let value: T = serde_json::from_slice(bytes).map_err(CanonicalError::Json)?;
    if to_canonical_json(&value)? == bytes { Ok(value) } else { Err(CanonicalError::NotCanonical) }
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|magnitude| magnitude > INTEGER_MAX) {
                return Err(CanonicalError::Number { number: number.to_string() });
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // RFC 8785 §3.2.3 sorts by UTF-16 code units, which is not the order of UTF-8 past the basic plane.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (at, (name, field)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(name, out)?;
                out.push(b':');
                write(field, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    // serde_json escapes exactly as RFC 8785 §3.2.2.2 asks: the two-letter escapes, `\u00xx` in lower case for other controls, nothing more.
    serde_json::to_writer(out, text).map_err(CanonicalError::Json)
}
