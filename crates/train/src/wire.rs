//! Reading bytes of strangers: nothing is reserved before it is known to be there, and nothing may follow.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// There are more than any has.
    #[error("{is} bytes, {} more than the {most} that are allowed", .is - .most)]
    TooLong {
        /// How many there are.
        is: usize,
        /// How many there may be.
        most: usize,
    },
    /// It begins as nothing that is known.
    #[error("it begins with other bytes than one of this version does")]
    Magic,
    /// They end too early, or go on.
    #[error("{is} bytes where its size asks for {expected}")]
    Length {
        /// How many there are.
        is: usize,
        /// How many there have to be.
        expected: u64,
    },
    /// Something has a value that it cannot have.
    #[error("{0} is out of range")]
    Value(&'static str),
}

/// Bytes that are read from the front.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// All of these, if they are not too many.
    pub(crate) fn new(bytes: &'a [u8], most: usize) -> Result<Self, WireError> {
        let is = bytes.len();
        if is <= most { Ok(Self { bytes, rest: bytes }) } else { Err(WireError::TooLong { is, most }) }
    }

    /// Exactly so many have to be left.
    pub(crate) fn expect(&self, left: u64) -> Result<(), WireError> {
        if self.rest.len() as u64 == left {
            return Ok(());
        }
        let read = self.bytes.len() - self.rest.len();
        Err(WireError::Length { is: self.bytes.len(), expected: read as u64 + left })
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let read = self.bytes.len() - self.rest.len();
        let missing = WireError::Length { is: self.bytes.len(), expected: (read + count) as u64 };
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(missing)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The bytes that everything of a kind begins with.
    pub(crate) fn magic(&mut self, magic: &[u8; 8]) -> Result<(), WireError> {
        if self.array::<8>()? == *magic { Ok(()) } else { Err(WireError::Magic) }
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes, little-endian.
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The same with a sign.
    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_le_bytes)
    }

    /// The next four bytes, little-endian.
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next four bytes, little-endian, of a number that is at most `most` in magnitude.
    pub(crate) fn within(&mut self, most: i32, what: &'static str) -> Result<i32, WireError> {
        let value = self.array().map(i32::from_le_bytes)?;
        if (-most..=most).contains(&value) { Ok(value) } else { Err(WireError::Value(what)) }
    }

    /// The last eight bytes of what is left, which are taken off it, little-endian.
    pub(crate) fn last_u64(&mut self) -> Result<u64, WireError> {
        let short = WireError::Length { is: self.bytes.len(), expected: 8 };
        let (rest, last) = self.rest.split_last_chunk().ok_or(short)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*last))
    }

    /// The next eight bytes, little-endian, with a sign.
    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        self.array().map(i64::from_le_bytes)
    }
}
