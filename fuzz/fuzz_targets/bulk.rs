//! libFuzzer's way into `checks/bulk.rs`, which says what must hold.

#![no_main]

#[path = "../checks/bulk.rs"]
mod bulk;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| bulk::check(input));
