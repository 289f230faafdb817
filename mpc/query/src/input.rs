//! What a data party brings.

use entrepot_mpc_protocol::psi::Keys;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// A data party's rows: the join key and every column that the plan uses of this party's table. Other columns are ignored.
#[derive(Clone, Default)]
pub struct PartyInput {
    /// The join key of each row, by [`key_of_text`] or [`key_of_number`]; unique.
    pub keys: Keys,
    /// Columns by name, each with as many rows as there are keys. There are no missing cells.
    pub columns: BTreeMap<String, Column>,
}

/// The values of one column.
#[derive(Clone)]
pub enum Column {
    /// Text.
    Text(TextColumn),
    /// Integers, or decimals as value × 10^scale.
    Number(Vec<i64>),
}

/// Texts, each distinct one stored once.
#[derive(Clone, Default)]
pub struct TextColumn {
    distinct: Vec<String>,
    codes: Vec<u32>,
}

impl TextColumn {
    /// Place of each row's text among the distinct ones.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The distinct texts, in order of first appearance.
    pub(crate) fn distinct(&self) -> &[String] {
        &self.distinct
    }
}

impl<'a> FromIterator<&'a str> for TextColumn {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut codes_of: HashMap<&str, u32> = HashMap::new();
        let mut column = Self::default();
        for text in texts {
            let code = *codes_of.entry(text).or_insert_with(|| {
                column.distinct.push(text.to_owned());
                column.distinct.len() as u32 - 1
            });
            column.codes.push(code);
        }
        column
    }
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(column) => column.codes.len(),
            Self::Number(values) => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A text as a join key: its UTF-8 bytes.
pub fn key_of_text(text: &str) -> &[u8] {
    text.as_bytes()
}

/// A number as a join key: value × 10^scale, 8 bytes, big endian. Both tables' columns have the plan's one kind, so also one scale.
pub fn key_of_number(scaled: i64) -> [u8; 8] {
    scaled.to_be_bytes()
}

/// Without cells: inputs must not reach a log.
impl fmt::Debug for PartyInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyInput({} rows, columns {:?})", self.keys.len(), self.columns.keys().collect::<Vec<_>>())
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({} rows)", self.len())
    }
}
