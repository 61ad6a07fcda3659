//! libFuzzer's way into `checks/bulk_answer.rs`, which says what must hold.

#![no_main]

#[path = "../checks/bulk_answer.rs"]
mod bulk_answer;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| bulk_answer::check(input));
