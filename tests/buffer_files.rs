//!
//! What becomes of a buffer when disks lie is none of its business.

#[path = "buffer_files/goldens.rs"]
mod goldens;
#[path = "support/buffer.rs"]
mod made;
