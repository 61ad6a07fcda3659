//! Zstandard, frame by frame, so that memory can be set aside for the window of each before it is unpacked.
//!
//! It looks at no more of a frame's head than its window; all else is for the library to judge. It decides nothing about how much
//! memory there is.

use std::io;
use std::io::BufRead;

use zstd::stream::raw::DParameter;
use zstd::stream::raw::Decoder;
use zstd::stream::raw::Operation;

use super::Packed;

pub(super) const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Largest window of a frame, as the power of two of its bytes: the 8 MiB that RFC 8878 asks decoders to support.
pub(super) const WINDOW_LOG_MAX: u32 = 23;

/// Memory that the library takes for its tables, and most of a block, of which it keeps two, in bytes.
const TABLES_BYTES: u64 = 128 << 10;
const BLOCK_BYTES_MAX: u64 = 128 << 10;

/// A body of frames.
pub(super) struct Frames {
    decoder: Decoder<'static>,
    pub(super) packed: Packed,
    /// Whether a frame has ended, or none has begun.
    is_between: bool,
}

impl Frames {
    pub(super) fn new(packed: Packed) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { decoder, packed, is_between: true })
    }

    /// Bytes of memory it needs to go on from here; nothing where too little of a frame has come to tell.
    pub(super) fn wanted_bytes(&self) -> Option<u64> {
        if !self.is_between || self.packed.bytes.is_empty() {
            return Some(TABLES_BYTES);
        }
        match window_bytes(&self.packed.bytes) {
            // A larger one is refused.
            Some(window) => {
                let window = window.min(1 << WINDOW_LOG_MAX);
                Some(TABLES_BYTES + window + 2 * window.min(BLOCK_BYTES_MAX))
            }
            None if self.packed.ended => Some(TABLES_BYTES),
            None => None,
        }
    }

    /// The next plain bytes, of which there are none at the end; nothing where a frame has ended, and the next may need more.
    /// For what [`wanted_bytes`](Self::wanted_bytes) says there has to be room.
    ///
    /// # Errors
    /// When the bytes are no frames, or stop in the middle; [`WouldBlock`](io::ErrorKind::WouldBlock) when more have to come.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.is_between && self.packed.fill_buf()?.is_empty() {
            return Ok(Some(0));
        }
        loop {
            // It may have plain bytes left from before, and so is asked without new ones, too.
            let status = self.decoder.run_on_buffers(&self.packed.bytes, buffer)?;
            self.packed.consume(status.bytes_read);
            self.is_between = status.remaining == 0;
            match status.bytes_written {
                0 if self.is_between => return Ok(None),
                0 if status.bytes_read > 0 => {}
                0 if self.packed.fill_buf()?.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that does not go on")),
                count => return Ok(Some(count)),
            }
        }
    }
}

/// Bytes of the window of the frame that begins so, as RFC 8878 has it; nothing where too little has come to tell.
fn window_bytes(head: &[u8]) -> Option<u64> {
    let magic = head.get(..MAGIC.len())?;
    // A frame to be skipped, or no frame.
    if magic != MAGIC {
        return Some(0);
    }
    let descriptor = *head.get(4)?;
    if descriptor & 0x20 == 0 {
        let window = *head.get(5)?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // All of its content is the window.
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_bytes = 1 << (descriptor >> 6);
    let size = head.get(5 + dictionary_bytes..5 + dictionary_bytes + size_bytes)?;
    let mut bytes = [0; 8];
    bytes[..size_bytes].copy_from_slice(size);
    Some(u64::from_le_bytes(bytes).saturating_add(if size_bytes == 2 { 256 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(frame: &[u8], least: u64, most: u64) {
        let window = window_bytes(frame).expect("all of it is there");
        assert!((least..=most).contains(&window), "{window} bytes: {}", frame[..frame.len().min(20)].escape_ascii());
        let head = (0..frame.len()).find(|length| window_bytes(&frame[..*length]).is_some()).expect("it is known before the end");
        assert!((6..=17).contains(&head), "{head} bytes tell");
    }

    #[test]
    fn the_window_of_a_frame_stands_in_its_head() {
        for (length, level) in [(1, 1), (255, 3), (256, 3), (70_000, 3), (3 << 20, 19)] {
            let plain = vec![b'x'; length];
            let whole = zstd::bulk::compress(&plain, level).expect("memory takes everything");
            check(&whole, length as u64, length.max(1024) as u64);
        }
        for log in [10, 17, 23, 27] {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes everything");
            encoder.window_log(log).expect("a window");
            encoder.write_all(b"of unknown length").expect("memory takes everything");
            check(&encoder.finish().expect("memory takes everything"), 1 << log, 1 << log);
        }
        assert_eq!(window_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0skip"), Some(0));
        assert_eq!(window_bytes(&MAGIC[..3]), None);
    }
}
