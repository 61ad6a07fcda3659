//! The checkpoint file: two slots written in turn, so that one of them is always whole.
//!
//! One slot holds what is durable. The other may be written over at any time by what is true meanwhile, which a killed process
//! leaves behind for the next one and a loss of power does not. The file takes its room when it is made and never more.

use std::io;
use std::io::IoSlice;
use std::sync::Arc;

use crate::buffer::disk::Disk;
use crate::buffer::disk::DiskFile;
use crate::buffer::disk::read_up_to;
use crate::buffer::disk::write_all;
use crate::buffer::format::Checkpoint;
use crate::buffer::format::SLOT;
use crate::buffer::format::Wrong;

/// The name of the file.
pub const CHECKPOINT: &str = "checkpoint";

/// What a checkpoint file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The slots; `Damaged` also where the file ends before one.
    pub slots: [Result<Checkpoint, Wrong>; 2],
}

impl Slots {
    /// Reads both.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(file: &dyn DiskFile) -> io::Result<Self> {
        let mut bytes = vec![0; 2 * SLOT];
        let read = read_up_to(file, &mut bytes, 0)?;
        bytes.truncate(read);
        let slot = |at: usize| Checkpoint::decode(bytes.get(at * SLOT..).unwrap_or_default());
        Ok(Self { slots: [slot(0), slot(1)] })
    }

    /// The later of those that are whole.
    pub fn latest(&self) -> Option<&Checkpoint> {
        self.slots.iter().filter_map(|slot| slot.as_ref().ok()).max_by_key(|slot| slot.epoch)
    }

    /// The version of a slot that only a later version of this program can read.
    pub fn newer(&self) -> Option<u32> {
        self.slots.iter().find_map(|slot| match slot {
            Err(Wrong::Newer(version)) => Some(*version),
            _ => None,
        })
    }
}

/// The open file.
#[derive(Debug)]
pub struct MarksFile {
    file: Arc<dyn DiskFile>,
    epoch: u64,
}

impl MarksFile {
    /// Opens the file, or makes it with room for both slots. The next checkpoint is written behind the latest one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(disk: &dyn Disk, exists: bool, latest: Option<&Checkpoint>) -> io::Result<Self> {
        let exists = match latest {
            Some(_) => true,
            // One without content is made anew: nobody knows whether its name is durable.
            None if exists => {
                disk.remove(CHECKPOINT)?;
                false
            }
            None => false,
        };
        let file = if exists { disk.open(CHECKPOINT)? } else { disk.create(CHECKPOINT)? };
        file.reserve(2 * SLOT as u64)?;
        let epoch = latest.map_or(0, |latest| latest.epoch);
        if let Some(latest) = latest {
            // The slot that counts may be of a process whose sync failed: then it is read, and taken for written, and is not on
            // the disk. The next checkpoint goes over the other one, which is.
            write_all(&*file, &mut [IoSlice::new(&latest.encode())], epoch % 2 * SLOT as u64)?;
        }
        file.sync()?;
        if !exists {
            disk.sync_directory()?;
        }
        Ok(Self { file, epoch })
    }

    /// Writes a checkpoint over the older slot and makes it durable. Its epoch is set here.
    ///
    /// # Errors
    /// What the disk says, and whether it was the sync that failed. This file must not be written again then.
    pub fn write(&mut self, checkpoint: &mut Checkpoint) -> Result<(), (io::Error, bool)> {
        self.note(checkpoint).map_err(|error| (error, false))?;
        self.file.sync().map_err(|error| (error, true))?;
        self.epoch = checkpoint.epoch;
        Ok(())
    }

    /// Writes the same without making it durable: it outlives the process and not the power. Until the next [`write`](Self::write)
    /// all go to that one slot, so that the durable one stays whole.
    ///
    /// # Errors
    /// What the disk says. This file must not be written again then.
    pub fn note(&self, checkpoint: &mut Checkpoint) -> io::Result<()> {
        checkpoint.epoch = self.epoch + 1;
        let slot = checkpoint.encode();
        write_all(&*self.file, &mut [IoSlice::new(&slot)], checkpoint.epoch % 2 * SLOT as u64)
    }
}
