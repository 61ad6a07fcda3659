//! The log on a disk that loses, tears and fails, step by step against a plain list of what it was given.

#[path = "support/modelled_disk.rs"]
mod modelled_disk;
