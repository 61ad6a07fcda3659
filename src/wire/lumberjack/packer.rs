//! Events to windows: an announcement, and numbered events behind it, plain or together in one compressed frame.
//!
//! It writes what it is given and does not look into it. When a window goes out, and what becomes of it, is not its business.

use flate2::Compress;
use flate2::Compression;
use flate2::FlushCompress;

use super::VERSION;

/// Bytes compressed at once: frames are collected up to here, because a call for each costs more than the copy.
const COLLECTED_BYTES: usize = 32 * 1024;

/// Room made for what comes out of the compressor, again and again while there is more of it.
const ROOM_BYTES: usize = 16 * 1024;

/// The writer of windows, one after the other. Each numbers its events from 1: servers that answer with the highest number and
/// those that answer with a count then mean the same.
#[derive(Debug)]
pub struct Packer {
    zlib: Option<Compress>,
    /// Frames that are to be compressed.
    collected: Vec<u8>,
    /// Where the length of the compressed frame stands.
    length_at: usize,
    announced: u32,
    written: u32,
}

impl Packer {
    /// Bytes that a window has for each event beside its JSON, before it is compressed.
    pub const EACH: usize = 10;

    /// A writer that compresses with this level of zlib; with none at 0. A compressor takes about 300 KiB.
    ///
    /// # Panics
    /// When the level is over 9.
    pub fn new(level: u32) -> Self {
        assert!(level <= 9, "zlib has no level {level}");
        let zlib = (level > 0).then(|| Compress::new(Compression::new(level), true));
        Self { zlib, collected: Vec::new(), length_at: 0, announced: 0, written: 0 }
    }

    /// Begins a window of so many events behind what is in `out`.
    pub fn begin(&mut self, events: u32, out: &mut Vec<u8>) {
        debug_assert_eq!(self.announced, self.written, "a window has as many events as it announces");
        (self.announced, self.written) = (events, 0);
        out.extend_from_slice(&[VERSION, b'W']);
        out.extend_from_slice(&events.to_be_bytes());
        if let Some(zlib) = &mut self.zlib {
            zlib.reset();
            out.extend_from_slice(&[VERSION, b'C']);
            self.length_at = out.len();
            out.extend_from_slice(&[0; 4]);
        }
    }

    /// Adds an event, as JSON on one line without its newline.
    ///
    /// # Panics
    /// When the event has 4 GiB or more.
    pub fn event(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.written += 1;
        let length = u32::try_from(json.len()).expect("an event fits into a batch, whose places are u32");
        let is_plain = self.zlib.is_none();
        let to = if is_plain { &mut *out } else { &mut self.collected };
        to.extend_from_slice(&[VERSION, b'J']);
        to.extend_from_slice(&self.written.to_be_bytes());
        to.extend_from_slice(&length.to_be_bytes());
        to.extend_from_slice(json);
        if self.collected.len() >= COLLECTED_BYTES {
            self.compress(FlushCompress::None, out);
        }
    }

    /// Ends the window.
    ///
    /// # Panics
    /// When its compressed frame has 4 GiB or more.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.announced, self.written, "a window has as many events as it announces");
        if self.zlib.is_some() {
            self.compress(FlushCompress::Finish, out);
            let length = out.len() - self.length_at - 4;
            let length = u32::try_from(length).expect("windows are bounded far below");
            out[self.length_at..self.length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Compresses what is collected.
    fn compress(&mut self, flush: FlushCompress, out: &mut Vec<u8>) {
        let Some(zlib) = &mut self.zlib else { return };
        let mut rest = &self.collected[..];
        let is_last = matches!(flush, FlushCompress::Finish);
        loop {
            out.reserve(ROOM_BYTES);
            let before = zlib.total_in();
            let status = zlib.compress_vec(rest, out, flush).expect("a compressor that was begun takes everything");
            let taken = usize::try_from(zlib.total_in() - before).expect("at most what was given");
            rest = &rest[taken..];
            let is_done = if is_last { status == flate2::Status::StreamEnd } else { rest.is_empty() };
            if is_done {
                break;
            }
        }
        self.collected.clear();
    }
}
