//! From frame to frame in one segment, past whatever is damaged.
//!
//! It says what it found and decides nothing: an error of the disk is an error, wrong bytes are a finding.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::disk::DiskFile;
use crate::buffer::disk::read_up_to;
use crate::buffer::format::BLOCK;
use crate::buffer::format::FRAME_HEADER;
use crate::buffer::format::FrameHeader;
use crate::buffer::format::MARKER;
use crate::buffer::format::Seed;

/// What stands at a place in a segment.
#[derive(Debug)]
pub enum Found {
    /// A frame whose bytes are what was written.
    Frame {
        /// Its offset in the file.
        at: u64,
        /// Its header.
        header: FrameHeader,
        /// Its payload.
        payload: Bytes,
    },
    /// Wrong bytes with a good frame behind them.
    Damage {
        /// Their offset in the file.
        at: u64,
        /// How many.
        bytes: u64,
    },
    /// No further frame.
    End {
        /// Offset behind the last frame.
        at: u64,
    },
}

/// A place in a segment.
#[derive(Debug)]
pub struct Walk {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    at: u64,
}

/// Bytes looked at in one go while searching.
const SEARCH_BYTES: usize = 64 * 1024;

impl Walk {
    /// At the first frame of a segment.
    pub fn new(file: Arc<dyn DiskFile>, seed: Seed) -> Self {
        Self { file, seed, at: BLOCK }
    }

    /// At another frame.
    pub fn at(file: Arc<dyn DiskFile>, seed: Seed, at: u64) -> Self {
        Self { file, seed, at }
    }

    /// The file walked through.
    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Offset of what comes next.
    pub fn place(&self) -> u64 {
        self.at
    }

    /// Goes back to a frame that has been passed.
    pub fn back_to(&mut self, at: u64) {
        self.at = at;
    }

    /// What comes next before `limit`, and moves behind it. At the end it stays there, so that it can go on when there is more.
    ///
    /// # Errors
    /// What the disk says. Nothing is passed then.
    pub fn next(&mut self, limit: u64) -> io::Result<Found> {
        if let Some((header, payload)) = self.frame_at(self.at, limit)? {
            let at = self.at;
            self.at += header.frame_bytes();
            return Ok(Found::Frame { at, header, payload });
        }
        let at = self.at;
        let Some(next) = self.search(limit)? else { return Ok(Found::End { at }) };
        self.at = next;
        Ok(Found::Damage { at, bytes: next - at })
    }

    /// The good frame at this place.
    fn frame_at(&self, at: u64, limit: u64) -> io::Result<Option<(FrameHeader, Bytes)>> {
        let payload_at = at + FRAME_HEADER as u64;
        if payload_at > limit {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER];
        let read = read_up_to(&*self.file, &mut bytes, at)?;
        let Some(header) = FrameHeader::decode(&bytes[..read], self.seed) else { return Ok(None) };
        if payload_at + u64::from(header.payload_bytes) > limit {
            return Ok(None);
        }
        let mut payload = vec![0; header.payload_bytes as usize];
        let read = read_up_to(&*self.file, &mut payload, payload_at)?;
        let whole = read == payload.len() && self.seed.crc([&payload[..]]) == header.payload_crc;
        Ok(whole.then(|| (header, payload.into())))
    }

    /// Where the next good frame begins.
    fn search(&self, limit: u64) -> io::Result<Option<u64>> {
        let mut chunk = vec![0; SEARCH_BYTES];
        let mut from = self.at + BLOCK;
        while from < limit {
            let wanted = usize::try_from(limit - from).unwrap_or(SEARCH_BYTES).min(SEARCH_BYTES);
            let read = read_up_to(&*self.file, &mut chunk[..wanted], from)?;
            for (block, at) in chunk[..read].chunks(BLOCK as usize).zip((from..).step_by(BLOCK as usize)) {
                if block.starts_with(&MARKER) && self.frame_at(at, limit)?.is_some() {
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

    /// Whether a frame was begun here and is not whole. What else may stand behind the last frame says nothing: it can be from an
    /// earlier life of the file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn is_torn(&self, limit: u64) -> io::Result<bool> {
        let mut head = [0; FRAME_HEADER];
        let wanted = usize::try_from(limit.saturating_sub(self.at)).unwrap_or(head.len()).min(head.len());
        let read = read_up_to(&*self.file, &mut head[..wanted], self.at)?;
        Ok(FrameHeader::decode(&head[..read], self.seed).is_some())
    }
}
