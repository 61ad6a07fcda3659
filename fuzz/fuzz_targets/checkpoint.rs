//! libFuzzer's way into `checks/checkpoint.rs`, which says what must hold.

#![no_main]

#[path = "../checks/checkpoint.rs"]
mod checkpoint;
#[path = "../checks/disk.rs"]
mod disk;
#[allow(dead_code, reason = "each user has its part")]
#[path = "../../tests/support/buffer.rs"]
mod made;
#[path = "../checks/opened.rs"]
mod opened;
#[allow(dead_code, reason = "each target uses its part")]
#[path = "../checks/segment.rs"]
mod segment;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| checkpoint::check(input));
