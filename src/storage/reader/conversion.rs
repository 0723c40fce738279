//! Converts records: down to an old format for a client that knows no other, and up before they are appended.

use super::{Piece, Reader};
use crate::base::ids::Offset;
use crate::base::payload::Bytes;
use crate::record::RecordError;
use crate::record::compression::Codec;
use crate::record::convert;
use crate::record::message_set::Format;
use crate::storage::fs::read_full;
use crate::storage::job::{AppendError, Convert, Outcome, Read, ReadError, StorageError};
use crate::storage::scan::{HEADERS, Scan};
use crate::storage::validate::{DECOMPRESSED_BYTES_MAX, refuse};

impl Reader {
    pub(super) fn refuse_zstd(&self, piece: &Piece<'_>) -> Result<(), ReadError> {
        let log = piece.segment.log();
        let mut scan = Scan::new(self.files.get(log)?, piece.from, piece.to, HEADERS);
        while let Some(met) = scan.next().map_err(|error| error.of_read(log.path()))? {
            if met.header.codec() == Ok(Codec::Zstd) {
                return Err(ReadError::UnsupportedCompression);
            }
        }
        Ok(())
    }

    pub(super) fn convert_down(
        &self,
        read: &Read,
        piece: &Piece<'_>,
        offset: Offset,
    ) -> Result<Bytes, ReadError> {
        let path = piece.segment.log().path();
        let file = self.files.get(piece.segment.log())?;
        let len = usize::try_from(piece.to.saturating_sub(piece.from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        let read_bytes = read_full(&*file, &mut bytes, piece.from)
            .map_err(|error| StorageError::io("read", path, &error))?;
        bytes.truncate(read_bytes);
        let format = if read.magic_max < 1 { Format::Zero } else { Format::One };
        let converted = convert::down_convert(&bytes, format, offset, DECOMPRESSED_BYTES_MAX)
            .map_err(|error| match error {
                RecordError::UnsupportedCodec(_) => ReadError::UnsupportedCompression,
                _ => ReadError::Corrupt,
            })?;
        let lease = self.conversions.reserve_anyway(converted.len());
        Ok(Bytes::leased(converted, Some(lease)))
    }
}

pub(super) fn convert_records(job: Convert) -> Outcome {
    let Convert { ticket, records, codec, decompressed_bytes_max } = job;
    let codec = match codec.map(|number| Codec::from_attributes(i16::from(number))).transpose() {
        Ok(codec) => codec,
        Err(error) => return Outcome::Converted { ticket, result: Err(refuse(error)) },
    };
    let result = convert::for_append(&records, codec, decompressed_bytes_max);
    drop(records);
    let result: Result<Bytes, AppendError> = result.map(Bytes::from_vec).map_err(refuse);
    Outcome::Converted { ticket, result }
}
