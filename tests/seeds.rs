//! The inputs that are kept for fuzzing, each through the check of its target.
//!
//! It says nothing about inputs nobody has found yet: those are looked for with `cargo fuzz`.

#[path = "../fuzz/checks/bulk.rs"]
mod bulk;
#[path = "../fuzz/checks/bulk_answer.rs"]
mod bulk_answer;
#[path = "../fuzz/checks/checkpoint.rs"]
mod checkpoint;
#[path = "../fuzz/checks/disk.rs"]
mod disk;
#[path = "../fuzz/checks/formats.rs"]
mod formats;
#[path = "../fuzz/checks/json.rs"]
mod json;
#[path = "../fuzz/checks/lines.rs"]
mod lines;
#[path = "../fuzz/checks/lumberjack.rs"]
mod lumberjack;
#[path = "../fuzz/checks/lumberjack_acks.rs"]
mod lumberjack_acks;
#[allow(dead_code, reason = "each user has its part")]
#[path = "support/buffer.rs"]
mod made;
#[path = "../fuzz/checks/opened.rs"]
mod opened;
#[path = "../fuzz/checks/proxy.rs"]
mod proxy;
#[path = "../fuzz/checks/redact.rs"]
mod redact;
#[path = "../fuzz/checks/segment.rs"]
mod segment;
#[path = "../fuzz/checks/tokens.rs"]
mod tokens;
#[path = "support/tree.rs"]
mod tree;
#[path = "../fuzz/checks/values.rs"]
mod values;

use std::fs;
use std::path::Path;

/// Checks every seed of a target, and each with one bit of its choices changed.
#[track_caller]
fn check(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut checked = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be read").path();
        let mut input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Shown where the check fails.
        println!("{}", path.display());
        check(&input);
        for bit in 0..16.min(8 * input.len()) {
            input[bit / 8] ^= 1 << (bit % 8);
            check(&input);
            input[bit / 8] ^= 1 << (bit % 8);
        }
        checked += 1;
    }
    assert!(checked > 0, "{} is empty", folder.display());
}

#[test]
fn streams_give_json_and_all_memory_back() {
    check("lines", lines::check);
}

#[test]
fn tokens_lie_in_order_and_are_the_same_both_ways() {
    check("tokens", tokens::check);
}

#[test]
fn lines_give_one_object_or_a_reject_in_every_look() {
    check("formats", formats::check);
}

#[test]
fn json_is_taken_where_it_is_json_and_kept() {
    check("json", json::check);
}

#[test]
fn secrets_are_found_once() {
    check("redact", redact::check);
}

#[test]
fn a_segment_of_any_bytes_is_survived() {
    check("segment", segment::check);
}

#[test]
fn a_checkpoint_of_any_bytes_is_survived() {
    check("checkpoint", checkpoint::check);
}

#[test]
fn json_falls_into_the_same_values_however_it_comes() {
    check("values", values::check);
}

#[test]
fn a_stream_of_a_beat_becomes_the_same_however_it_is_cut() {
    check("lumberjack", lumberjack::check);
}

#[test]
fn answers_to_windows_release_the_same_however_they_come() {
    check("lumberjack_acks", lumberjack_acks::check);
}

#[test]
fn a_proxy_header_is_the_same_however_it_comes() {
    check("proxy", proxy::check);
}

#[test]
fn bulk_requests_and_those_of_firehose_are_the_same_however_they_come() {
    check("bulk", bulk::check);
}

#[test]
fn an_answer_to_a_bulk_request_counts_as_a_whole_or_not_at_all() {
    check("bulk_answer", bulk_answer::check);
}
