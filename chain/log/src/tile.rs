//! The log in pieces that anyone may copy and keep (c2sp.org/tlog-tiles): 256 hashes of every eighth level, and 256 entries.

use crate::merkle::{LEVELS_MAX, MerkleError, NodeId, NodeStore};
use entrepot_chain_statement::Hash;
use std::{fmt, str::FromStr};

/// Levels of the tree in one tile.
const HEIGHT: u8 = 8;
/// Hashes or entries of a full tile.
const TILE_WIDTH: u16 = 1 << HEIGHT;
/// Highest row of tiles that a tree can have.
const ROW_MAX: u8 = (LEVELS_MAX / HEIGHT as usize) as u8;
/// An entry in a tile: its length as two bytes, then itself.
const ENTRY_BYTES: usize = 2 + 32;
/// Longest path that is read.
const PATH_MAX_BYTES: usize = 64;

/// Why a text names no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the path of a tile, as in 0/x001/x234/067, entries/000 or 1/000.p/5")]
pub struct TilePathError;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TileRow {
    /// Entries.
    Entries,
    /// Hashes of level `8 · row`.
    Hashes(u8),
}

/// Which tile, by the path behind `tile/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    row: TileRow,
    index: u64,
    width: u16,
}

impl Tile {
    /// Whether it is all there in a log of this size. A part of a tile may be asked for even if more of it is there.
    pub fn is_in(&self, size: u64) -> bool {
        let end = u128::from(self.index) * u128::from(TILE_WIDTH) + u128::from(self.width);
        end << self.level() <= u128::from(size)
    }

    /// The tile of a log of this size; none if the log does not cover it. `entry` finds the entry at an index.
    pub fn read<S: NodeStore>(
        &self,
        size: u64,
        store: &S,
        entry: impl Fn(u64) -> Result<Option<Hash>, S::Error>,
    ) -> Result<Option<Vec<u8>>, MerkleError<S::Error>> {
        if !self.is_in(size) {
            return Ok(None);
        }
        // What is in a log has indices that fit.
        let first = self.index * u64::from(TILE_WIDTH);
        let mut bytes = Vec::with_capacity(usize::from(self.width) * ENTRY_BYTES);
        for index in first..first + u64::from(self.width) {
            let level = self.level();
            let found = match self.row {
                TileRow::Entries => entry(index),
                TileRow::Hashes(_) => store.node(NodeId { level, index }),
            };
            let hash = found.map_err(MerkleError::Store)?.ok_or(MerkleError::Missing { level, index })?;
            if self.row == TileRow::Entries {
                bytes.extend((hash.0.len() as u16).to_be_bytes());
            }
            bytes.extend(hash.0);
        }
        Ok(Some(bytes))
    }

    fn level(&self) -> u8 {
        match self.row {
            TileRow::Entries => 0,
            TileRow::Hashes(row) => row * HEIGHT,
        }
    }
}

/// A number without sign or leading zero.
fn number(text: &str, max: u64) -> Result<u64, TilePathError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|found| plain && *found <= max).ok_or(TilePathError)
}

/// `x001/x234/067`: groups of three digits, all but the last with an x before them, the first of several not zero.
fn index(text: &str) -> Result<u64, TilePathError> {
    let mut found = 0_u64;
    let mut groups = text.split('/').peekable();
    let several = text.contains('/');
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() { group.strip_prefix('x').ok_or(TilePathError)? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) || (several && found == 0 && digits == "000") {
            return Err(TilePathError);
        }
        let value = digits.parse::<u64>().map_err(|_| TilePathError)?;
        found = found.checked_mul(1000).and_then(|found| found.checked_add(value)).ok_or(TilePathError)?;
    }
    Ok(found)
}

impl FromStr for Tile {
    type Err = TilePathError;
    fn from_str(path: &str) -> Result<Self, TilePathError> {
        if path.len() > PATH_MAX_BYTES {
            return Err(TilePathError);
        }
        let (row, rest) = path.split_once('/').ok_or(TilePathError)?;
        let row = match row {
            "entries" => TileRow::Entries,
            row => TileRow::Hashes(u8::try_from(number(row, u64::from(ROW_MAX))?).map_err(|_| TilePathError)?),
        };
        let (rest, width) = match rest.split_once(".p/") {
            Some((rest, width)) => (rest, u16::try_from(number(width, u64::from(TILE_WIDTH) - 1)?).map_err(|_| TilePathError)?),
            None => (rest, TILE_WIDTH),
        };
        if width == 0 {
            return Err(TilePathError);
        }
        Ok(Self { row, index: index(rest)?, width })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            TileRow::Entries => write!(f, "entries/")?,
            TileRow::Hashes(row) => write!(f, "{row}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |row, index, width| Tile { row, index, width };
        for (path, expected) in [
            ("0/000", tile(TileRow::Hashes(0), 0, 256)),
            ("3/x001/x234/067", tile(TileRow::Hashes(3), 1_234_067, 256)),
            ("entries/x001/000", tile(TileRow::Entries, 1_000, 256)),
            ("1/000.p/255", tile(TileRow::Hashes(1), 0, 255)),
        ] {
            assert_eq!(path.parse(), Ok(expected));
            assert_eq!(expected.to_string(), path);
        }
    }

    #[test]
    fn nothing_else_names_a_tile() {
        let wrong = [
            "",
            "0",
            "0/",
            "/000",
            "8/000",
            "00/000",
            "-1/000",
            "data/000",
            "0/0",
            "0/0000",
            "0/x000",
            "0/x000/001",
            "0/001/002",
            "0/x001/x002",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p/1.p/1",
            "0/+01",
            "0/x999/x999/x999/x999/x999/x999/999",
            "entries/x01/000",
        ];
        for path in wrong {
            assert_eq!(path.parse::<Tile>(), Err(TilePathError), "{path}");
        }
        assert_eq!("0/".repeat(100).parse::<Tile>(), Err(TilePathError));
    }

    #[test]
    fn a_tile_is_in_a_log_that_covers_all_its_leaves() {
        for (path, least) in
            [("0/000", 256), ("0/000.p/1", 1), ("entries/001.p/3", 259), ("1/000.p/1", 256), ("1/000", 65_536), ("1/001", 131_072)]
        {
            let tile: Tile = path.parse().expect("a tile");
            assert!(tile.is_in(least) && !tile.is_in(least - 1), "{path}");
        }
        assert!(!"7/x001/000".parse::<Tile>().expect("a tile").is_in(u64::MAX));
    }

    proptest! {
        #[test]
        fn every_tile_has_one_path(row in 0..=ROW_MAX, index in any::<u64>(), width in 1..=TILE_WIDTH, entries in any::<bool>()) {
            let tile = Tile { row: if entries { TileRow::Entries } else { TileRow::Hashes(row) }, index, width };
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }

        #[test]
        fn hostile_paths_never_panic(path in "[0-9xp/.e]{0,40}") {
            if let Ok(tile) = path.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }
    }
}
