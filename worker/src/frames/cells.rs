//! Typed columns, and the exact reading of numbers.

use super::{FrameError, SCALE_MAX};
use entrepot_chain_statement::statements::ColumnKind;
use entrepot_mpc_plan::decimal;
use std::borrow::Cow;

/// A dataset in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Columns in file order, all with the same number of cells.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Cells.
    pub cells: Cells,
}

/// The cells of a column. None is missing.
#[derive(Clone, PartialEq, Eq)]
pub enum Cells {
    /// Text.
    Text(TextCells),
    /// Integers.
    Integer(Vec<i64>),
    /// Decimals, as value × 10^scale.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// Scaled values.
        values: Vec<i64>,
    },
}

/// Texts, one after the other.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TextCells {
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
}

// Rows do not belong in logs: no cell is ever printed.
impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} × {}", self.kind(), self.len())
    }
}

impl std::fmt::Debug for TextCells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "texts × {}", self.len())
    }
}

impl Frame {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.cells.len())
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names and kinds, in order.
    pub fn schema(&self) -> Vec<(String, ColumnKind)> {
        self.columns.iter().map(|column| (column.name.clone(), column.cells.kind())).collect()
    }
}

impl Cells {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(cells) => cells.len(),
            Self::Integer(values) | Self::Decimal { values, .. } => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they hold.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Self::Text(_) => ColumnKind::Text,
            Self::Integer(_) => ColumnKind::Integer,
            Self::Decimal { scale, .. } => ColumnKind::Decimal { scale: *scale },
        }
    }

    /// The one text of a cell: a number has exactly its column's digits after the point. For what must be alike wherever it is computed:
    /// commitments, join keys, group domains.
    pub fn text(&self, row: usize) -> Cow<'_, str> {
        match self {
            Self::Text(cells) => Cow::Borrowed(cells.get(row)),
            Self::Integer(values) => Cow::Owned(values[row].to_string()),
            Self::Decimal { scale, values } => Cow::Owned(decimal::format(values[row], *scale)),
        }
    }
}

impl TextCells {
    /// Number of cells.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A cell.
    pub fn get(&self, row: usize) -> &str {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.text[begin..self.ends[row]]
    }

    /// All cells.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.get(row))
    }

    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// From one text and the length of each cell; nothing if they do not fit together.
    pub(super) fn from_lengths(text: String, lengths: impl Iterator<Item = u32>) -> Option<Self> {
        let mut ends = Vec::with_capacity(lengths.size_hint().0);
        let mut end = 0usize;
        for length in lengths {
            end = end.checked_add(length as usize)?;
            if !text.is_char_boundary(end) {
                return None;
            }
            ends.push(end);
        }
        (end == text.len()).then_some(Self { text, ends })
    }
}

impl<'a> FromIterator<&'a str> for TextCells {
    fn from_iter<I: IntoIterator<Item = &'a str>>(cells: I) -> Self {
        let mut all = Self::default();
        cells.into_iter().for_each(|cell| all.push(cell));
        all
    }
}

/// Whether a text may name a column or dataset: `[a-z_][a-z0-9_]{0,62}`.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

/// A number with its own scale: `-?(0|[1-9][0-9]*)(\.[0-9]{1,6})?` within 64 bits. Anything else, leading zeros too, is text.
pub(super) fn parse_number(text: &str) -> Option<(i64, u8)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let has_point = digits.len() != whole.len();
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    if has_point && (!is_digits(fraction) || fraction.len() > usize::from(SCALE_MAX)) {
        return None;
    }
    let mut value: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some((value, fraction.len() as u8))
}

/// `value` × 10^(to − from), if that is exact and fits.
fn rescale(value: i64, from: u8, to: u8) -> Option<i64> {
    value.checked_mul(10i64.checked_pow(u32::from(to.checked_sub(from)?))?)
}

/// Finds the kind that every cell has: integer if all are, else decimal with the most digits any has, else text.
pub(super) fn infer<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> ColumnKind {
    let mut scale = 0;
    for cell in cells.clone() {
        match parse_number(cell) {
            Some((_, digits)) => scale = scale.max(digits),
            None => return ColumnKind::Text,
        }
    }
    if cells.into_iter().all(|cell| parse_number(cell).is_some_and(|(value, from)| rescale(value, from, scale).is_some())) {
        if scale == 0 { ColumnKind::Integer } else { ColumnKind::Decimal { scale } }
    } else {
        ColumnKind::Text
    }
}

