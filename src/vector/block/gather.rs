//! Picking rows out of several blocks, column by column.

use super::{Block, BlockColumn, DictionaryValues, Layout, Strings, Values};
use std::ops::Range;

/// A row of one of several blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub block: u32,
    pub row: u32,
}

impl Block {
    /// The rows at `positions` of `blocks`, in that order. All blocks have the same layout.
    pub fn gather(layout: &Layout, blocks: &[&Block], positions: &[Position]) -> Block {
        Self::gather_columns(layout, blocks, positions, (0..layout.width()).map(|i| (i, i)))
    }

    /// Some columns of the rows at `positions`: for each its place in the blocks and in the layout, which differ when the
    /// blocks have only some columns of the layout.
    pub fn gather_columns(
        layout: &Layout,
        blocks: &[&Block],
        positions: &[Position],
        columns: impl Iterator<Item = (usize, usize)>,
    ) -> Block {
        let columns = columns.map(|(place, in_layout)| {
            let columns: Vec<&BlockColumn> = blocks.iter().map(|b| &b.columns[place]).collect();
            let values = gather_values(layout, in_layout, &columns, positions);
            BlockColumn {
                values,
                valid: gather_valid(&columns, positions),
            }
        });
        Block {
            rows: positions.len(),
            columns: columns.collect(),
        }
    }
}

impl Block {
    /// A copy of neighbouring rows, of the first `width` columns.
    pub fn copy_rows(&self, rows: Range<usize>, width: usize) -> Block {
        Block {
            rows: rows.len(),
            columns: self.columns[..width].iter().map(|c| c.copy_rows(&rows)).collect(),
        }
    }
}

impl BlockColumn {
    fn copy_rows(&self, rows: &Range<usize>) -> Self {
        let rows = rows.clone();
        let valid = self.valid.as_ref().map(|valid| &valid[rows.clone()]);
        Self {
            valid: valid.filter(|valid| valid.contains(&0)).map(<[u8]>::to_vec),
            values: match &self.values {
                Values::None => Values::None,
                Values::W1(v) => Values::W1(v[rows].to_vec()),
                Values::W2(v) => Values::W2(v[rows].to_vec()),
                Values::W4(v) => Values::W4(v[rows].to_vec()),
                Values::W8(v) => Values::W8(v[rows].to_vec()),
                Values::W16(v) => Values::W16(v[rows].to_vec()),
                Values::Codes1(v) => Values::Codes1(v[rows].to_vec()),
                Values::Codes2(v) => Values::Codes2(v[rows].to_vec()),
                Values::Bytes(strings) => Values::Bytes(strings.copy_rows(rows)),
            },
        }
    }
}

impl Strings {
    fn copy_rows(&self, rows: Range<usize>) -> Self {
        let start = rows.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        let ends = &self.ends[rows];
        let end = ends.last().copied().unwrap_or(start);
        Self {
            ends: ends.iter().map(|end| end - start).collect(),
            data: self.data[start as usize..end as usize].to_vec(),
        }
    }
}

fn gather_valid(columns: &[&BlockColumn], positions: &[Position]) -> Option<Vec<u8>> {
    if columns.iter().all(|c| c.valid.is_none()) {
        return None;
    }
    let valid: Vec<u8> = positions
        .iter()
        .map(|p| u8::from(columns[p.block as usize].is_valid(p.row as usize)))
        .collect();
    valid.contains(&0).then_some(valid)
}

fn gather_values(layout: &Layout, column: usize, columns: &[&BlockColumn], positions: &[Position]) -> Values {
    macro_rules! fixed {
        ($variant:ident) => {{
            let slices: Vec<&[_]> = columns
                .iter()
                .map(|c| match &c.values {
                    Values::$variant(v) => v.as_slice(),
                    _ => &[],
                })
                .collect();
            Values::$variant(pick(&slices, positions))
        }};
    }
    let strings = columns.iter().any(|c| matches!(c.values, Values::Bytes(_)));
    let wide = columns.iter().any(|c| matches!(c.values, Values::Codes2(_)));
    match columns.first().map(|c| &c.values) {
        None | Some(Values::None) => Values::None,
        Some(Values::W1(_)) => fixed!(W1),
        Some(Values::W2(_)) => fixed!(W2),
        Some(Values::W4(_)) => fixed!(W4),
        Some(Values::W8(_)) => fixed!(W8),
        Some(Values::W16(_)) => fixed!(W16),
        _ if strings => gather_strings(columns, &layout.dictionary(column), positions),
        _ if wide => Values::Codes2(
            positions
                .iter()
                .map(|p| columns[p.block as usize].values.code(p.row as usize))
                .collect(),
        ),
        _ => fixed!(Codes1),
    }
}

fn pick<T: Copy>(slices: &[&[T]], positions: &[Position]) -> Vec<T> {
    if let [only] = slices {
        return positions.iter().map(|p| only[p.row as usize]).collect();
    }
    positions
        .iter()
        .map(|p| slices[p.block as usize][p.row as usize])
        .collect()
}

impl Values {
    /// The code in `row` of a coded column.
    #[inline(always)]
    pub fn code(&self, row: usize) -> u16 {
        match self {
            Self::Codes1(codes) => u16::from(codes[row]),
            Self::Codes2(codes) => codes[row],
            _ => 0,
        }
    }

    /// The string in `row` of a plain or coded string column.
    #[inline(always)]
    pub fn string<'a>(&'a self, row: usize, dictionary: &'a DictionaryValues) -> &'a [u8] {
        match self {
            Self::Bytes(strings) => strings.get(row),
            // A column of NULLs only has codes without values.
            _ if dictionary.is_empty() => &[],
            coded => dictionary.get(usize::from(coded.code(row))),
        }
    }
}

fn gather_strings(columns: &[&BlockColumn], dictionary: &DictionaryValues, positions: &[Position]) -> Values {
    let plain: Option<Vec<&Strings>> = columns
        .iter()
        .map(|c| match &c.values {
            Values::Bytes(s) => Some(s),
            _ => None,
        })
        .collect();
    let mut out = Strings::with_capacity(positions.len(), 0);
    if let Some(plain) = plain {
        let bytes: usize = plain.iter().map(|s| s.data.len()).sum();
        let rows: usize = plain.iter().map(|s| s.ends.len()).sum();
        out.data
            .reserve(bytes / rows.max(1) * positions.len() + positions.len());
        positions
            .iter()
            .for_each(|p| out.push(plain[p.block as usize].get(p.row as usize)));
        return Values::Bytes(out);
    }
    for p in positions {
        let (column, row) = (columns[p.block as usize], p.row as usize);
        out.push(if column.is_valid(row) {
            column.values.string(row, dictionary)
        } else {
            &[]
        });
    }
    Values::Bytes(out)
}
