//! Numbers and strings as the tables have them: little-endian, LEB128, zigzag, columns of runs.

use thiserror::Error;

/// Why bytes are no table, page, record or recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormatError {
    /// They end too soon.
    #[error("it is cut short")]
    Truncated,
    /// They contradict themselves.
    #[error("{0}")]
    Malformed(&'static str),
    /// A later version than this program knows.
    #[error("it is of format version {0}, which this program does not know")]
    Version(u16),
    /// Their check does not match.
    #[error("its check does not match")]
    Check,
    /// More than the format can hold.
    #[error("{0}")]
    TooLarge(&'static str),
}

/// Reads from the front of a slice; every error leaves it where it was or at the end.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn bytes(&mut self, len: u64) -> Result<&'a [u8], FormatError> {
        let len = usize::try_from(len).map_err(|_| FormatError::Truncated)?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    /// An unsigned LEB128 number of at most 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::Malformed("a number has more than 64 bits"))
    }

    /// A signed number: 0, -1, 1, -2, … as 0, 1, 2, 3, …
    pub(super) fn zigzag(&mut self) -> Result<i64, FormatError> {
        self.varint().map(unzigzag)
    }

    /// A number of things of at least `each` bytes, so that it can be trusted for an allocation.
    pub(super) fn count(&mut self, each: usize) -> Result<usize, FormatError> {
        let count = usize::try_from(self.varint()?).map_err(|_| FormatError::Truncated)?;
        if count.checked_mul(each).is_none_or(|need| need > self.rest.len()) {
            return Err(FormatError::Truncated);
        }
        Ok(count)
    }

    /// Bytes after their number.
    pub(super) fn blob(&mut self) -> Result<&'a [u8], FormatError> {
        let len = self.varint()?;
        self.bytes(len)
    }

    /// A column of `count` numbers, which the caller has bounded.
    pub(super) fn column(&mut self, count: usize) -> Result<Vec<u64>, FormatError> {
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let token = self.varint()?;
            let run = usize::try_from(token >> 1).map_err(|_| FormatError::Truncated)?;
            if run == 0 || run > count - values.len() {
                return Err(FormatError::Malformed("a column is longer than its table"));
            }
            if token & 1 == 1 {
                let value = self.varint()?;
                values.resize(values.len() + run, value);
            } else {
                for _ in 0..run {
                    values.push(self.varint()?);
                }
            }
        }
        Ok(values)
    }
}

/// Appends `value` as LEB128.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number.
pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Appends bytes after their number.
pub(super) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a column: for a run of equal numbers `2 × length + 1` and the number, else `2 × how many` and the numbers.
pub(super) fn put_column(out: &mut Vec<u8>, values: &[u64]) {
    let mut rest = values;
    let mut single = 0;
    while let Some(&first) = rest.get(single) {
        let run = rest.iter().skip(single).take_while(|&&value| value == first).count();
        if run < 3 {
            single += run;
            continue;
        }
        put_singles(out, rest.get(..single).unwrap_or_default());
        put_varint(out, (run as u64) << 1 | 1);
        put_varint(out, first);
        rest = rest.get(single + run..).unwrap_or_default();
        single = 0;
    }
    put_singles(out, rest);
}

fn put_singles(out: &mut Vec<u8>, values: &[u64]) {
    if !values.is_empty() {
        put_varint(out, (values.len() as u64) << 1);
        values.iter().for_each(|&value| put_varint(out, value));
    }
}

/// The unsigned number that stands for `value`.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The signed number that `value` stands for.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_of_every_size_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.zigzag(), Ok(signed));
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn columns_come_back(values in prop::collection::vec((0_u64..4, 1_usize..9), 0..40)) {
            let values: Vec<u64> = values.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect();
            let mut out = Vec::new();
            put_column(&mut out, &values);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.column(values.len()), Ok(values));
            prop_assert!(reader.rest().is_empty());
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert!(Reader::new(&[0xff; 10]).varint().is_err());
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(Reader::new(&largest).varint(), Ok(u64::MAX));
    }

    #[test]
    fn a_column_of_equal_numbers_takes_a_few_bytes() {
        let mut out = Vec::new();
        put_column(&mut out, &[1; 100_000]);
        assert!(out.len() <= 5, "{} bytes", out.len());
    }
}