/// Reads cells as the given kind.
pub(super) fn read<'a>(column: &str, kind: ColumnKind, cells: impl Iterator<Item = &'a str>) -> Result<Cells, FrameError> {
    let numbers = |cells: &mut dyn Iterator<Item = &'a str>, scale: u8| {
        let mut values = Vec::with_capacity(cells.size_hint().0);
        for (row, cell) in cells.enumerate() {
            let value = parse_number(cell).and_then(|(value, from)| rescale(value, from, scale));
            values.push(value.ok_or_else(|| FrameError::BadNumber { column: column.to_owned(), row: row as u64 + 1 })?);
        }
        Ok(values)
    };
    let mut cells = cells;
    Ok(match kind {
        ColumnKind::Text => Cells::Text(cells.collect()),
        ColumnKind::Integer => Cells::Integer(numbers(&mut cells, 0)?),
        ColumnKind::Decimal { scale } => Cells::Decimal { scale, values: numbers(&mut cells, scale)? },
    })
}

/// How many rows repeat a value that another row has.
pub(super) fn repeated(cells: &Cells) -> u64 {
    fn count<T: Ord>(mut values: Vec<T>) -> u64 {
        values.sort_unstable();
        values.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }
    match cells {
        Cells::Text(cells) => count(cells.iter().collect()),
        Cells::Integer(values) | Cells::Decimal { values, .. } => count(values.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_not_at_all() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("-0", Some((0, 0))),
            ("13.56", Some((1356, 2))),
            ("-0.000001", Some((-1, 6))),
            ("9223372036854775807", Some((i64::MAX, 0))),
            ("-9223372036854775808", Some((i64::MIN, 0))),
            ("9223372036854775808", None),
            ("0.0000001", None),
            ("007", None),
            ("1e5", None),
            ("+1", None),
            ("1.", None),
            (".5", None),
            ("", None),
            ("-", None),
            (" 1", None),
            ("1,000", None),
            ("NaN", None),
            ("１", None),
        ] {
            assert_eq!(parse_number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_decimal_keeps_its_digits_there_and_back() {
        for (text, scale) in [("13.560000", 6), ("-0.01", 2), ("0.0", 1), ("-12", 0)] {
            let (value, digits) = parse_number(text).expect("these are numbers");
            assert_eq!(digits, scale);
            assert_eq!(decimal::format(value, scale), text);
        }
        assert_eq!(decimal::format(i64::MAX, 8), "92233720368.54775807");
        assert_eq!(decimal::format(i64::MIN, 1), "-922337203685477580.8");
    }

    #[test]
    fn a_column_has_the_narrowest_kind_that_all_its_cells_have() {
        let kind = |cells: &[&str]| infer(cells.iter().copied());
        assert_eq!(kind(&["1", "-2"]), ColumnKind::Integer);
        assert_eq!(kind(&["1", "2.5", "3.25"]), ColumnKind::Decimal { scale: 2 });
        assert_eq!(kind(&["1.0", "2.0"]), ColumnKind::Decimal { scale: 1 });
        assert_eq!(kind(&["1", "x"]), ColumnKind::Text);
        assert_eq!(kind(&["007", "1"]), ColumnKind::Text);
        // Each fits alone, but not at the scale of the other.
        assert_eq!(kind(&["9223372036854775807", "0.5"]), ColumnKind::Text);
    }

    #[test]
    fn whole_numbers_in_a_decimal_column_are_scaled_with_it() {
        let cells = read("rate", ColumnKind::Decimal { scale: 2 }, ["7", "7.5", "7.25"].into_iter()).expect("all are numbers");
        assert_eq!(cells, Cells::Decimal { scale: 2, values: vec![700, 750, 725] });
        let wrong = read("rate", ColumnKind::Decimal { scale: 1 }, ["7", "7.25"].into_iter());
        assert_eq!(wrong, Err(FrameError::BadNumber { column: "rate".into(), row: 2 }));
    }

    #[test]
    fn texts_from_lengths_must_cover_the_text_and_cut_between_characters() {
        assert_eq!(TextCells::from_lengths("aéb".into(), [1, 2, 1].into_iter()), Some(["a", "é", "b"].into_iter().collect()));
        assert_eq!(TextCells::from_lengths("aéb".into(), [2, 2].into_iter()), None);
        assert_eq!(TextCells::from_lengths("ab".into(), [1].into_iter()), None);
        assert_eq!(TextCells::from_lengths("ab".into(), [1, u32::MAX].into_iter()), None);
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("int_rate") && is_name("_x9"));
        assert!(!is_name("") && !is_name("9x") && !is_name("Rate") && !is_name("a b") && !is_name(&"a".repeat(64)));
    }
}
