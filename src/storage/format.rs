//! What the file formats share: one error and one bounds-checked reader of big-endian bytes.

use std::fmt;

/// Why a file's bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The kind of file, in words.
    pub file: &'static str,
    /// How many bytes before the place where it was noticed.
    pub position: usize,
    /// What is wrong there.
    pub problem: FormatProblem,
}

/// What is wrong with a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatProblem {
    /// They end too early.
    Truncated,
    /// Bytes are left over.
    TrailingBytes,
    /// They do not begin as such a file does.
    Magic,
    /// The file is of a version that this program does not know, most often because a newer one wrote it.
    Version {
        /// The file's version.
        found: u32,
        /// The newest version known here.
        newest: u32,
    },
    /// The checksum does not match.
    Checksum {
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the file's bytes.
        computed: u32,
    },
    /// A value is not legal; its name.
    Value(&'static str),
}

impl FormatError {
    /// An error in a file of the kind `file`, at `position`.
    #[must_use]
    pub fn new(file: &'static str, position: usize, problem: FormatProblem) -> FormatError {
        FormatError { file, position, problem }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.file, self.position)?;
        match &self.problem {
            FormatProblem::Truncated => f.write_str("ends too early"),
            FormatProblem::TrailingBytes => f.write_str("bytes left over"),
            FormatProblem::Magic => f.write_str("does not begin as such a file does"),
            FormatProblem::Version { found, newest } => {
                write!(f, "version {found}, newest known is {newest}")
            }
            FormatProblem::Checksum { stored, computed } => {
                write!(f, "checksum is {stored:08x}, computed {computed:08x}")
            }
            FormatProblem::Value(name) => write!(f, "illegal {name}"),
        }
    }
}

impl std::error::Error for FormatError {}

/// Reads big-endian values from the front of a file's bytes.
pub(crate) struct FormatReader<'a> {
    file: &'static str,
    bytes: &'a [u8],
    position: usize,
    version: u32,
}

impl<'a> FormatReader<'a> {
    /// A reader at the first of `bytes`, which belong to a file of the kind `file`.
    pub(crate) fn new(file: &'static str, bytes: &'a [u8]) -> FormatReader<'a> {
        FormatReader { file, bytes, position: 0, version: 0 }
    }

    /// A reader in the middle of a file of ours that was opened and read to its end before.
    pub(crate) fn at(
        file: &'static str,
        bytes: &'a [u8],
        position: usize,
        version: u32,
    ) -> FormatReader<'a> {
        FormatReader { file, bytes, position, version }
    }

    /// A reader behind the eight bytes of magic and the version of a file of ours, whose last four bytes are the
    /// CRC-32 of all before them. The version is looked at first: a newer one may be checked otherwise. But one that
    /// fits the checksum if it is taken for ours is damaged, and not newer.
    pub(crate) fn open(
        file: &'static str,
        magic: &[u8; 8],
        newest: u32,
        bytes: &'a [u8],
    ) -> Result<FormatReader<'a>, FormatError> {
        let mut reader = FormatReader::new(file, bytes);
        if reader.array::<8>()? != *magic {
            return Err(FormatError::new(file, 0, FormatProblem::Magic));
        }
        let here = reader.position;
        let found = reader.u32()?;
        let last = bytes.len().saturating_sub(4).max(reader.position);
        let stored = FormatReader { file, bytes, position: last, version: found }.u32()?;
        reader.version = found;
        reader.bytes = bytes.get(..last).unwrap_or_default();
        let is_known = |version| (1..=newest).contains(&version);
        let fits_ours = |version| crc_with_version(reader.bytes, version) == stored;
        if !is_known(found) && !(1..=newest).any(fits_ours) {
            return Err(FormatError::new(file, here, FormatProblem::Version { found, newest }));
        }
        let computed = crc32fast::hash(reader.bytes);
        if stored != computed {
            return Err(FormatError::new(file, last, FormatProblem::Checksum { stored, computed }));
        }
        Ok(reader)
    }

    /// The version of a file of ours.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// An error at the place reached.
    pub(crate) fn error(&self, problem: FormatProblem) -> FormatError {
        FormatError::new(self.file, self.position, problem)
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let taken = self.rest().get(..count).ok_or_else(|| self.error(FormatProblem::Truncated))?;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, FormatError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FormatError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A count, and whether that many elements of at least `element_bytes` can still come.
    pub(crate) fn count(&mut self, element_bytes: usize) -> Result<usize, FormatError> {
        let here = self.error(FormatProblem::Value("count"));
        let count = usize::try_from(self.u32()?).map_err(|_| here.clone())?;
        let needed = count.checked_mul(element_bytes).ok_or_else(|| here.clone())?;
        if needed > self.rest().len() { Err(here) } else { Ok(count) }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), FormatError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.error(FormatProblem::TrailingBytes)) }
    }
}

/// Appends the CRC-32 of all that is there.
pub(crate) fn push_crc32(bytes: &mut Vec<u8>) {
    let crc = crc32fast::hash(bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
}

/// The count of a list as it is stored; a list beyond the range of `u32` cannot be in memory.
pub(crate) fn stored_count(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

/// The CRC-32 of bytes if the version behind their magic were this one.
pub(crate) fn crc_with_version(bytes: &[u8], version: u32) -> u32 {
    let (magic, rest) = bytes.split_at(bytes.len().min(8));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(magic);
    hasher.update(&version.to_be_bytes());
    hasher.update(rest.get(4..).unwrap_or_default());
    hasher.finalize()
}
