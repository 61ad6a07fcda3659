//! A place for bytes that should have been entries: whoever wants to look at what a disk made of them finds them here.
//!
//! Nothing reads them again. They are bounded, and copying the same bytes twice does nothing.

use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;

use crate::buffer::disk::Disk;
use crate::buffer::disk::DiskFile;
use crate::buffer::disk::read_up_to;
use crate::buffer::disk::write_all;
use crate::buffer::format::segment_name;

/// The name of the folder.
pub const QUARANTINE: &str = "quarantine";

/// Bytes kept at the most; what is damaged beyond that is only counted.
pub const QUARANTINE_BYTES_MAX: u64 = 16 << 20;

const COPY_BYTES: usize = 256 * 1024;

/// Bytes that are kept there.
///
/// # Errors
/// What the disk says.
pub fn held_bytes(disk: &dyn Disk) -> io::Result<u64> {
    let is_there = disk.list()?.iter().any(|item| item.name == QUARANTINE && item.bytes.is_none());
    if !is_there {
        return Ok(0);
    }
    Ok(disk.directory(QUARANTINE)?.list()?.iter().filter_map(|item| item.bytes).sum())
}

/// Copies a range of a segment, as far as there is room for it; says how many bytes were copied now.
///
/// # Errors
/// What the disk says; the range is lost to nobody by that.
pub fn set_aside(disk: &dyn Disk, file: &dyn DiskFile, number: u64, at: u64, bytes: u64) -> io::Result<u64> {
    let folder = disk.directory(QUARANTINE)?;
    let held: u64 = folder.list()?.iter().filter_map(|item| item.bytes).sum();
    if held + bytes > QUARANTINE_BYTES_MAX {
        return Ok(0);
    }
    let copy = match folder.create(&format!("{}-at-{at}", segment_name(number))) {
        Ok(copy) => copy,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut chunk = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < bytes {
        let wanted = usize::try_from(bytes - done).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let read = read_up_to(file, &mut chunk[..wanted], at + done)?;
        if read == 0 {
            break;
        }
        write_all(&*copy, &mut [IoSlice::new(&chunk[..read])], done)?;
        done += read as u64;
    }
    Ok(done)
}
