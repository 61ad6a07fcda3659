//! Buffers as files: what version 1 of the format is, byte by byte, and the commands that look into it.
//!
//! What becomes of a buffer when disks lie is none of its business.

#[path = "buffer_files/commands.rs"]
mod commands;
#[path = "buffer_files/goldens.rs"]
mod goldens;
#[path = "support/buffer.rs"]
mod made;
