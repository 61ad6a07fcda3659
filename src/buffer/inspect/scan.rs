//! One segment from its first frame to its last: what is there, what is wrong bytes, and how it ends.
//!
//! Frames that follow one another are kept as one run, so that a large segment takes no more memory than a small one. It
//! changes nothing and believes no number before it has been compared with the length of the file.

use std::io;
use std::sync::Arc;

use crate::buffer::disk::DiskFile;
use crate::buffer::disk::read_up_to;
use crate::buffer::format::BLOCK;
use crate::buffer::format::FRAME_HEADER;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::MARKER;
use crate::buffer::format::Point;
use crate::buffer::format::Seed;
use crate::buffer::frame::SourceNames;
use crate::buffer::frame::decode;
use crate::buffer::walk::Found;
use crate::buffer::walk::Walk;

/// How much of a segment is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The heads of frames: what stands behind a good head is believed. One small read a frame.
    Heads,
    /// Every byte, each CRC compared and each payload taken apart.
    Everything,
}

/// Frames that follow one another in a file and in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Offset of the first one.
    pub at: u64,
    /// How many.
    pub frames: u64,
    /// Where the first entry stands.
    pub from: Point,
    /// The place behind the last one.
    pub to: Point,
}

/// Bytes between frames that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Their offset in the file.
    pub at: u64,
    /// How many.
    pub bytes: u64,
}

/// What stands behind the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the end of the file, zeros, or the frame of an earlier life of this file.
    Nothing,
    /// The head of a frame without the whole of its payload.
    Torn,
    /// Bytes of no meaning: a write that was cut short, or the middle of what an earlier life of this file had there.
    Remains,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Its good frames, in the order of the file.
    pub runs: Vec<Run>,
    /// What lies between them.
    pub damage: Vec<Damage>,
    /// Offset behind the last frame.
    pub end: u64,
    /// What stands there.
    pub tail: Tail,
}

/// Bytes looked at in one go while searching.
const SEARCH_BYTES: usize = 64 * 1024;

/// Places and counts in a sound head are below this: as many events would take centuries. Sums of them cannot overflow.
const PLACE_MAX: u64 = 1 << 62;

/// Whether the places in a head are such as there can be; a CRC says nothing about whoever made it.
pub(super) fn is_plausible(header: &FrameHeader) -> bool {
    let Point { seq, event, byte } = header.end();
    header.entries > 0 && [seq, event, byte].iter().all(|&place| place < PLACE_MAX)
}

impl Scan {
    /// Reads a segment of a file with so many bytes.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn of(file: Arc<dyn DiskFile>, seed: Seed, file_bytes: u64, depth: Depth) -> io::Result<Self> {
        let mut scan = Self { runs: Vec::new(), damage: Vec::new(), end: BLOCK, tail: Tail::Nothing };
        let names = SourceNames::default();
        let mut walk = Walk::new(file.clone(), seed);
        loop {
            let at = scan.end;
            match depth {
                Depth::Everything => match walk.next(file_bytes)? {
                    Found::Frame { header, payload, .. } => {
                        let is_whole = is_plausible(&header) && decode(&header, &payload, &names).is_ok();
                        scan.frame(&header, is_whole);
                    }
                    Found::Damage { at, bytes } => scan.damaged(at, bytes),
                    Found::End { .. } => break,
                },
                Depth::Heads => match head_at(&*file, seed, at, file_bytes)? {
                    Some(header) => scan.frame(&header, is_plausible(&header)),
                    None => match search(&*file, seed, at, file_bytes)? {
                        Some(next) => scan.damaged(at, next - at),
                        None => break,
                    },
                },
            }
        }
        scan.tail = tail(&*file, seed, scan.end, file_bytes)?;
        Ok(scan)
    }

    fn frame(&mut self, header: &FrameHeader, is_whole: bool) {
        let at = self.end;
        if !is_whole {
            self.damaged(at, header.frame_bytes());
            return;
        }
        self.end = at + header.frame_bytes();
        let follows = self.damage.last().is_none_or(|damage| damage.at + damage.bytes < at);
        match self.runs.last_mut() {
            Some(run) if follows && run.to == header.first => {
                run.frames += 1;
                run.to = header.end();
            }
            _ => self.runs.push(Run { at, frames: 1, from: header.first, to: header.end() }),
        }
    }

    fn damaged(&mut self, at: u64, bytes: u64) {
        self.end = at + bytes;
        match self.damage.last_mut() {
            Some(last) if last.at + last.bytes == at => last.bytes += bytes,
            _ => self.damage.push(Damage { at, bytes }),
        }
    }

    /// Frames in it, copies included.
    pub fn frames(&self) -> u64 {
        self.runs.iter().map(|run| run.frames).sum()
    }

    /// Entries, events and bytes in it, copies included.
    pub fn totals(&self) -> Point {
        let each = self.runs.iter().map(|run| distance(run.from, run.to));
        each.fold(Point::default(), |sum, one| Point {
            seq: sum.seq.saturating_add(one.seq),
            event: sum.event.saturating_add(one.event),
            byte: sum.byte.saturating_add(one.byte),
        })
    }
}

