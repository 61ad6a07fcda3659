//! A filesystem in memory that keeps apart what reads return and what survives the loss of power.
//!
//! It is deterministic: every choice comes from a seed, and no real file is touched. It is as cruel as the contract of
//! [`Disk`] allows and sometimes crueller than a filesystem in use today: sectors are written back one by one, a name is
//! durable only by a sync of its directory, and what a failed sync had to write is forgotten as if it were written. It refuses
//! to know what its files mean.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write as _;
use std::io;
use std::io::IoSlice;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use elbow::buffer::disk::Disk;
use elbow::buffer::disk::DiskFile;
use elbow::buffer::disk::Item;
use elbow::buffer::disk::LOCK_NAME;
use rustix::io::Errno;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What room is given out in.
const BLOCK: u64 = 4096;

/// Calls that are remembered for a failure's report.
const TRACED: usize = 120;

/// Numbers that look random and follow from a seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A call, as faults and the trace name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Lock,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncDirectory,
    FreeBytes,
    Directory,
    Read,
    Write,
    Sync,
    Bytes,
    SetBytes,
    Reserve,
}

/// What becomes of a call that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It fails with this error.
    Error(Errno),
    /// The process is killed in the middle of it.
    Kill,
}

/// Harms one call: of the calls of this kind, or of all kinds, the one after the next `skip`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) op: Option<Op>,
    pub(crate) skip: u32,
    pub(crate) harm: Harm,
}

/// A call that was made.
#[derive(Clone, Debug)]
struct Call {
    number: u64,
    op: Op,
    name: String,
    at: u64,
    bytes: u64,
    outcome: &'static str,
}

/// A file, wherever its names are.
#[derive(Clone, Debug, Default)]
struct Inode {
    /// What reads return.
    cache: Vec<u8>,
    /// What survives for sure.
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// Sectors a failed sync took for written.
    forgotten: BTreeSet<usize>,
    /// Whether the length was changed since the last sync.
    length_dirty: bool,
    /// Blocks that take room.
    blocks: BTreeSet<u64>,
    handles: u32,
    sync_failed: bool,
}

impl Inode {
    fn lengthen(&mut self, bytes: usize) {
        let old = self.cache.len();
        if bytes > old {
            self.cache.resize(bytes, 0);
            self.length_dirty = true;
            // What was cut off before may still be on the disk, and zeros are to go over it.
            let stale = self.durable.len().min(bytes);
            self.dirty.extend(sectors(old, stale));
        }
    }

    fn put(&mut self, bytes: &[u8], at: usize) {
        self.lengthen(at + bytes.len());
        self.cache[at..at + bytes.len()].copy_from_slice(bytes);
        for sector in sectors(at, at + bytes.len()) {
            self.dirty.insert(sector);
            self.forgotten.remove(&sector);
        }
        self.blocks.extend(at as u64 / BLOCK..((at + bytes.len()) as u64).div_ceil(BLOCK));
    }

    fn set_length(&mut self, bytes: usize) {
        if bytes < self.cache.len() {
            self.cache.truncate(bytes);
            self.length_dirty = true;
            let first_gone = bytes.div_ceil(SECTOR);
            self.dirty.retain(|&sector| sector < first_gone);
            self.forgotten.retain(|&sector| sector < first_gone);
            self.blocks.retain(|&block| block < (bytes as u64).div_ceil(BLOCK));
        }
        self.lengthen(bytes);
    }

    /// Writes one sector back.
    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.cache.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.cache[start..end]);
        self.dirty.remove(&sector);
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector);
        }
        if std::mem::take(&mut self.length_dirty) {
            self.durable.resize(self.cache.len(), 0);
        }
    }

    fn fail_to_sync(&mut self) {
        self.forgotten.append(&mut self.dirty);
        self.length_dirty = false;
        self.sync_failed = true;
    }

    /// Becomes what the disk has after a loss of power; of ten unsynced sectors about `new_in_ten` are new.
    fn lose_power(&mut self, chance: &mut Chance, new_in_ten: u64) {
        let (old, new) = (self.durable.len(), self.cache.len());
        let length = match chance.below(10) {
            _ if old == new => old,
            0 => (old.min(new) + chance.below(old.abs_diff(new) as u64) as usize) / SECTOR * SECTOR,
            other if other < 5 => old,
            _ => new,
        };
        let unsynced: BTreeSet<usize> = self.dirty.union(&self.forgotten).copied().collect();
        let mut after = self.durable.clone();
        after.resize(length, 0);
        for sector in unsynced {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(length).min(new);
            if start >= end {
                continue;
            }
            if chance.below(10) < new_in_ten {
                after[start..end].copy_from_slice(&self.cache[start..end]);
            } else if start >= old && chance.one_in(2) {
                after[start..end].fill_with(|| chance.next() as u8);
            }
        }
        self.blocks.retain(|&block| block < (length as u64).div_ceil(BLOCK));
        self.blocks.extend(0..(length as u64).div_ceil(BLOCK));
        self.durable = after.clone();
        self.cache = after;
        self.dirty.clear();
        self.forgotten.clear();
        (self.length_dirty, self.sync_failed, self.handles) = (false, false, 0);
    }
}

