//! The one place that touches data files: a directory of files as the buffer needs it, and the real one.
//!
//! Everything above works on [`Disk`], so that tests can put a disk under it that loses, tears and fails. It knows no
//! format, decides nothing about errors, and calls nothing asynchronous: whoever calls it may be blocked for as long as the
//! disk takes.

use std::fmt::Debug;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// A directory that holds data files, named without any slash.
///
/// Nothing is durable by itself: a file's bytes are after [`DiskFile::sync`], that it exists under a name is after
/// [`sync_directory`](Self::sync_directory).
pub trait Disk: Debug + Send + Sync {
    /// Takes the directory for this process alone, for as long as this value lives; `false`: another process has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    fn lock(&self) -> io::Result<bool>;

    /// Everything in the directory, in no order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self) -> io::Result<Vec<Item>>;

    /// Makes a file that does not exist, readable and writable.
    ///
    /// # Errors
    /// When a file of that name exists, or there is no room.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists, readable, and writable where the directory is.
    ///
    /// # Errors
    /// When it does not exist or may not be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name. Open files stay open.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Open files stay open, and take room until they are closed.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which files there are and what their names are.
    ///
    /// # Errors
    /// When nobody can say whether they are; asking again may say yes wrongly.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes the filesystem has room for.
    ///
    /// # Errors
    /// When it does not say.
    fn free_bytes(&self) -> io::Result<u64>;

    /// A directory in this one, made where it does not exist.
    ///
    /// # Errors
    /// When it cannot be made.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>>;

    /// What people call it.
    fn path(&self) -> &Path;
}

/// A data file. Its bytes are read and written at positions; there is no place in it that moves.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads some bytes; none at the end of the file.
    ///
    /// # Errors
    /// What the disk says; that is no word about what stands there.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes some of these bytes and says how many.
    ///
    /// # Errors
    /// When none were written.
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// When nobody can say whether they are. Asking again may say yes with the bytes gone, so nobody may.
    fn sync(&self) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts it, or makes it longer by zeros that may take no room yet.
    ///
    /// # Errors
    /// What the disk says.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Makes it so long and takes the room for it at once, where the filesystem can.
    ///
    /// # Errors
    /// When there is no room.
    fn reserve(&self, bytes: u64) -> io::Result<()>;
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name; one that is no UTF-8 has replacement characters in it.
    pub name: String,
    /// Its length in bytes; `None`: it is no file.
    pub bytes: Option<u64>,
}

/// Reads until `buf` is full or the file ends; says how many bytes there were.
///
/// # Errors
/// What the disk says.
pub fn read_up_to(file: &dyn DiskFile, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], at + done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all bytes of all slices, one behind the other.
///
/// # Errors
/// What the disk says; then some of them may be written.
pub fn write_all(file: &dyn DiskFile, mut slices: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let some = &slices[..slices.len().min(SLICES_MAX)];
        match file.write_at(some, at) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                at += bytes as u64;
                IoSlice::advance_slices(&mut slices, bytes);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Slices in one write, as Linux and the BSDs allow (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// A directory of the real filesystem.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    may_write: bool,
    /// Locked for as long as it is open.
    lock: OnceLock<File>,
    /// Descriptors held so that there is one when all others are taken by connections.
    spare: Mutex<Vec<File>>,
}

/// Spare descriptors: for a segment to write, one to make ahead of need, and two to read.
const SPARE: usize = 4;

/// Whose existence says that somebody works on the directory; its lock says whether that is so now.
pub const LOCK_NAME: &str = "lock";

impl RealDisk {
    /// A directory to work on, made with its parents where it does not exist: nobody but its owner may look inside.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let disk = Self { path: path.to_owned(), may_write: true, lock: OnceLock::new(), spare: Mutex::default() };
        disk.refill();
        Ok(disk)
    }

    /// A directory to look at; whatever would change it fails.
    pub fn read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), may_write: false, lock: OnceLock::new(), spare: Mutex::default() }
    }

    /// Takes spare descriptors as far as there are some.
    fn refill(&self) {
        let mut spare = self.spare.lock().expect("nobody panics holding descriptors");
        while spare.len() < SPARE {
            let Ok(file) = File::open(&self.path) else { return };
            spare.push(file);
        }
    }

    /// Opens a file, giving up a spare descriptor where there is no other.
    fn with_descriptor(&self, open: impl Fn() -> io::Result<File>) -> io::Result<Arc<dyn DiskFile>> {
        let is_out = |error: &io::Error| matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
        let mut opened = open();
        if opened.as_ref().is_err_and(is_out) && self.spare.lock().expect("nobody panics holding descriptors").pop().is_some() {
            opened = open();
        } else if self.may_write {
            self.refill();
        }
        Ok(Arc::new(RealFile(opened?)))
    }

    fn writable(&self) -> io::Result<()> {
        if self.may_write { Ok(()) } else { Err(Errno::ROFS.into()) }
    }
}

