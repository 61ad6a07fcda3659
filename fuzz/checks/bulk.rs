//! A bulk request or one of Firehose gives the same however it was cut into reads, and each document that is handed on has its
//! answer.
//!
//! The first byte chooses which of the two it is, the second the size of the reads; the rest is the body.

use elbow::framing::bulk::Bulk;
use elbow::framing::firehose::Firehose;
use serde_json::Value;

const DOCUMENT_BYTES_MAX: usize = 100;

pub(crate) fn check(input: &[u8]) {
    let [choice, size, body @ ..] = input else { return };
    let reads: Vec<&[u8]> = body.chunks(usize::from(*size) + 1).collect();
    if choice & 1 == 0 {
        let whole = bulk(&[body]);
        assert_eq!(bulk(&reads), whole);
    } else {
        let whole = firehose(&[body]);
        assert_eq!(firehose(&reads), whole);
        assert!(whole.0.len() <= body.len(), "base64 makes nothing shorter");
    }
}

fn bulk(reads: &[&[u8]]) -> (Vec<u8>, Value, String) {
    let mut bulk = Bulk::new("index", DOCUMENT_BYTES_MAX);
    let mut out = Vec::new();
    for read in reads {
        bulk.feed(read, &mut out);
    }
    bulk.finish(&mut out);
    let fault = format!("{:?}", bulk.fault());
    let mut answer = bulk.into_answer(0);
    let mut text = Vec::new();
    while let Some(piece) = answer.piece() {
        text.extend(piece);
    }
    let answer: Value = serde_json::from_slice(&text).expect("an answer is JSON");
    let items = answer["items"].as_array().expect("it has items");
    let is_taken = |item: &&Value| item.as_object().expect("an object").values().all(|details| details["status"] == 201);
    let taken = items.iter().filter(is_taken).count();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), taken);
    assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= DOCUMENT_BYTES_MAX));
    (out, answer, fault)
}

fn firehose(reads: &[&[u8]]) -> (Vec<u8>, u64, String) {
    let mut firehose = Firehose::default();
    let mut out = Vec::new();
    for read in reads {
        firehose.feed(read, &mut out);
    }
    firehose.finish();
    (out, firehose.records(), format!("{:?}", firehose.fault()))
}
