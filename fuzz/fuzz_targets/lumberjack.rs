//! libFuzzer's way into `checks/lumberjack.rs`, which says what must hold.

#![no_main]

#[path = "../checks/lumberjack.rs"]
mod lumberjack;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lumberjack::check(input));