impl Disk for RealDisk {
    fn lock(&self) -> io::Result<bool> {
        self.writable()?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.path.join(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(self.lock.set(file).is_ok()),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // Not followed: a link is nothing of ours, wherever it leads.
            let metadata = entry.metadata()?;
            let bytes = metadata.is_file().then_some(metadata.len());
            items.push(Item { name: entry.file_name().to_string_lossy().into_owned(), bytes });
        }
        Ok(items)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.writable()?;
        let path = self.path.join(name);
        self.with_descriptor(|| OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        self.with_descriptor(|| OpenOptions::new().read(true).write(self.may_write).open(&path))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.writable()?;
        File::open(&self.path)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        self.writable()?;
        Ok(Arc::new(Self::open(&self.path.join(name))?))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buf, at)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, slices, at)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.0.set_len(bytes),
            reserved => Ok(reserved?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_has_the_directory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er");
        let (first, second) = (RealDisk::open(&path).expect("made"), RealDisk::open(&path).expect("there"));
        assert!(first.lock().expect("a lock file"));
        assert!(!second.lock().expect("a lock file"));
        drop(first);
        assert!(second.lock().expect("a lock file"));
    }

    #[test]
    fn a_file_can_be_opened_when_descriptors_have_run_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk::open(folder.path()).expect("there");
        let tries = std::cell::Cell::new(0);
        let opened = disk.with_descriptor(|| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { Err(Errno::MFILE.into()) } else { File::open(folder.path()) }
        });
        assert!(opened.is_ok());
        assert_eq!((tries.get(), disk.spare.lock().expect("not poisoned").len()), (2, SPARE - 1));
        disk.create("a").expect("there are descriptors again");
        assert_eq!(disk.spare.lock().expect("not poisoned").len(), SPARE);
    }

    #[test]
    fn a_disk_to_look_at_cannot_be_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = RealDisk::open(folder.path()).expect("there");
        let file = disk.create("a").expect("new");
        let mut slices: Vec<_> = [&b"one"[..], b"", b"two"].into_iter().map(IoSlice::new).collect();
        write_all(&*file, &mut slices, 2).expect("room");
        assert_eq!(file.bytes().expect("a length"), 8);
        let look = RealDisk::read_only(folder.path());
        let mut text = [0xff; 9];
        let open = look.open("a").expect("there");
        assert_eq!(read_up_to(&*open, &mut text, 0).expect("readable"), 8);
        assert_eq!(&text[..8], b"\0\0onetwo");
        for refused in
            [look.lock().map(drop), look.create("b").map(drop), look.rename("a", "b"), look.remove("a"), open.set_bytes(0)]
        {
            assert!(refused.is_err());
        }
        assert_eq!(look.list().expect("readable"), [Item { name: "a".to_owned(), bytes: Some(8) }]);
        assert!(disk.create("a").is_err(), "it exists");
    }
}
