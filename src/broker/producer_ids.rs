//! InitProducerId (key 22): numbers for idempotent producers (KIP-98).
//!
//! Numbers are taken from blocks. A block is recorded before its first number is handed out, so that a number is
//! never given twice, whatever happens; what is left of a block at a restart is skipped.

use super::context::Context;
use super::event::RequestId;
use super::journal::Position;
use super::metadata_records::to_journal;
use crate::base::ids::ProducerId;
use crate::base::planted::{Bug, is_planted};
use crate::wire::error_code::ErrorCode;
use crate::wire::messages::internal::metadata::{MetadataRecord, ProducerIdsRecord};
use crate::wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

const BLOCK: i64 = 1_000;

/// The numbers that were not handed out yet.
#[derive(Debug, Default)]
pub struct ProducerIds {
    next: ProducerId,
    /// The end of the block, as the journal knows it.
    end: ProducerId,
    position: Position,
}

impl ProducerIds {
    /// A block was recorded.
    pub fn replay(&mut self, record: &ProducerIdsRecord) {
        self.end = self.end.max(record.next_producer_id);
    }

    /// Everything was replayed: the blocks so far are used up.
    pub fn loaded(&mut self) {
        self.next = if is_planted(Bug::ProducerIdsAgain) { self.end - BLOCK } else { self.end };
    }

    /// A producer asks for a number. One with a transactional id is refused: there are no transactions yet.
    pub fn init(&mut self, ctx: &mut Context<'_>, id: RequestId, request: &InitProducerIdRequest) {
        let refusal = |error: ErrorCode| InitProducerIdResponse {
            error_code: error.code(),
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        };
        match request.transactional_id.as_deref() {
            Some("") => return ctx.reply(id, refusal(ErrorCode::InvalidRequest)),
            Some(_) => {
                return ctx.reply(id, refusal(ErrorCode::TransactionalIdAuthorizationFailed));
            }
            None => {}
        }
        // Without transactions a new number is all there is, but half a claim to an old one is an error.
        if (request.producer_id == -1) != (request.producer_epoch == -1) {
            return ctx.reply(id, refusal(ErrorCode::InvalidRequest));
        }
        if self.next == self.end && ctx.journal.is_full() {
            return ctx.reply(id, refusal(ErrorCode::CoordinatorLoadInProgress));
        }
        match self.take(ctx) {
            Some(producer_id) => {
                let response =
                    InitProducerIdResponse { producer_id, ..InitProducerIdResponse::default() };
                ctx.reply_after(self.position, id, response);
            }
            None => ctx.reply(id, refusal(ErrorCode::UnknownServerError)),
        }
    }

    fn take(&mut self, ctx: &mut Context<'_>) -> Option<ProducerId> {
        if self.next == self.end {
            let record = ProducerIdsRecord {
                broker_id: ctx.options.node_id,
                broker_epoch: i64::from(ctx.journal.leader_epoch()),
                next_producer_id: self.end.checked_add(BLOCK)?,
            };
            let journal_record = to_journal(&MetadataRecord::ProducerIds(record.clone())).ok()?;
            self.position = ctx.journal.append(journal_record);
            self.replay(&record);
        }
        let taken = self.next;
        self.next += 1;
        Some(taken)
    }
}
