//! What the child writes and the parent reads: messages of `tag [1] ‖ length [8, little endian] ‖ payload`.
//!
//! A column's payload is `header length [4, LE] ‖ header (JSON) ‖ cells`. The cells of a number are 8 bytes each, little endian; those of
//! text are the lengths of all cells, 4 bytes each, then all texts. The end is one message `done` or `error` (JSON of [`FrameError`]).

use super::{COLUMNS_MAX, Cells, Column, FIELD_BYTES_MAX, Frame, FrameError, TextCells};
use entrepot_chain_statement::statements::ColumnKind;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

const COLUMN: u8 = b'C';
const ERROR: u8 = b'E';
const DONE: u8 = b'D';
const HEADER_BYTES_MAX: usize = 4096;

#[derive(Serialize, Deserialize)]
struct ColumnHeader {
    name: String,
    column: ColumnKind,
    rows: u32,
}

fn write_message(out: &mut impl Write, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
    out.write_all(&[tag])?;
    out.write_all(&length.to_le_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

pub(super) fn write_column(out: &mut impl Write, column: &Column) -> io::Result<()> {
    let rows = u32::try_from(column.cells.len()).map_err(io::Error::other)?;
    let header = serde_json::to_vec(&ColumnHeader { name: column.name.clone(), column: column.cells.kind(), rows })?;
    let header_length = (header.len() as u32).to_le_bytes();
    match &column.cells {
        Cells::Text(cells) => {
            let lengths: Vec<u8> = cells.iter().flat_map(|cell| (cell.len() as u32).to_le_bytes()).collect();
            let text: String = cells.iter().collect();
            write_message(out, COLUMN, &[&header_length, &header, &lengths, text.as_bytes()])
        }
        Cells::Integer(values) | Cells::Decimal { values, .. } => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            write_message(out, COLUMN, &[&header_length, &header, &bytes])
        }
    }
}

pub(super) fn write_end(out: &mut impl Write, result: Result<(), &FrameError>) -> io::Result<()> {
    match result {
        Ok(()) => write_message(out, DONE, &[]),
        Err(error) => write_message(out, ERROR, &[&serde_json::to_vec(error)?]),
    }?;
    out.flush()
}

/// Reads all that a child says, at most `bytes_max` of it. The child has handled a hostile file, so nothing it says is believed: `None`
/// for anything that is not exactly a frame or an error.
pub(super) fn read_frame(input: &mut impl Read, bytes_max: u64, rows_max: u32) -> Option<Result<Frame, FrameError>> {
    let mut left = bytes_max;
    let mut frame = Frame { columns: Vec::new() };
    loop {
        let mut head = [0; 9];
        input.read_exact(&mut head).ok()?;
        let length = u64::from_le_bytes(head[1..].try_into().ok()?);
        left = left.checked_sub(length)?;
        let mut payload = Vec::new();
        // `take` and not an allocation of `length`: the length is the child's claim.
        if input.take(length).read_to_end(&mut payload).ok()? as u64 != length {
            return None;
        }
        match head[0] {
            COLUMN if frame.columns.len() < COLUMNS_MAX => {
                let column = read_column(payload, rows_max)?;
                let fits = frame.columns.first().is_none_or(|first| first.cells.len() == column.cells.len());
                if !fits || frame.column(&column.name).is_some() {
                    return None;
                }
                frame.columns.push(column);
            }
            ERROR => return serde_json::from_slice(&payload).ok().map(Err),
            DONE if payload.is_empty() && frame.rows() > 0 => return Some(Ok(frame)),
            _ => return None,
        }
    }
}

fn read_column(payload: Vec<u8>, rows_max: u32) -> Option<Column> {
    let (header_length, rest) = payload.split_first_chunk::<4>()?;
    let header_length = u32::from_le_bytes(*header_length) as usize;
    if header_length > HEADER_BYTES_MAX {
        return None;
    }
    let (header, rest) = rest.split_at_checked(header_length)?;
    let header: ColumnHeader = serde_json::from_slice(header).ok()?;
    if header.rows > rows_max || !super::is_name(&header.name) {
        return None;
    }
    let rows = header.rows as usize;
    let numbers = || {
        let (values, remainder) = rest.as_chunks::<8>();
        (values.len() == rows && remainder.is_empty()).then(|| values.iter().map(|value| i64::from_le_bytes(*value)).collect())
    };
    let cells = match header.column {
        ColumnKind::Integer => Cells::Integer(numbers()?),
        ColumnKind::Decimal { scale } if (1..=super::SCALE_MAX).contains(&scale) => Cells::Decimal { scale, values: numbers()? },
        ColumnKind::Decimal { .. } => return None,
        ColumnKind::Text => {
            let (lengths, text) = rest.split_at_checked(rows.checked_mul(4)?)?;
            let (lengths, _) = lengths.as_chunks::<4>();
            if lengths.iter().any(|length| u32::from_le_bytes(*length) as usize > FIELD_BYTES_MAX) {
                return None;
            }
            let text = String::from_utf8(text.to_vec()).ok()?;
            Cells::Text(TextCells::from_lengths(text, lengths.iter().map(|length| u32::from_le_bytes(*length)))?)
        }
    };
    Some(Column { name: header.name, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frame {
        let column = |name: &str, cells| Column { name: name.to_owned(), cells };
        Frame {
            columns: vec![
                column("customer", Cells::Text(["ä", "b"].into_iter().collect())),
                column("age", Cells::Integer(vec![-1, i64::MAX])),
                column("rate", Cells::Decimal { scale: 2, values: vec![0, 1356] }),
            ],
        }
    }

    fn written(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        for column in &frame.columns {
            write_column(&mut bytes, column).expect("a vector takes everything");
        }
        write_end(&mut bytes, Ok(())).expect("a vector takes everything");
        bytes
    }

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        assert_eq!(read_frame(&mut &written(&sample())[..], 1 << 20, 100), Some(Ok(sample())));
    }

    #[test]
    fn an_error_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        let error = FrameError::BadNumber { column: "age".into(), row: 7 };
        write_end(&mut bytes, Err(&error)).expect("a vector takes everything");
        assert_eq!(read_frame(&mut &bytes[..], 1 << 20, 100), Some(Err(error)));
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_frame() {
        let bytes = written(&sample());
        for length in 0..bytes.len() {
            assert_eq!(read_frame(&mut &bytes[..length], 1 << 20, 100), None, "cut at {length}");
        }
    }

    #[test]
    fn a_child_cannot_exceed_the_limits_it_was_given() {
        let bytes = written(&sample());
        assert_eq!(read_frame(&mut &bytes[..], 32, 100), None);
        assert_eq!(read_frame(&mut &bytes[..], 1 << 20, 1), None);
        let mut claim = vec![COLUMN];
        claim.extend(u64::MAX.to_le_bytes());
        assert_eq!(read_frame(&mut &claim[..], 1 << 20, 100), None);
    }

    #[test]
    fn columns_of_different_length_or_equal_name_are_no_frame() {
        let mut frame = sample();
        frame.columns[1].cells = Cells::Integer(vec![1]);
        assert_eq!(read_frame(&mut &written(&frame)[..], 1 << 20, 100), None);
        let mut frame = sample();
        frame.columns[1].name = "customer".to_owned();
        assert_eq!(read_frame(&mut &written(&frame)[..], 1 << 20, 100), None);
    }
}
