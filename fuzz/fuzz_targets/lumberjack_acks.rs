//! libFuzzer's way into `checks/lumberjack_acks.rs`, which says what must hold.

#![no_main]

#[path = "../checks/lumberjack_acks.rs"]
mod lumberjack_acks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lumberjack_acks::check(input));
