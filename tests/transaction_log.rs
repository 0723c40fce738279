//! Keys and values of `__transaction_state`, as a Kafka broker wrote them, are written back byte for byte.

use chronik::base::payload::Bytes;
use chronik::record::batch::Batches;
use chronik::record::records::RecordReader;
use chronik::wire::messages::internal::transactions::{TransactionLogKey, TransactionLogValue};

#[path = "support/hex.rs"]
mod hex;

#[test]
fn every_record_of_kafkas_transaction_log_is_written_back_byte_for_byte() {
    let log =
        hex::bytes(include_str!("data/storage/__transaction_state-0/00000000000000000000.log.hex"));
    let mut ids = Vec::new();
    for batch in Batches::new(&Bytes::from_vec(log)) {
        let (_, batch) = batch.unwrap();
        let mut records = RecordReader::open(&batch, 1 << 20).unwrap();
        while let Some(record) = records.next().unwrap() {
            let key = record.key.unwrap();
            let read = TransactionLogKey::decode(&Bytes::from_vec(key.to_vec())).unwrap();
            assert_eq!(read.encode().unwrap(), key);
            ids.push(read.transactional_id);
            let value = record.value.unwrap();
            let read = TransactionLogValue::decode(&Bytes::from_vec(value.to_vec())).unwrap();
            assert_eq!(read.encode(TransactionLogValue::VERSION).unwrap(), value);
        }
    }
    ids.dedup();
    assert_eq!(ids, ["tx-1", "tx-open"]);
}

#[test]
fn tagged_fields_are_written_in_order_of_their_tags() {
    let value = TransactionLogValue {
        previous_producer_id: 1,
        next_producer_id: 2,
        client_transaction_version: 2,
        next_producer_epoch: 3,
        ..TransactionLogValue::default()
    };
    let bytes = value.encode(TransactionLogValue::VERSION).unwrap();
    assert!(bytes.ends_with(&[
        4, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 0, 2, 3, 2, 0, 3
    ]));
    assert_eq!(TransactionLogValue::decode(&Bytes::from_vec(bytes)).unwrap(), value);
    // Version 0 has none of them, and leaves them out.
    let old = value.encode(0).unwrap();
    let read = TransactionLogValue::decode(&Bytes::from_vec(old)).unwrap();
    assert_eq!(read, TransactionLogValue::default());
}
