//! Page headers: Thrift compact protocol, only what a flat column needs.
//!
//! Spec: `parquet.thrift` (`PageHeader`) and Apache Thrift's "compact protocol encoding".

use super::bad;
use crate::error::Result;

/// What one page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// Levels and values compressed together; levels carry their own length.
    DataV1 {
        values: usize,
        encoding: i32,
        def_encoding: i32,
    },
    /// Levels stand uncompressed before the values.
    DataV2 {
        values: usize,
        rows: usize,
        encoding: i32,
        def_len: usize,
        rep_len: usize,
        compressed: bool,
    },
    /// Values that the codes of later pages stand for.
    Dictionary { values: usize, encoding: i32 },
    /// Index pages and kinds not known here: to be passed over.
    Other,
}

/// One page header. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    pub kind: PageKind,
    pub uncompressed: usize,
    pub compressed: usize,
    pub crc: Option<u32>,
}

/// Reads one page header from the front of `bytes`; returns it and its length in bytes.
pub fn read_page_header(bytes: &[u8]) -> Result<(PageHeader, usize)> {
    let mut input = Compact { bytes, at: 0 };
    let (mut kind, mut uncompressed, mut compressed, mut crc) = (None, None, None, None);
    let (mut v1, mut v2, mut dictionary) = (None, None, None);
    input.read_struct(|input, id, ty| {
        match id {
            1 => kind = Some(input.int(ty)?),
            2 => uncompressed = Some(input.size(ty)?),
            3 => compressed = Some(input.size(ty)?),
            4 => crc = Some(input.int(ty)? as u32),
            5 => v1 = Some(input.fields(ty)?),
            7 => dictionary = Some(input.fields(ty)?),
            8 => v2 = Some(input.fields(ty)?),
            _ => input.skip(ty, 0)?,
        }
        Ok(())
    })?;
    let need = |field: Option<i64>, name: &str| field.ok_or_else(|| bad(format!("page header without {name}")));
    let size = |field: Option<i64>, name: &str| {
        let value = need(field, name)?;
        usize::try_from(value).map_err(|_| bad(format!("page header with {name} {value}")))
    };
    let kind = match (kind, v1, dictionary, v2) {
        (Some(0), Some(f), _, _) => PageKind::DataV1 {
            values: size(f[1], "num_values")?,
            encoding: need(f[2], "encoding")? as i32,
            def_encoding: need(f[3], "definition_level_encoding")? as i32,
        },
        (Some(2), _, Some(f), _) => PageKind::Dictionary {
            values: size(f[1], "num_values")?,
            encoding: need(f[2], "encoding")? as i32,
        },
        (Some(3), _, _, Some(f)) => PageKind::DataV2 {
            values: size(f[1], "num_values")?,
            rows: size(f[3], "num_rows")?,
            encoding: need(f[4], "encoding")? as i32,
            def_len: size(f[5], "definition_levels_byte_length")?,
            rep_len: size(f[6], "repetition_levels_byte_length")?,
            compressed: f[7] != Some(0),
        },
        (Some(0 | 2 | 3), ..) => return Err(bad("page header without the part for its page type")),
        (Some(_), ..) => PageKind::Other,
        (None, ..) => return Err(bad("page header without type")),
    };
    let header = PageHeader {
        kind,
        uncompressed: uncompressed.ok_or_else(|| bad("page header without uncompressed_page_size"))?,
        compressed: compressed.ok_or_else(|| bad("page header without compressed_page_size"))?,
        crc,
    };
    Ok((header, input.at))
}