/// What lies between two places; nothing where they are the wrong way round.
pub(super) fn distance(from: Point, to: Point) -> Point {
    Point {
        seq: to.seq.saturating_sub(from.seq),
        event: to.event.saturating_sub(from.event),
        byte: to.byte.saturating_sub(from.byte),
    }
}

/// The good head at this place of a frame that has room in the file.
fn head_at(file: &dyn DiskFile, seed: Seed, at: u64, file_bytes: u64) -> io::Result<Option<FrameHeader>> {
    let mut bytes = [0; FRAME_HEADER];
    if at + FRAME_HEADER as u64 > file_bytes {
        return Ok(None);
    }
    let read = read_up_to(file, &mut bytes, at)?;
    let fits = |header: &FrameHeader| at + FRAME_HEADER as u64 + u64::from(header.payload_bytes) <= file_bytes;
    Ok(FrameHeader::decode(&bytes[..read], seed).filter(fits))
}

/// Where the next good head stands.
fn search(file: &dyn DiskFile, seed: Seed, behind: u64, file_bytes: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; SEARCH_BYTES];
    let mut from = behind + BLOCK;
    while from < file_bytes {
        let wanted = usize::try_from(file_bytes - from).unwrap_or(SEARCH_BYTES).min(SEARCH_BYTES);
        let read = read_up_to(file, &mut chunk[..wanted], from)?;
        for (block, at) in chunk[..read].chunks(BLOCK as usize).zip((from..).step_by(BLOCK as usize)) {
            if block.starts_with(&MARKER) && head_at(file, seed, at, file_bytes)?.is_some() {
                return Ok(Some(at));
            }
        }
        if read < wanted {
            break;
        }
        from += SEARCH_BYTES as u64;
    }
    Ok(None)
}

fn tail(file: &dyn DiskFile, seed: Seed, at: u64, file_bytes: u64) -> io::Result<Tail> {
    let mut block = [0; BLOCK as usize];
    let wanted = usize::try_from(file_bytes.saturating_sub(at)).unwrap_or(block.len()).min(block.len());
    let read = read_up_to(file, &mut block[..wanted], at)?;
    let block = &block[..read];
    if FrameHeader::decode(block, seed).is_some() {
        return Ok(Tail::Torn);
    }
    let is_nothing = block.starts_with(&MARKER) || block.iter().all(|&byte| byte == 0);
    Ok(if is_nothing { Tail::Nothing } else { Tail::Remains })
}

/// Where in a run the frame begins that has this entry; `None`: it is not there any more.
pub(super) fn frame_of(file: &dyn DiskFile, seed: Seed, run: &Run, seq: u64) -> io::Result<Option<u64>> {
    let (file_bytes, mut at) = (file.bytes()?, run.at);
    while let Some(header) = head_at(file, seed, at, file_bytes)? {
        if header.end().seq > seq {
            return Ok(Some(at));
        }
        at += header.frame_bytes();
    }
    Ok(None)
}
