//! `data_dir`, `[buffer]` and `[dead_letters]`: where events are kept until they are delivered, and where those go that nobody
//! takes.

use std::path::PathBuf;

use crate::buffer::BufferPlan;
use crate::buffer::DiskPlan;
use crate::buffer::MemoryPlan;
use crate::buffer::WhenFull;
use crate::buffer::log::Durability;
use crate::config::overrides::Overrides;
use crate::config::reader::Reader;
use crate::config::report::Origin;
use crate::config::words::Words;

/// Where events are kept.
pub struct Storage {
    /// Until they are delivered.
    pub buffer: BufferPlan,
    /// When nobody takes them; `None` without a data directory.
    pub dead_letters: Option<DiskPlan>,
    /// Most bytes one document can have.
    pub document_bytes_max: u64,
}

/// Reads everything about where events are kept.
pub fn decide(root: &mut Reader<'_, '_>, overrides: &Overrides, memory_bytes_max: u64) -> Storage {
    root.desk().report.begin("data");
    if let Some(given) = &overrides.data_dir {
        root.give("data_dir", given.clone());
    }
    let written = root.string("data_dir");
    if let Some(written) = written.as_ref().filter(|written| written.text.is_empty()) {
        root.refuse("data_dir", written, "names no directory", None, Some("write one, such as \"/var/lib/elbow\"".to_owned()));
    }
    if let Some(written) = &written {
        root.record("data_dir", written.text.clone(), written.origin());
    }
    let data_dir = written.map(|written| PathBuf::from(written.text));
    let buffer = decide_buffer(root, overrides, data_dir.as_ref(), memory_bytes_max);
    let dead_letters = decide_dead_letters(root, data_dir.as_ref(), memory_bytes_max);
    let document_bytes_max = match &buffer {
        BufferPlan::Memory(plan) => plan.bytes_max,
        BufferPlan::Disk(plan) => DiskPlan::entry_bytes_max(plan.bytes_max),
    };
    let letter_bytes_max = dead_letters.as_ref().map_or(u64::MAX, |plan| DiskPlan::entry_bytes_max(plan.bytes_max));
    Storage { buffer, dead_letters, document_bytes_max: document_bytes_max.min(letter_bytes_max) }
}

fn decide_buffer(
    root: &mut Reader<'_, '_>,
    overrides: &Overrides,
    data_dir: Option<&PathBuf>,
    memory_bytes_max: u64,
) -> BufferPlan {
    root.desk().report.begin("[buffer]");
    let mut buffer = root.table("buffer");
    let kinds = Words { now: &[("disk", true), ("memory", false)], later: &[] };
    let default = if data_dir.is_some() { ("disk", true) } else { ("memory", false) };
    let is_on_disk = buffer.one_of("kind", &kinds, default);
    if is_on_disk && data_dir.is_none() {
        buffer.refuse_key(
            "kind",
            "a buffer on disk needs a directory",
            "write data_dir = \"/var/lib/elbow\" at the top of the file",
        );
    }
    let plan = if is_on_disk {
        let durabilities = Durability::ALL.map(|durability| (durability.label(), durability));
        let words = Words { now: &durabilities, later: &[] };
        let durability = buffer.one_of("durability", &words, ("disk", Durability::Disk));
        let bytes_max = buffer.size("max_bytes", DISK_MIN..=DISK_MAX, DISK_DEFAULT, Origin::Default);
        let free_bytes_min = buffer.size("min_free_bytes", 0..=DISK_MAX, FREE_DEFAULT, Origin::Default);
        BufferPlan::Disk(DiskPlan {
            path: data_dir.cloned().unwrap_or_default().join("buffer"),
            bytes_max,
            free_bytes_min,
            durability,
            memory_bytes_max,
            forget: overrides.forget.clone(),
            when_full: WhenFull::Block,
        })
    } else {
        for key in ["durability", "min_free_bytes"] {
            if buffer.has(key) {
                buffer.known(key);
                buffer.refuse_key(
                    key,
                    "belongs to the buffer on disk, and this one is in memory",
                    "remove it, or write kind = \"disk\"",
                );
            }
        }
        BufferPlan::Memory(MemoryPlan { bytes_max: decide_memory_bytes(&mut buffer, memory_bytes_max) })
    };
    buffer.finish();
    plan
}

fn decide_memory_bytes(buffer: &mut Reader<'_, '_>, memory_bytes_max: u64) -> u64 {
    let default = memory_bytes_max / 4 * 3;
    let from = Origin::Derived("three quarters of memory.max_bytes");
    let bytes_max = buffer.size("max_bytes", MEMORY_MIN..=MEMORY_MAX, default, from);
    if bytes_max > memory_bytes_max {
        buffer.refuse_key(
            "max_bytes",
            "the buffer is larger than the memory it is part of",
            "lower it, raise max_bytes in [memory], or keep it on disk: kind = \"disk\"",
        );
    }
    bytes_max
}

fn decide_dead_letters(root: &mut Reader<'_, '_>, data_dir: Option<&PathBuf>, memory_bytes_max: u64) -> Option<DiskPlan> {
    let Some(data_dir) = data_dir else {
        root.known("dead_letters");
        if root.has("dead_letters") {
            let remedy = "write data_dir = \"/var/lib/elbow\" at the top of the file, or remove the table";
            root.refuse_key("dead_letters", "dead letters are kept on disk, and there is no data_dir", remedy);
        }
        return None;
    };
    root.desk().report.begin("[dead_letters]");
    let mut letters = root.table("dead_letters");
    let bytes_max = letters.size("max_bytes", DISK_MIN..=DISK_MAX, LETTERS_DEFAULT, Origin::Default);
    let policies = WhenFull::ALL.map(|policy| (policy.label(), policy));
    let when_full = letters.one_of("when_full", &Words { now: &policies, later: &[] }, ("block", WhenFull::Block));
    letters.finish();
    Some(DiskPlan {
        path: data_dir.join("dead-letters"),
        bytes_max,
        free_bytes_min: 0,
        durability: Durability::Disk,
        // They are rare; what they hold in memory is small beside the budget.
        memory_bytes_max: memory_bytes_max / 8,
        forget: Vec::new(),
        when_full,
    })
}

/// Sixteen segments of the smallest size.
const DISK_MIN: u64 = 16 << 20;
const DISK_MAX: u64 = 1 << 50;

/// Some hours of a busy environment: at 1.3 kB a document, seven million events.
const DISK_DEFAULT: u64 = 10 << 30;

/// What the system and its logs need when everything else is full.
const FREE_DEFAULT: u64 = 1 << 30;

const LETTERS_DEFAULT: u64 = 256 << 20;

/// Eight batches, each of which is what one read gives at the most.
const MEMORY_MIN: u64 = 8 << 20;
const MEMORY_MAX: u64 = 1 << 40;
