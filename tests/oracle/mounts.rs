//! Filesystems of a test's own: small, read-only, or cut off like a machine that loses power. All need root.
//!
//! Each is unmounted and its loop device given back when it is dropped, also by a panic. Where the system does not allow
//! them, a test says so and is skipped; with `CI=true` that is a failure.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::machine::run;
use crate::support::machine::skipped;

/// A mounted filesystem.
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) path: PathBuf,
    device: Option<String>,
    is_mounted: bool,
    _directory: TempDir,
}

impl Mount {
    /// A filesystem in memory of this size, as `size=32m`; `None`: it cannot be had here, and that has been said.
    pub(crate) fn tmpfs(size: &str) -> Option<Self> {
        let mount = Self::nowhere(None);
        mount.mounted(&["-t", "tmpfs", "-o", size, "elbow-oracle"])
    }

    /// An ext4 in a file of this many MiB, so that it has a journal and can be cut off.
    pub(crate) fn ext4(mebibytes: u64) -> Option<Self> {
        let mut mount = Self::nowhere(None);
        let image = mount._directory.path().join("image");
        let file = fs::File::create(&image).expect("the directory is ours");
        file.set_len(mebibytes << 20).expect("there is room");
        let image = image.to_str().expect("text");
        if let Err(why) = run("mkfs.ext4", &["-q", "-F", image]) {
            return skipped(&why);
        }
        match run("losetup", &["--find", "--show", image]) {
            Ok(device) => mount.device = Some(device.trim().to_owned()),
            Err(why) => return skipped(&why),
        }
        let device = mount.device.clone().expect("it was set");
        mount.mounted(&[&device])
    }

    fn nowhere(device: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mounted");
        fs::create_dir(&path).expect("the directory is ours");
        Self { path, device, is_mounted: false, _directory: directory }
    }

    fn mounted(mut self, words: &[&str]) -> Option<Self> {
        let path = self.path.to_str().expect("text");
        match run("mount", &[words, &[path]].concat()) {
            Ok(_) => {
                self.is_mounted = true;
                Some(self)
            }
            Err(why) => skipped(&why),
        }
    }

    /// Makes it read-only.
    #[track_caller]
    pub(crate) fn make_read_only(&self) {
        self.change("remount,ro");
    }

    /// Makes it writable again.
    #[track_caller]
    pub(crate) fn make_writable(&self) {
        self.change("remount,rw");
    }

    #[track_caller]
    fn change(&self, how: &str) {
        let path = self.path.to_str().expect("text");
        run("mount", &["-o", how, path]).expect("nobody writes to it");
    }

    /// Cuts it off: from now on nothing reaches the disk, what was in memory alone is lost, and the journal stays as it was.
    #[track_caller]
    pub(crate) fn lose_power(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, of the kernel's include/uapi/linux/ext4.h.
        const SHUTDOWN: &str = "open(my $root, '<', $ARGV[0]) or die $!; my $how = pack('L', 2); \
                                ioctl($root, 0x8004587d, $how) or die $!";
        let path = self.path.to_str().expect("text");
        run("perl", &["-e", SHUTDOWN, path]).expect("ext4 can be shut down");
    }

    /// Mounts it anew, as after a power loss. Nobody may have files open on it.
    #[track_caller]
    pub(crate) fn remount(&mut self) {
        let path = self.path.to_str().expect("text").to_owned();
        crate::support::wait_for(|| run("umount", &[&path]).ok(), || format!("{path} cannot be unmounted"));
        self.is_mounted = false;
        let device = self.device.as_deref().expect("it is on a device");
        run("mount", &[device, &path]).expect("the journal can be replayed");
        self.is_mounted = true;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = self.path.to_str().expect("text");
        if self.is_mounted && run("umount", &[path]).is_err() {
            // Somebody has files open on it: it goes when they do.
            let _ = run("umount", &["-l", path]);
        }
        if let Some(device) = &self.device {
            // Where it is still in use, the kernel gives it back afterwards.
            let _ = run("losetup", &["--detach", device]);
        }
    }
}

/// Copies a directory with the directories in it.
#[track_caller]
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("there is room");
        }
    }
}

#[test]
#[ignore = "as root, with a loop device: that a power cut of ours is one"]
fn long_a_power_cut_loses_what_is_not_synced_and_nothing_else() {
    let Some(mut mount) = Mount::ext4(16) else { return };
    let (synced, unsynced) = (mount.path.join("synced"), mount.path.join("unsynced"));
    fs::write(&synced, "kept").expect("there is room");
    for path in [&synced, &mount.path] {
        fs::File::open(path).expect("it is there").sync_all().expect("the disk works");
    }
    fs::write(&unsynced, "gone").expect("there is room");
    mount.lose_power();
    assert!(fs::write(&synced, "changed").is_err() || fs::File::open(&synced).and_then(|file| file.sync_all()).is_err());
    mount.remount();
    assert_eq!(fs::read(&synced).expect("it is there"), b"kept");
    assert_ne!(fs::read(&unsynced).unwrap_or_default(), b"gone");
}
