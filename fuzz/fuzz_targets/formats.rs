//! libFuzzer's way into `checks/formats.rs`, which says what must hold.

#![no_main]

#[path = "../checks/formats.rs"]
mod formats;
#[path = "../../tests/support/tree.rs"]
mod tree;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| formats::check(input));
