//! A directory in memory, for checks that must not wait for a real one. It never fails, and forgets nothing when it is synced
//! or not; a copy shares nothing with what it was made of.

use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use elbow::buffer::disk::Disk;
use elbow::buffer::disk::DiskFile;
use elbow::buffer::disk::Item;

/// Bytes a file may grow to; whoever asks for more has believed a wrong number.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    folders: Mutex<BTreeMap<String, Arc<MemoryDisk>>>,
}

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryDisk {
    /// A directory with these files.
    pub(crate) fn with(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        for (name, bytes) in files {
            disk.files.lock().expect("ours").insert(name.clone(), Arc::new(MemoryFile(Mutex::new(bytes.clone()))));
        }
        disk
    }

    /// The files there are now.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.files.lock().expect("ours");
        files.iter().map(|(name, file)| (name.clone(), file.0.lock().expect("ours").clone())).collect()
    }
}

impl Disk for MemoryDisk {
    fn lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        let files = self.files().into_iter().map(|(name, bytes)| Item { name, bytes: Some(bytes.len() as u64) });
        let folders =
            self.folders.lock().expect("ours").keys().map(|name| Item { name: name.clone(), bytes: None }).collect::<Vec<_>>();
        Ok(files.chain(folders).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().expect("ours");
        if files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        match self.files.lock().expect("ours").get(name) {
            Some(file) => Ok(file.clone()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().expect("ours");
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().expect("ours").remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        Ok(self.folders.lock().expect("ours").entry(name.to_owned()).or_default().clone())
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = self.0.lock().expect("ours");
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let mut bytes = self.0.lock().expect("ours");
        let mut end = usize::try_from(at).expect("files are small");
        for slice in slices {
            let start = end;
            end += slice.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(slice);
        }
        Ok(end - usize::try_from(at).expect("files are small"))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("ours").len() as u64)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        assert!(bytes <= FILE_BYTES_MAX, "{bytes} bytes are wanted of a file");
        self.0.lock().expect("ours").resize(bytes as usize, 0);
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let now = self.bytes()?;
        if bytes > now { self.set_bytes(bytes) } else { Ok(()) }
    }
}