/// The sectors that bytes from `from` to `to` lie in.
fn sectors(from: usize, to: usize) -> std::ops::Range<usize> {
    if from < to { from / SECTOR..to.div_ceil(SECTOR) } else { 0..0 }
}

/// A change of names that is not durable.
#[derive(Clone, Debug)]
struct Change {
    what: What,
    /// A sync that failed took it for durable.
    forgotten: bool,
}

#[derive(Clone, Debug)]
enum What {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

impl What {
    fn names(&self) -> [&str; 2] {
        match self {
            Self::Create(name, _) | Self::Remove(name) => [name, name],
            Self::Rename(from, to) => [from, to],
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

struct State {
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    /// Names with the folder before them, as `folder/name`; of files right in the directory, without a slash.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<Change>,
    folders: BTreeSet<String>,
    /// Counts the processes there were.
    process: u64,
    /// The process was killed in a call and nobody has started another one yet.
    dead: bool,
    /// Folders somebody has the lock of.
    locked: BTreeSet<String>,
    capacity: u64,
    short_one_in: u64,
    faults: Vec<Fault>,
    chance: Chance,
    calls: u64,
    harmed: u64,
    trace: VecDeque<Call>,
    manners: Vec<String>,
}

/// The machine the disk is in: what happens to it from outside.
pub(crate) struct Machine(Mutex<State>);

impl fmt::Debug for Machine {
    /// In short: files are long, and what is said of them elsewhere is enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Machine")
    }
}

impl Machine {
    /// With an empty directory and a disk that never fills.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            inodes: BTreeMap::new(),
            inode_next: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            folders: BTreeSet::new(),
            process: 0,
            dead: false,
            locked: BTreeSet::new(),
            capacity: u64::MAX,
            short_one_in: 0,
            faults: Vec::new(),
            chance: Chance::new(seed),
            calls: 0,
            harmed: 0,
            trace: VecDeque::new(),
            manners: Vec::new(),
        })))
    }

    /// The directory as the process sees it that runs now.
    pub(crate) fn disk(self: &Arc<Self>) -> Arc<dyn Disk> {
        let process = self.state().process;
        Arc::new(ModelledDisk { machine: self.clone(), process, folder: String::new(), holds_lock: Mutex::new(false) })
    }

    /// kill -9 and a new process: all open files are dead and the lock is free; what was written is there.
    pub(crate) fn crash_process(&self) {
        let mut state = self.state();
        state.note(Op::Lock, "=== killed", 0, 0);
        state.locked.clear();
        state.restart();
    }

    /// The process has ended by itself, having closed what it closes, and another one comes.
    pub(crate) fn stop_process(&self) {
        let mut state = self.state();
        state.note(Op::Lock, "=== stopped", 0, 0);
        state.restart();
    }

    /// Power off and on again: what was not synced may be there, or not, or in part.
    pub(crate) fn crash_power(&self, seed: u64) {
        let mut state = self.state();
        state.note(Op::Lock, "=== power lost", 0, 0);
        state.locked.clear();
        state.restart();
        let chance = &mut Chance::new(seed);
        let likely = *chance.pick(&[0, 3, 5, 8, 9, 10]);
        let mut stopped: BTreeSet<String> = BTreeSet::new();
        for change in std::mem::take(&mut state.changes) {
            let names = change.what.names();
            if names.iter().all(|name| !stopped.contains(*name)) && chance.below(10) < likely.clamp(1, 9) {
                change.what.apply(&mut state.durable_names);
            } else {
                stopped.extend(names.map(str::to_owned));
            }
        }
        state.names = state.durable_names.clone();
        for inode in state.inodes.values_mut() {
            inode.lose_power(chance, likely);
        }
        state.forget_files();
    }

    /// The system writes some of what is unsynced, as it may at any time.
    pub(crate) fn write_back(&self, seed: u64) {
        let mut state = self.state();
        let chance = &mut Chance::new(seed);
        for inode in state.inodes.values_mut() {
            for sector in inode.dirty.clone() {
                if chance.one_in(2) {
                    inode.persist(sector);
                }
            }
        }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets faults that have not happened yet; says how many there were.
    pub(crate) fn heal(&self) -> usize {
        std::mem::take(&mut self.state().faults).len()
    }

    /// Bytes the disk has room for in all.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// One in so many reads and writes does only a part; 0: none does.
    pub(crate) fn set_short(&self, one_in: u64) {
        self.state().short_one_in = one_in;
    }

    /// Whether the process was killed in a call.
    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Faults that have happened until now.
    pub(crate) fn harmed(&self) -> u64 {
        self.state().harmed
    }

    /// Bytes there is room for.
    pub(crate) fn free(&self) -> u64 {
        self.state().free()
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// Bytes of the files right in the directory, by their lengths.
    pub(crate) fn file_bytes(&self) -> u64 {
        let state = self.state();
        let lengths =
            state.names.iter().filter(|(name, _)| !name.contains('/')).map(|(_, inode)| state.inodes[inode].cache.len());
        lengths.sum::<usize>() as u64
    }

    /// Changes a byte where it lies, whatever was synced; `false`: there is no such place.
    pub(crate) fn flip(&self, name: &str, at: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Some(inode) = state.names.get(name).copied() else { return false };
        let inode = state.inodes.get_mut(&inode).expect("it has a name");
        let at = at as usize;
        if at >= inode.cache.len() || at >= inode.durable.len() {
            return false;
        }
        inode.cache[at] ^= mask;
        inode.durable[at] ^= mask;
        state.note(Op::Lock, &format!("=== flipped a byte of {name}"), at as u64, 1);
        true
    }

    /// Files that were written or synced after a sync of them had failed, by the same process.
    pub(crate) fn bad_manners(&self) -> Vec<String> {
        self.state().manners.clone()
    }

    /// The last calls as lines.
    pub(crate) fn trace(&self) -> String {
        let mut text = String::new();
        for call in &self.state().trace {
            let Call { number, op, name, at, bytes, outcome } = call;
            let _ = writeln!(text, "{number:>7} {op:?} {name} at {at}, {bytes} bytes: {outcome}");
        }
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A failed assertion of a test that holds it must not hide what it says.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self) {
        self.process += 1;
        self.dead = false;
        for inode in self.inodes.values_mut() {
            (inode.handles, inode.sync_failed) = (0, false);
        }
        self.forget_files();
    }

    /// Lets go of files that nobody can reach any more.
    fn forget_files(&mut self) {
        let created = self.changes.iter().filter_map(|change| match change.what {
            What::Create(_, inode) => Some(inode),
            _ => None,
        });
        let named = self.names.values().chain(self.durable_names.values()).copied();
        let kept: BTreeSet<u64> = named.chain(created).collect();
        self.inodes.retain(|number, inode| inode.handles > 0 || kept.contains(number));
    }

    fn note(&mut self, op: Op, name: &str, at: u64, bytes: u64) {
        if self.trace.len() == TRACED {
            self.trace.pop_front();
        }
        self.trace.push_back(Call { number: self.calls, op, name: name.to_owned(), at, bytes, outcome: "ok" });
    }

    /// Notes a call and says what is to become of it.
    fn begin(&mut self, process: u64, op: Op, name: &str, at: u64, bytes: u64) -> Result<(), Harm> {
        if process != self.process || self.dead {
            return Err(Harm::Error(Errno::BADF));
        }
        self.calls += 1;
        self.note(op, name, at, bytes);
        let mut harm = None;
        self.faults.retain_mut(|fault| {
            if harm.is_some() || fault.op.is_some_and(|wanted| wanted != op) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            harm = Some(fault.harm);
            false
        });
        if harm == Some(Harm::Kill) {
            self.dead = true;
        }
        self.harmed += u64::from(harm.is_some());
        self.outcome(match harm {
            None => return Ok(()),
            Some(Harm::Kill) => "killed",
            Some(Harm::Error(_)) => "failed",
        });
        harm.map_or(Ok(()), Err)
    }

    fn outcome(&mut self, outcome: &'static str) {
        if let Some(call) = self.trace.back_mut() {
            call.outcome = outcome;
        }
    }

    /// The same for calls that have no part in being killed.
    fn call(&mut self, process: u64, op: Op, name: &str, at: u64, bytes: u64) -> io::Result<()> {
        self.begin(process, op, name, at, bytes).map_err(Harm::error)
    }

    fn refuse<T>(&mut self, errno: Errno) -> io::Result<T> {
        self.outcome("refused");
        Err(errno.into())
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let held = self.inodes.iter().filter(|(number, inode)| inode.handles > 0 || named.contains(number));
        held.map(|(_, inode)| inode.blocks.len() as u64 * BLOCK).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    /// How many bytes of a write at `at` there is room for.
    fn room(&self, inode: u64, at: u64, bytes: u64) -> u64 {
        let blocks = &self.inodes[&inode].blocks;
        let mut free = self.free() / BLOCK;
        for block in at / BLOCK..(at + bytes).div_ceil(BLOCK) {
            if !blocks.contains(&block) {
                if free == 0 {
                    return (block * BLOCK).saturating_sub(at);
                }
                free -= 1;
            }
        }
        bytes
    }

    fn change(&mut self, what: What) {
        what.apply(&mut self.names);
        self.changes.push(Change { what, forgotten: false });
    }

    fn sync_names(&mut self) {
        // What a failed sync has forgotten stays undecided, unless something later under the same name is made durable.
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut stays = Vec::new();
        for (at, change) in self.changes.iter().enumerate().rev() {
            let names = change.what.names();
            if change.forgotten && names.iter().all(|name| !needed.contains(*name)) {
                stays.push(at);
            } else {
                needed.extend(names.map(str::to_owned));
            }
        }
        for (at, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if stays.contains(&at) {
                self.changes.push(change);
            } else {
                change.what.apply(&mut self.durable_names);
            }
        }
    }
}

impl Harm {
    fn error(self) -> io::Error {
        match self {
            Self::Error(errno) => errno.into(),
            Self::Kill => Errno::IO.into(),
        }
    }
}

/// The directory, or a folder in it, as one process sees it.
#[derive(Debug)]
struct ModelledDisk {
    machine: Arc<Machine>,
    process: u64,
    /// Empty, or a name with a slash behind it.
    folder: String,
    holds_lock: Mutex<bool>,
}

impl ModelledDisk {
    fn begin(&self, op: Op, name: &str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.machine.state();
        state.call(self.process, op, name, 0, 0)?;
        Ok(state)
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn handle(&self, state: &mut State, name: String, inode: u64) -> Arc<dyn DiskFile> {
        state.inodes.get_mut(&inode).expect("it has a name").handles += 1;
        Arc::new(ModelledFile { machine: self.machine.clone(), process: self.process, name, inode })
    }
}

impl Drop for ModelledDisk {
    fn drop(&mut self) {
        let holds = *self.holds_lock.get_mut().expect("nobody panics holding it");
        let mut state = self.machine.state();
        if holds && state.process == self.process {
            state.locked.remove(&self.folder);
        }
    }
}

impl Disk for ModelledDisk {
    fn lock(&self) -> io::Result<bool> {
        let name = self.full_name(LOCK_NAME);
        let mut state = self.begin(Op::Lock, &name)?;
        if !state.names.contains_key(&name) {
            let inode = state.inode_next;
            state.inode_next += 1;
            state.inodes.insert(inode, Inode::default());
            state.change(What::Create(name, inode));
        }
        let was_free = state.locked.insert(self.folder.clone());
        *self.holds_lock.lock().expect("nobody panics holding it") |= was_free;
        Ok(was_free)
    }

    fn list(&self) -> io::Result<Vec<Item>> {
        let state = self.begin(Op::List, &self.folder)?;
        let own = |name: &str| name.strip_prefix(&self.folder).filter(|name| !name.contains('/')).map(str::to_owned);
        let file =
            |(name, inode): (&String, &u64)| Some(Item { name: own(name)?, bytes: Some(state.inodes[inode].cache.len() as u64) });
        let folders = state.folders.iter().filter_map(|name| Some(Item { name: own(name)?, bytes: None }));
        Ok(state.names.iter().filter_map(file).chain(folders).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let name = self.full_name(name);
        let mut state = self.begin(Op::Create, &name)?;
        if state.names.contains_key(&name) {
            return state.refuse(Errno::EXIST);
        }
        let inode = state.inode_next;
        state.inode_next += 1;
        state.inodes.insert(inode, Inode::default());
        state.change(What::Create(name.clone(), inode));
        Ok(self.handle(&mut state, name, inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let name = self.full_name(name);
        let mut state = self.begin(Op::Open, &name)?;
        match state.names.get(&name).copied() {
            Some(inode) => Ok(self.handle(&mut state, name, inode)),
            None => state.refuse(Errno::NOENT),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.full_name(from), self.full_name(to));
        let mut state = self.begin(Op::Rename, &format!("{from} {to}"))?;
        if !state.names.contains_key(&from) {
            return state.refuse(Errno::NOENT);
        }
        state.change(What::Rename(from, to));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.full_name(name);
        let mut state = self.begin(Op::Remove, &name)?;
        if !state.names.contains_key(&name) {
            return state.refuse(Errno::NOENT);
        }
        state.change(What::Remove(name));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.machine.state();
        let begun = state.begin(self.process, Op::SyncDirectory, &self.folder, 0, 0);
        match begun {
            Ok(()) => state.sync_names(),
            Err(Harm::Error(_)) if state.process == self.process => {
                state.changes.iter_mut().for_each(|change| change.forgotten = true);
            }
            Err(_) => {}
        }
        begun.map_err(Harm::error)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.begin(Op::FreeBytes, "")?.free())
    }

    /// Folders are durable at once, which costs nobody anything: what is in them is not.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let name = self.full_name(name);
        self.begin(Op::Directory, &name)?.folders.insert(name.clone());
        let (machine, process) = (self.machine.clone(), self.process);
        Ok(Arc::new(Self { machine, process, folder: format!("{name}/"), holds_lock: Mutex::new(false) }))
    }

    fn path(&self) -> &Path {
        static PATH: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(|| PathBuf::from("modelled"));
        &PATH
    }
}

/// An open file of one process.
#[derive(Debug)]
struct ModelledFile {
    machine: Arc<Machine>,
    process: u64,
    name: String,
    inode: u64,
}

impl ModelledFile {
    fn begin(&self, op: Op, at: u64, bytes: u64) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.machine.state();
        state.call(self.process, op, &self.name, at, bytes)?;
        Ok(state)
    }

    fn inode<'s>(&self, state: &'s mut State) -> &'s mut Inode {
        state.inodes.get_mut(&self.inode).expect("an open file exists")
    }

    /// After a failed sync nobody knows what the file has; to write on as if nothing had been, or to ask again, is wrong.
    fn mind_manners(&self, state: &mut State, what: &str) {
        if self.inode(state).sync_failed {
            let text = format!("{what} of {} after a failed sync, call {}", self.name, state.calls);
            state.manners.push(text);
        }
    }
}

impl Drop for ModelledFile {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if state.process == self.process {
            self.inode(&mut state).handles -= 1;
            if self.inode(&mut state).handles == 0 {
                state.forget_files();
            }
        }
    }
}

