//! The set a party puts in.

use super::PsiError;
use std::fmt;
use zeroize::Zeroize;

/// Most keys in a set.
pub const ITEMS_MAX: u32 = 10_000_000;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 1024;

/// Join keys, one a row, as bytes that both parties write alike. Packed into one buffer and wiped when dropped.
#[derive(Clone, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the key of the next row.
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Checks number, lengths and that no key occurs twice. The errors do not say which key, as they may reach a log.
    pub fn check(&self, maximum: u32) -> Result<(), PsiError> {
        let maximum = maximum.min(ITEMS_MAX);
        if self.len() > maximum as usize {
            return Err(PsiError::TooManyKeys { found: self.len(), maximum });
        }
        if (0..self.len()).any(|row| self.get(row).len() > KEY_BYTES_MAX) {
            return Err(PsiError::KeyTooLong);
        }
        let mut rows: Vec<u32> = (0..self.len() as u32).collect();
        rows.sort_unstable_by_key(|row| self.get(*row as usize));
        if rows.windows(2).any(|pair| self.get(pair[0] as usize) == self.get(pair[1] as usize)) {
            return Err(PsiError::DuplicateKey);
        }
        Ok(())
    }
}

impl<K: AsRef<[u8]>> FromIterator<K> for Keys {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut all = Self::new();
        keys.into_iter().for_each(|key| all.push(key.as_ref()));
        all
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} rows)", self.len())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