/// The types of the compact protocol that are looked at by number.
mod ty {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// Deepest nesting that is followed when passing over unknown fields.
const MAX_DEPTH: usize = 16;

struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8> {
        let byte = self
            .bytes
            .get(self.at)
            .copied()
            .ok_or_else(|| bad("the column chunk ends inside a page header"))?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad("a number in a page header has more than 64 bits"))
    }

    fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// An integer or boolean field.
    fn int(&mut self, field_type: u8) -> Result<i64> {
        match field_type {
            ty::TRUE => Ok(1),
            ty::FALSE => Ok(0),
            ty::BYTE => Ok(i64::from(self.byte()? as i8)),
            ty::I16..=ty::I64 => self.zigzag(),
            other => Err(bad(format!("page header field of type {other} instead of a number"))),
        }
    }

    fn size(&mut self, field_type: u8) -> Result<usize> {
        let value = self.int(field_type)?;
        match i32::try_from(value).ok().and_then(|v| usize::try_from(v).ok()) {
            Some(size) => Ok(size),
            None => Err(bad(format!("page header with page size {value}"))),
        }
    }

    /// Calls `field` with id and type of each field; it must consume the field's value.
    fn read_struct(&mut self, mut field: impl FnMut(&mut Self, i64, u8) -> Result<()>) -> Result<()> {
        let mut id = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.zigzag()?,
                delta => id.saturating_add(i64::from(delta)),
            };
            field(self, id, head & 0x0f)?;
        }
    }

    /// The numbers among fields 1 to 8 of a nested struct; everything else is passed over.
    fn fields(&mut self, field_type: u8) -> Result<[Option<i64>; 9]> {
        if field_type != ty::STRUCT {
            return Err(bad(format!(
                "page header field of type {field_type} instead of a struct"
            )));
        }
        let mut numbers = [None; 9];
        self.read_struct(
            |input, id, ty| match usize::try_from(id).ok().and_then(|i| numbers.get_mut(i)) {
                Some(slot) if (ty::TRUE..=ty::I64).contains(&ty) => {
                    *slot = Some(input.int(ty)?);
                    Ok(())
                }
                _ => input.skip(ty, 1),
            },
        )?;
        Ok(numbers)
    }

    fn skip_bytes(&mut self, n: u64) -> Result<()> {
        match usize::try_from(n)
            .ok()
            .and_then(|n| self.at.checked_add(n))
            .filter(|&end| end <= self.bytes.len())
        {
            Some(end) => self.at = end,
            None => return Err(bad("the column chunk ends inside a page header")),
        }
        Ok(())
    }

    fn skip(&mut self, field_type: u8, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(bad("a page header nests too deeply"));
        }
        match field_type {
            ty::TRUE | ty::FALSE => Ok(()),
            ty::BYTE => self.skip_bytes(1),
            ty::I16..=ty::I64 => self.varint().map(drop),
            ty::DOUBLE => self.skip_bytes(8),
            ty::UUID => self.skip_bytes(16),
            ty::BINARY => {
                let len = self.varint()?;
                self.skip_bytes(len)
            }
            ty::LIST | ty::SET => {
                let head = self.byte()?;
                let len = if head >> 4 == 15 {
                    self.varint()?
                } else {
                    u64::from(head >> 4)
                };
                (0..len).try_for_each(|_| self.skip_element(head & 0x0f, depth))
            }
            ty::MAP => {
                let len = self.varint()?;
                let types = if len > 0 { self.byte()? } else { 0 };
                (0..len).try_for_each(|_| {
                    self.skip_element(types >> 4, depth)?;
                    self.skip_element(types & 0x0f, depth)
                })
            }
            ty::STRUCT => self.read_struct(|input, _, ty| input.skip(ty, depth + 1)),
            other => Err(bad(format!("a page header has a field of unknown type {other}"))),
        }
    }

    /// In a collection a boolean takes a byte, in a field it lies in the field's type.
    fn skip_element(&mut self, element_type: u8, depth: usize) -> Result<()> {
        match element_type {
            ty::TRUE | ty::FALSE => self.skip_bytes(1),
            other => self.skip(other, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// type 0, sizes 100 and 50, crc −1, data page header (10 values, PLAIN, RLE, RLE, statistics with one binary).
    const V1: &[u8] = &[
        0x15, 0x00, 0x15, 0xc8, 0x01, 0x15, 0x64, 0x15, 0x01, 0x1c, 0x15, 0x14, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06,
        0x1c, 0x18, 0x02, 0xaa, 0xbb, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn a_data_page_header() {
        let (header, len) = read_page_header(&[V1, &[9, 9]].concat()).unwrap();
        let kind = PageKind::DataV1 {
            values: 10,
            encoding: 0,
            def_encoding: 3,
        };
        assert_eq!(
            header,
            PageHeader {
                kind,
                uncompressed: 100,
                compressed: 50,
                crc: Some(u32::MAX)
            }
        );
        assert_eq!(len, V1.len());
    }

    #[test]
    fn every_prefix_and_every_flip_is_an_error_or_a_header() {
        for end in 0..V1.len() {
            assert!(read_page_header(&V1[..end]).is_err(), "prefix of {end} bytes");
        }
        for at in 0..V1.len() {
            for value in 0..=255 {
                let mut bytes = V1.to_vec();
                bytes[at] = value;
                let _ = read_page_header(&bytes);
            }
        }
    }
}
