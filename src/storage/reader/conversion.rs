//! Converts records: down to an old format for a client that knows no other, and up before they are appended.

use super::{Piece, Reader};
use crate::base::ids::Offset;
use crate::base::payload::Bytes;
use crate::record::RecordError;
use crate::record::batch::Prefix;
use crate::record::compression::Codec;
use crate::record::convert;
use crate::record::message_set::Format;
use crate::storage::fs::read_full;
use crate::storage::job::{AppendError, Convert, Outcome, Read, ReadError, StorageError};
use crate::storage::scan::{HEADERS, Scan};
use crate::storage::validate::{DECOMPRESSED_BYTES_MAX, refuse, refuse_content};

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
    Outcome::Converted { ticket: job.ticket, result: for_append(&job) }
}

fn for_append(job: &Convert) -> Result<Bytes, AppendError> {
    let codec = job.codec.map(Codec::from_number).transpose().map_err(refuse)?;
    check_sizes(&job.records, job.batch_bytes_max)?;
    let converted = convert::for_append(&job.records, codec, job.decompressed_bytes_max);
    converted.map(Bytes::from_vec).map_err(refuse_content)
}

/// Batches, or messages in an old format, may be too large as they come, too: not only as they are kept.
fn check_sizes(records: &[u8], bytes_max: usize) -> Result<(), AppendError> {
    let mut rest = records;
    while !rest.is_empty() {
        let size = Prefix::read(rest).map_err(refuse)?.size;
        if size > bytes_max {
            return Err(AppendError::TooLarge);
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    Ok(())
}
