//! How fast the answer to a bulk request is read: `cargo bench --bench bulk_answer`.
//!
//! Prints the median over many rounds on an answer to a thousand documents, all stored and one in ten refused.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use elbow::batch::EventId;
use elbow::wire::bulk_answer;

/// Documents in one request.
const DOCUMENTS: usize = 1_000;

/// Rounds of which the median is taken.
const ROUNDS: usize = 2_000;

fn main() {
    println!("{:10} {:>10} {:>12} {:>10}", "answer", "bytes/item", "ns/item", "MB/s");
    measure("stored", &answer(usize::MAX));
    measure("refused", &answer(10));
    measure("filtered", &filtered());
}

fn id(number: usize) -> EventId {
    EventId((number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c2b_5a6d_1e4f).to_be_bytes())
}

/// As Elasticsearch 8 writes it, with every so manieth document refused.
fn answer(refused: usize) -> String {
    let mut text = r#"{"errors":false,"took":30,"items":["#.to_owned();
    for number in 0..DOCUMENTS {
        let separator = if number == 0 { "" } else { "," };
        let id = String::from_utf8(id(number).hex().to_vec()).expect("digits are ASCII");
        let told = if number % refused == refused - 1 {
            concat!(
                r#""status":400,"error":{"type":"document_parsing_exception","reason":"[1:9] failed to parse field [a] of type [long] "#,
                r#"in document with id 'x'. Preview of field's value: 'y'","caused_by":{"type":"illegal_argument_exception","reason":"z"}}"#
            )
            .to_owned()
        } else {
            format!(
                concat!(
                    r#""_version":1,"result":"created","_shards":{{"total":2,"successful":1,"failed":0}},"#,
                    r#""_seq_no":{},"_primary_term":1,"status":201"#
                ),
                1_000_000 + number
            )
        };
        write!(text, r#"{separator}{{"create":{{"_index":"logs-elb.alb-default","_id":"{id}",{told}}}}}"#).expect("a string");
    }
    text + "]}"
}

/// As the filter of the sink leaves it.
fn filtered() -> String {
    let item = |number| {
        let id = String::from_utf8(id(number).hex().to_vec()).expect("digits are ASCII");
        format!(r#"{{"create":{{"_id":"{id}","status":201}}}}"#)
    };
    format!(r#"{{"items":[{}]}}"#, (0..DOCUMENTS).map(item).collect::<Vec<_>>().join(","))
}

fn measure(name: &str, body: &str) {
    let mut nanos: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let mut sum = 0_u64;
            let ids = (0..DOCUMENTS).map(id);
            bulk_answer::read(black_box(body.as_bytes()), ids, |_, item| sum += u64::from(item.status)).expect("it is plausible");
            black_box(sum);
            start.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    let median = nanos[ROUNDS / 2] as f64;
    let per_item = median / DOCUMENTS as f64;
    println!("{name:10} {:>10} {per_item:>12.0} {:>10.0}", body.len() / DOCUMENTS, body.len() as f64 * 1e3 / median);
}