impl DiskFile for ModelledFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.begin(Op::Read, at, buf.len() as u64)?;
        let mut wanted = buf.len();
        if state.short_one_in > 0 && wanted > 1 {
            let one_in = state.short_one_in;
            if state.chance.one_in(one_in) {
                wanted = 1 + state.chance.below(wanted as u64 - 1) as usize;
            }
        }
        let cache = &self.inode(&mut state).cache;
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(cache.len());
        let end = start.saturating_add(wanted).min(cache.len());
        buf[..end - start].copy_from_slice(&cache[start..end]);
        Ok(end - start)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let mut bytes = slices.iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
        let mut state = self.machine.state();
        match state.begin(self.process, Op::Write, &self.name, at, bytes.len() as u64) {
            Ok(()) => {}
            Err(Harm::Kill) => {
                let room = state.room(self.inode, at, bytes.len() as u64) as usize;
                bytes.truncate(room);
                let written = state.chance.below(bytes.len() as u64 + 1) as usize;
                if written > 0 {
                    self.inode(&mut state).put(&bytes[..written], at as usize);
                }
                return Err(Harm::Kill.error());
            }
            Err(harm) => return Err(harm.error()),
        }
        self.mind_manners(&mut state, "write");
        let one_in = state.short_one_in;
        if one_in > 0 && bytes.len() > 1 && state.chance.one_in(one_in) {
            let some = 1 + state.chance.below(bytes.len() as u64 - 1);
            bytes.truncate(some as usize);
        }
        let room = state.room(self.inode, at, bytes.len() as u64);
        if room == 0 && !bytes.is_empty() {
            return state.refuse(Errno::NOSPC);
        }
        bytes.truncate(room as usize);
        if !bytes.is_empty() {
            self.inode(&mut state).put(&bytes, at as usize);
        }
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.machine.state();
        let begun = state.begin(self.process, Op::Sync, &self.name, 0, 0);
        match begun {
            Ok(()) => {
                self.mind_manners(&mut state, "sync");
                self.inode(&mut state).sync();
            }
            Err(Harm::Error(_)) if state.process == self.process && !state.dead => self.inode(&mut state).fail_to_sync(),
            Err(_) => {}
        }
        begun.map_err(Harm::error)
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.begin(Op::Bytes, 0, 0)?;
        Ok(self.inode(&mut state).cache.len() as u64)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.begin(Op::SetBytes, 0, bytes)?;
        self.inode(&mut state).set_length(bytes as usize);
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.begin(Op::Reserve, 0, bytes)?;
        if state.room(self.inode, 0, bytes) < bytes {
            return state.refuse(Errno::NOSPC);
        }
        let inode = self.inode(&mut state);
        inode.blocks.extend(0..bytes.div_ceil(BLOCK));
        inode.lengthen(bytes as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use elbow::buffer::disk::read_up_to;
    use elbow::buffer::disk::write_all;

    use super::*;

    fn write(file: &dyn DiskFile, bytes: &[u8], at: u64) -> io::Result<()> {
        write_all(file, &mut [IoSlice::new(bytes)], at)
    }

    fn content(machine: &Arc<Machine>, name: &str) -> Option<Vec<u8>> {
        let file = machine.disk().open(name).ok()?;
        let mut bytes = vec![0; file.bytes().expect("a length") as usize];
        let read = read_up_to(&*file, &mut bytes, 0).expect("readable");
        assert_eq!(read, bytes.len());
        Some(bytes)
    }

    /// A machine on which `old` is durable under the name `a`.
    fn with_file(seed: u64, old: &[u8]) -> Arc<Machine> {
        let machine = Machine::new(seed);
        let disk = machine.disk();
        let file = disk.create("a").expect("new");
        write(&*file, old, 0).expect("room");
        file.sync().expect("no fault");
        disk.sync_directory().expect("no fault");
        machine
    }

    /// What power losses with many seeds leave of the file `a` after `act`; what each leaves is one of these.
    fn outcomes(old: &[u8], act: impl Fn(&Arc<Machine>)) -> BTreeSet<Option<Vec<u8>>> {
        let after = |seed| {
            let machine = with_file(0, old);
            act(&machine);
            machine.crash_power(seed);
            content(&machine, "a")
        };
        (0..200).map(after).collect()
    }

    #[test]
    fn what_was_synced_survives_whatever_the_seed() {
        assert_eq!(outcomes(b"old", |_| {}), [Some(b"old".to_vec())].into());
        let rewritten = outcomes(b"old", |machine| {
            let file = machine.disk().open("a").expect("there");
            write(&*file, b"new!", 0).expect("room");
            file.sync().expect("no fault");
        });
        assert_eq!(rewritten, [Some(b"new!".to_vec())].into());
    }

    #[test]
    fn unsynced_sectors_are_old_or_new_each_for_itself() {
        let old = [[b'o'; SECTOR], [b'o'; SECTOR]].concat();
        let new = [[b'n'; SECTOR], [b'n'; SECTOR]].concat();
        let seen = outcomes(&old, |machine| write(&*machine.disk().open("a").expect("there"), &new, 0).expect("room"));
        let sectors = |first: u8, second: u8| Some([[first; SECTOR], [second; SECTOR]].concat());
        assert_eq!(seen, [sectors(b'o', b'o'), sectors(b'o', b'n'), sectors(b'n', b'o'), sectors(b'n', b'n')].into());
    }

    #[test]
    fn what_was_never_written_may_be_anything_and_so_may_the_length() {
        let seen = outcomes(b"", |machine| {
            write(&*machine.disk().open("a").expect("there"), &[b'n'; 2 * SECTOR], 0).expect("room");
        });
        let seen: Vec<Vec<u8>> = seen.into_iter().map(|content| content.expect("its name is durable")).collect();
        assert!(seen.iter().any(Vec::is_empty));
        assert!(seen.iter().any(|bytes| *bytes == [b'n'; 2 * SECTOR]));
        assert!(seen.iter().any(|bytes| bytes.len() == 2 * SECTOR && bytes[..SECTOR] == [0; SECTOR]), "zeros");
        assert!(seen.iter().any(|bytes| bytes.len() == 2 * SECTOR && ![0, b'n'].contains(&bytes[0])), "garbage");
    }

    #[test]
    fn a_cut_is_undone_or_not_and_what_grows_over_it_is_zeros_once_synced() {
        let cut = |machine: &Arc<Machine>| machine.disk().open("a").expect("there").set_bytes(SECTOR as u64).expect("no fault");
        let seen = outcomes(&[b'o'; 2 * SECTOR], cut);
        assert!(seen.contains(&Some(vec![b'o'; SECTOR])) && seen.contains(&Some(vec![b'o'; 2 * SECTOR])));
        let grown = outcomes(&[b'o'; 2 * SECTOR], |machine| {
            cut(machine);
            let file = machine.disk().open("a").expect("there");
            file.reserve(2 * SECTOR as u64).expect("room");
            file.sync().expect("no fault");
        });
        assert_eq!(grown, [Some([[b'o'; SECTOR], [0; SECTOR]].concat())].into());
    }

    #[test]
    fn a_kill_loses_nothing_but_the_open_files_and_the_lock() {
        let machine = with_file(0, b"old");
        let disk = machine.disk();
        let file = disk.open("a").expect("there");
        write(&*file, b"new", 0).expect("room");
        disk.create("b").expect("new");
        assert!(disk.lock().expect("no fault") && !machine.disk().lock().expect("no fault"));
        machine.crash_process();
        assert!(write(&*file, b"late", 0).is_err() && disk.list().is_err());
        assert_eq!(content(&machine, "a").expect("there"), b"new");
        assert_eq!(content(&machine, "b").expect("there"), b"");
        let later = machine.disk();
        assert!(later.lock().expect("no fault"));
        drop(later);
        assert!(machine.disk().lock().expect("no fault"), "its holder is gone");
    }

    /// The sets of names that power losses leave after `act`.
    fn names_left(act: impl Fn(&Arc<Machine>)) -> BTreeSet<String> {
        let left = |seed| {
            let machine = with_file(0, b"old");
            act(&machine);
            machine.crash_power(seed);
            let items = machine.disk().list().expect("no fault");
            items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        (0..200).map(left).collect()
    }

    #[test]
    fn names_are_durable_when_the_directory_is_synced_and_not_before() {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<String>>();
        let change = |machine: &Arc<Machine>| {
            machine.disk().create("b").expect("new");
            machine.disk().rename("a", "c").expect("there");
        };
        assert_eq!(names_left(change), strings(&["a", "c", "a b", "b c"]), "a file has one of its names");
        let synced = |machine: &Arc<Machine>| {
            change(machine);
            machine.disk().sync_directory().expect("no fault");
        };
        assert_eq!(names_left(synced), strings(&["b c"]));
        let failed = |machine: &Arc<Machine>| {
            change(machine);
            machine.fail(Fault { op: Some(Op::SyncDirectory), skip: 0, harm: Harm::Error(Errno::IO) });
            machine.disk().sync_directory().expect_err("the fault");
            machine.disk().sync_directory().expect("as if nothing had been");
        };
        assert_eq!(names_left(failed), strings(&["a", "c", "a b", "b c"]));
    }

    #[test]
    fn changes_of_one_name_keep_their_order() {
        let seen = names_left(|machine| {
            let disk = machine.disk();
            disk.create("b").expect("new");
            disk.rename("b", "c").expect("there");
            disk.remove("c").expect("there");
        });
        assert_eq!(seen, ["a", "a b", "a c"].map(str::to_owned).into());
    }

    #[test]
    fn a_failed_sync_forgets_what_it_had_to_write() {
        let seen = outcomes(b"old", |machine| {
            let file = machine.disk().open("a").expect("there");
            write(&*file, b"new", 0).expect("room");
            machine.fail(Fault { op: Some(Op::Sync), skip: 0, harm: Harm::Error(Errno::IO) });
            file.sync().expect_err("the fault");
            file.sync().expect("as if nothing had been");
            assert_eq!(content(machine, "a").expect("there"), b"new", "reads do not tell");
            assert_eq!(machine.bad_manners().len(), 1);
        });
        assert_eq!(seen, [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
    }

    #[test]
    fn the_system_may_write_earlier_than_it_must() {
        let seen = outcomes(b"1", |machine| {
            let file = machine.disk().open("a").expect("there");
            write(&*file, b"2", 0).expect("room");
            machine.write_back(0);
            machine.write_back(1);
            machine.write_back(2);
            write(&*file, b"3", 0).expect("room");
        });
        assert_eq!(seen, [Some(b"2".to_vec()), Some(b"3".to_vec())].into());
    }

    #[test]
    fn the_chosen_call_fails_and_no_other() {
        let machine = with_file(0, b"old");
        let disk = machine.disk();
        machine.fail(Fault { op: Some(Op::Remove), skip: 1, harm: Harm::Error(Errno::ACCESS) });
        machine.fail(Fault { op: None, skip: 4, harm: Harm::Error(Errno::IO) });
        disk.create("b").expect("1");
        disk.remove("b").expect("2");
        disk.list().expect("3");
        assert_eq!(Errno::from_io_error(&disk.remove("a").expect_err("the second removal")), Some(Errno::ACCESS));
        disk.list().expect("the other fault does not count what has failed already");
        assert_eq!(Errno::from_io_error(&disk.list().expect_err("the sixth call")), Some(Errno::IO));
        assert_eq!(machine.heal(), 0);
        assert!(machine.trace().lines().any(|line| line.ends_with("Remove a at 0, 0 bytes: failed")), "{}", machine.trace());
    }

    #[test]
    fn a_process_killed_in_a_write_leaves_a_part_of_it_and_does_nothing_more() {
        let left: BTreeSet<usize> = (0..100)
            .map(|seed| {
                let machine = with_file(seed, b"");
                let file = machine.disk().open("a").expect("there");
                machine.fail(Fault { op: Some(Op::Write), skip: 0, harm: Harm::Kill });
                write(&*file, &[1; 3], 0).expect_err("dead");
                assert!(machine.is_dead() && file.sync().is_err() && machine.disk().list().is_err());
                machine.crash_process();
                content(&machine, "a").expect("there").len()
            })
            .collect();
        assert_eq!(left, [0, 1, 2, 3].into());
    }

    #[test]
    fn room_is_taken_by_the_block_and_given_back() {
        let machine = Machine::new(0);
        machine.set_capacity(3 * BLOCK);
        let disk = machine.disk();
        let file = disk.create("a").expect("new");
        file.reserve(4 * BLOCK).expect_err("too much");
        assert_eq!((file.bytes().expect("a length"), disk.free_bytes().expect("no fault")), (0, 3 * BLOCK));
        file.reserve(2 * BLOCK).expect("room");
        let other = disk.create("b").expect("new");
        let long = vec![1; 2 * BLOCK as usize];
        assert_eq!(other.write_at(&[IoSlice::new(&long)], 0).expect("room for half"), BLOCK as usize);
        let error = other.write_at(&[IoSlice::new(&long)], BLOCK).expect_err("no room");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC));
        assert_eq!(file.write_at(&[IoSlice::new(&long)], 0).expect("reserved"), long.len());
        disk.remove("b").expect("there");
        assert_eq!(disk.free_bytes().expect("no fault"), 0, "it is open");
        drop(other);
        assert_eq!(disk.free_bytes().expect("no fault"), BLOCK);
        file.set_bytes(1).expect("no fault");
        assert_eq!((disk.free_bytes().expect("no fault"), machine.file_bytes()), (2 * BLOCK, 1));
    }

    #[test]
    fn short_reads_and_writes_do_a_part_of_their_work() {
        let machine = with_file(7, &[]);
        machine.set_short(2);
        let file = machine.disk().open("a").expect("there");
        let bytes: Vec<u8> = (0..=255).collect();
        let some: BTreeSet<bool> = (0..50).map(|_| file.write_at(&[IoSlice::new(&bytes)], 0).expect("room") < 256).collect();
        assert_eq!(some, [false, true].into());
        write(&*file, &bytes, 0).expect("room");
        assert_eq!(content(&machine, "a").expect("there"), bytes);
    }

    #[test]
    fn folders_keep_their_files_to_themselves() {
        let machine = with_file(0, b"old");
        let folder = machine.disk().directory("folder").expect("no fault");
        folder.create("b").expect("new");
        assert_eq!(folder.list().expect("no fault"), [Item { name: "b".to_owned(), bytes: Some(0) }]);
        let top = machine.disk().list().expect("no fault");
        let want = [Item { name: "a".to_owned(), bytes: Some(3) }, Item { name: "folder".to_owned(), bytes: None }];
        assert_eq!(top, want);
    }

    #[test]
    fn a_flipped_byte_is_flipped_for_good() {
        let machine = with_file(0, b"old");
        assert!(machine.flip("a", 1, 1) && !machine.flip("a", 3, 1) && !machine.flip("b", 0, 1));
        assert_eq!(content(&machine, "a").expect("there"), b"omd");
        machine.crash_power(0);
        assert_eq!(content(&machine, "a").expect("there"), b"omd");
    }
}
