//! One registry of typed ids: `<prefix>_<26 lower-case Crockford base-32 digits>` (128 bits: 48 of time in milliseconds, 80 random).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a text is when it is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// The prefix that was wanted, as in `job`.
    pub expected_prefix: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected an id that begins with `{}_` and has 26 base-32 digits", self.expected_prefix)
    }
}

impl std::error::Error for InvalidId {}

fn compose(prefix: &str, millis: i64, random: [u8; 10]) -> String {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    let mut value = u128::from_be_bytes(bytes);
    let mut digits = [0u8; 26];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    format!("{prefix}_{}", String::from_utf8_lossy(&digits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefix of this kind, without the underscore.
            pub const PREFIX: &'static str = $prefix;
            /// A new id from a moment and 80 random bits.
            pub fn compose(now: crate::Timestamp, random: [u8; 10]) -> Self {
                Self(compose($prefix, now.0, random))
            }
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId { expected_prefix: $prefix };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or(wrong.clone())?;
                if digits.len() == 26 && digits.bytes().all(|d| DIGITS.contains(&d)) { Ok(Self(text.to_owned())) } else { Err(wrong) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> { text.parse() }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self { id.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

ids! {
    /// A described dataset.
    DatasetId = "dataset";
    /// A data product.
    ProductId = "product";
    /// A quote.
    QuoteId = "quote";
    /// An agreement.
    AgreementId = "agreement";
    /// An order.
    OrderId = "order";
    /// A job.
    JobId = "job";
    /// A journal entry.
    JournalEntryId = "entry";
    /// An account of the books.
    AccountId = "account";
    /// A worker grant.
    GrantId = "grant";
}
