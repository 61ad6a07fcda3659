//! Mistakes a log could make, planted where it meets its disk: whatever tests the log must find each of them.
//!
//! They are wrappers, so that nothing that is shipped knows of them.

use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use elbow::buffer::disk::Disk;
use elbow::buffer::disk::DiskFile;
use elbow::buffer::disk::Item;
use elbow::buffer::marks::CHECKPOINT;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// What is not synced is called durable.
    AckBeforeSync,
    /// Segments go before the checkpoint that lets them go is durable.
    DeleteBeforeCheckpoint,
    /// Names are not made durable.
    NoDirectorySync,
    /// A failed sync is passed over, and the file is written on.
    AppendAfterFailedSync,
}

impl Mistake {
    pub(crate) const ALL: [Self; 4] =
        [Self::AckBeforeSync, Self::DeleteBeforeCheckpoint, Self::NoDirectorySync, Self::AppendAfterFailedSync];
}

/// A disk on which the log makes a mistake.
#[derive(Debug)]
pub(crate) struct PlantedDisk {
    pub(crate) mistake: Mistake,
    pub(crate) disk: Arc<dyn Disk>,
}

impl PlantedDisk {
    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PlantedFile { mistake: self.mistake, is_checkpoint: name == CHECKPOINT, file })
    }
}

impl Disk for PlantedDisk {
    fn lock(&self) -> io::Result<bool> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        if self.mistake == Mistake::NoDirectorySync { Ok(()) } else { self.disk.sync_directory() }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.disk.directory(name)
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }
}

#[derive(Debug)]
struct PlantedFile {
    mistake: Mistake,
    is_checkpoint: bool,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for PlantedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.file.write_at(slices, at)
    }

    fn sync(&self) -> io::Result<()> {
        match self.mistake {
            Mistake::AckBeforeSync if !self.is_checkpoint => Ok(()),
            Mistake::DeleteBeforeCheckpoint if self.is_checkpoint => Ok(()),
            Mistake::AppendAfterFailedSync => self.file.sync().or(Ok(())),
            _ => self.file.sync(),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.file.set_bytes(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.reserve(bytes)
    }
}
