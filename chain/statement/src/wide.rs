//! 64-bit integers as JSON strings: RFC 8785 numbers are IEEE doubles, which lose integers past 2^53.
//! Use with `#[serde(with = "wide")]`. Only the shortest decimal form is accepted, so that one value has one encoding.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::{fmt::Display, str::FromStr};

/// Serializes as a decimal string.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Accepts the shortest decimal string of the value and nothing else.
pub fn deserialize<'de, T: FromStr + Display, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    let value: T = text.parse().map_err(|_| D::Error::custom("expected a decimal integer in a string"))?;
    if value.to_string() != text {
        return Err(D::Error::custom("expected the shortest decimal form of the integer"));
    }
    Ok(value)
}
