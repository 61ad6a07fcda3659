//! Bodies as senders have packed them, unpacked piece by piece.
//!
//! A machine that is given packed bytes and gives plain ones into a buffer of the caller, so that a small body that unpacks to
//! very much costs as little memory as any other. It reads nothing, and the caller holds limits on sizes.

mod frames;

use std::io;
use std::io::BufRead;
use std::io::Read;

use bytes::Buf;
use bytes::Bytes;
use flate2::bufread::DeflateDecoder;
use flate2::bufread::MultiGzDecoder;
use flate2::bufread::ZlibDecoder;
use frames::Frames;

/// How a body is packed, as its sender says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// It says nothing: what its first bytes are, is taken for what they look like.
    Unnamed,
    /// Not at all, and that is said.
    Identity,
    /// gzip, one member or several.
    Gzip,
    /// zlib, or deflate without anything around it, as some senders understand the word.
    Deflate,
    /// Zstandard, one frame or several.
    Zstd,
}

impl Coding {
    /// What a `Content-Encoding` asks for; `None`: nobody here knows it.
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let known = [
            (&b""[..], Self::Unnamed),
            (b"identity", Self::Identity),
            (b"gzip", Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"deflate", Self::Deflate),
            (b"zstd", Self::Zstd),
        ];
        known.into_iter().find_map(|(name, coding)| value.eq_ignore_ascii_case(name).then_some(coding))
    }
}

/// Memory that inflating takes, in bytes: a window of 32 KiB and tables.
const INFLATE_BYTES: u64 = 64 << 10;

/// Bytes that tell how an unnamed body is packed, and deflate from zlib.
const TELLING_BYTES: usize = 4;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// Packed bytes that came, as a reader that says when it has to wait for more.
#[derive(Debug, Default)]
struct Packed {
    bytes: Bytes,
    ended: bool,
}

impl Read for Packed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// What unpacks one body.
pub struct Unpacker {
    state: State,
    /// Bytes of memory that are set aside for it.
    set_aside: u64,
}

enum State {
    /// Too little has come to tell.
    Undecided(Coding, Packed),
    Plain(Packed),
    Gzip(MultiGzDecoder<Packed>),
    Zlib(ZlibDecoder<Packed>),
    Deflate(DeflateDecoder<Packed>),
    Zstd(Frames),
}

/// What one step gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// Plain bytes, at least one.
    Bytes(&'b [u8]),
    /// Nothing before so many bytes of memory are [set aside](Unpacker::set_aside) in all.
    Wants(u64),
    /// Nothing before more packed bytes come.
    Starved,
    /// All there is.
    End,
}

impl Unpacker {
    /// For a body that is packed so.
    pub fn new(coding: Coding) -> Self {
        Self { state: State::Undecided(coding, Packed::default()), set_aside: 0 }
    }

    /// Bytes of memory that it needs to go on from here; nothing where too little has come to tell.
    fn wanted_bytes(&self) -> Option<u64> {
        match &self.state {
            State::Undecided(..) => None,
            State::Plain(_) => Some(0),
            State::Gzip(_) | State::Zlib(_) | State::Deflate(_) => Some(INFLATE_BYTES),
            State::Zstd(frames) => frames.wanted_bytes(),
        }
    }

    /// So many bytes of memory are set aside for it.
    pub fn set_aside(&mut self, bytes: u64) {
        self.set_aside = bytes;
    }

    /// Decides how the body is unpacked, once enough of it is there; says whether it was.
    ///
    /// # Errors
    /// When nothing can be made to unpack it.
    pub fn decide(&mut self) -> io::Result<bool> {
        let State::Undecided(coding, packed) = &mut self.state else { return Ok(true) };
        if packed.bytes.len() < TELLING_BYTES && !packed.ended {
            return Ok(false);
        }
        let (coding, packed) = (*coding, std::mem::take(packed));
        // A body of nothing is nothing, whatever it is packed with.
        self.state = match coding {
            _ if packed.bytes.is_empty() => State::Plain(packed),
            Coding::Identity => State::Plain(packed),
            Coding::Gzip => State::Gzip(MultiGzDecoder::new(packed)),
            Coding::Zstd => State::Zstd(Frames::new(packed)?),
            Coding::Deflate if is_zlib(&packed.bytes) => State::Zlib(ZlibDecoder::new(packed)),
            Coding::Deflate => State::Deflate(DeflateDecoder::new(packed)),
            // No text begins like these.
            Coding::Unnamed if packed.bytes.starts_with(GZIP_MAGIC) => State::Gzip(MultiGzDecoder::new(packed)),
            Coding::Unnamed if packed.bytes.starts_with(frames::MAGIC) => State::Zstd(Frames::new(packed)?),
            Coding::Unnamed => State::Plain(packed),
        };
        Ok(true)
    }

    /// More packed bytes. Those before need not be used up, but then these are copied.
    pub fn push(&mut self, bytes: Bytes) {
        let packed = self.packed();
        packed.bytes = if packed.bytes.is_empty() { bytes } else { Bytes::from([&packed.bytes[..], &bytes[..]].concat()) };
    }

    /// No more will come.
    pub fn end(&mut self) {
        self.packed().ended = true;
    }

    /// The next plain bytes, in `buffer` or where they lie, at most as many as fit there.
    ///
    /// # Errors
    /// When the bytes are not packed as was said, or stop in the middle.
    pub fn step<'b>(&'b mut self, buffer: &'b mut [u8]) -> io::Result<Step<'b>> {
        self.decide()?;
        let read = loop {
            match self.wanted_bytes() {
                None => return Ok(Step::Starved),
                Some(bytes) if bytes > self.set_aside => return Ok(Step::Wants(bytes)),
                Some(_) => {}
            }
            let read = match &mut self.state {
                State::Undecided(..) => return Ok(Step::Starved),
                State::Plain(packed) => packed.read(buffer).map(Some),
                State::Gzip(decoder) => decoder.read(buffer).map(Some),
                State::Zlib(decoder) => decoder.read(buffer).map(Some),
                State::Deflate(decoder) => decoder.read(buffer).map(Some),
                State::Zstd(frames) => frames.read(buffer),
            };
            // The next frame may need more memory than the one that has ended.
            if let Some(read) = read.transpose() {
                break read;
            }
        };
        match read {
            Ok(0) if self.packed().bytes.is_empty() && self.packed().ended => Ok(Step::End),
            // Behind its end nothing is expected; what may still come is looked at when it does.
            Ok(0) if self.packed().bytes.is_empty() => Ok(Step::Starved),
            Ok(0) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes behind its end")),
            Ok(count) => Ok(Step::Bytes(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Starved),
            Err(error) => Err(error),
        }
    }

    fn packed(&mut self) -> &mut Packed {
        match &mut self.state {
            State::Undecided(_, packed) | State::Plain(packed) => packed,
            State::Gzip(decoder) => decoder.get_mut(),
            State::Zlib(decoder) => decoder.get_mut(),
            State::Deflate(decoder) => decoder.get_mut(),
            State::Zstd(frames) => &mut frames.packed,
        }
    }
}

/// Whether these are the first bytes of a zlib stream, as RFC 1950 has them.
fn is_zlib(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[0] & 0x0f == 8 && bytes[0] >> 4 <= 7 && u16::from_be_bytes([bytes[0], bytes[1]]).is_multiple_of(31)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// What a body unpacks to that comes in such chunks, by steps of so many bytes.
    fn unpack(coding: Coding, body: &[u8], chunk: usize, step: usize) -> io::Result<Vec<u8>> {
        let (mut unpacker, mut buffer, mut plain) = (Unpacker::new(coding), vec![0; step], Vec::new());
        let mut chunks = body.chunks(chunk);
        let mut ended = false;
        loop {
            match unpacker.step(&mut buffer)? {
                Step::Bytes(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= step);
                    plain.extend_from_slice(bytes);
                }
                Step::Wants(bytes) => unpacker.set_aside(bytes),
                Step::End => {
                    assert!(ended, "it ends when its bytes do");
                    return Ok(plain);
                }
                Step::Starved => {
                    // Nothing more comes: it stops in the middle.
                    if ended {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    match chunks.next() {
                        Some(chunk) => unpacker.push(Bytes::copy_from_slice(chunk)),
                        None => {
                            ended = true;
                            unpacker.end();
                        }
                    }
                }
            }
        }
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(plain).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(plain).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    }

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(plain).expect("memory takes everything");
        encoder.finish().expect("memory takes everything")
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 3).expect("memory takes everything")
    }

    #[test]
    fn names_of_codings_are_known_or_not() {
        for (name, coding) in [
            ("", Some(Coding::Unnamed)),
            (" GZip ", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("zstd", Some(Coding::Zstd)),
            ("identity", Some(Coding::Identity)),
            ("br", None),
            ("gzip, gzip", None),
        ] {
            assert_eq!(Coding::from_header(name.as_bytes()), coding, "{name}");
        }
    }

    #[test]
    fn a_window_larger_than_is_supported_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes everything");
        encoder.window_log(frames::WINDOW_LOG_MAX + 1).expect("a window");
        encoder.write_all(&vec![b'x'; 32 << 20]).expect("memory takes everything");
        let body = encoder.finish().expect("memory takes everything");
        unpack(Coding::Zstd, &body, 1 << 20, 1 << 16).expect_err("it is too large");
    }

    /// The most that is set aside for this body, which comes in one piece.
    fn set_aside(coding: Coding, body: &[u8]) -> u64 {
        let (mut unpacker, mut buffer, mut most) = (Unpacker::new(coding), vec![0; 1 << 16], 0);
        unpacker.push(Bytes::copy_from_slice(body));
        loop {
            match unpacker.step(&mut buffer).expect("it is sound") {
                Step::Bytes(_) => {}
                Step::Wants(bytes) => {
                    assert!(bytes > most, "{bytes} bytes after {most}");
                    most = bytes;
                    unpacker.set_aside(bytes);
                }
                Step::Starved | Step::End => return most,
            }
        }
    }

    #[test]
    fn as_much_is_set_aside_as_a_frame_says_it_needs() {
        let windowed = |log: u32| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes everything");
            encoder.window_log(log).expect("a window");
            encoder.write_all(b"x").expect("memory takes everything");
            encoder.finish().expect("memory takes everything")
        };
        assert_eq!(set_aside(Coding::Zstd, &windowed(23)[..5]), 0, "nothing is known yet");
        assert!(set_aside(Coding::Zstd, &windowed(23)[..6]) >= 8 << 20, "this is");
        assert!(set_aside(Coding::Zstd, &zstd::bulk::compress(b"x", 3).expect("memory takes everything")) < 256 << 10);
        let (small, large) = (windowed(10), windowed(20));
        assert!(set_aside(Coding::Zstd, &small) < 256 << 10);
        assert!(((1 << 20)..(2 << 20)).contains(&set_aside(Coding::Zstd, &[&small[..], &large, &small].concat())));
        assert_eq!(set_aside(Coding::Gzip, &gzip(b"x")), INFLATE_BYTES);
        assert_eq!(set_aside(Coding::Identity, b"xxxx"), 0);
    }

    #[test]
    fn very_many_empty_frames_and_frames_to_be_skipped_are_nothing() {
        let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
        let body = [&zstd(b"").repeat(10_000)[..], skipped, &zstd(b"x"), skipped].concat();
        for chunk in [1, 7, 1 << 16] {
            assert_eq!(unpack(Coding::Zstd, &body, chunk, 100).expect("it is whole"), b"x");
        }
    }

    #[test]
    fn what_is_behind_the_end_is_no_part_of_it() {
        for (coding, body) in [(Coding::Gzip, gzip(b"x")), (Coding::Deflate, zlib(b"x")), (Coding::Zstd, zstd(b"x"))] {
            assert_eq!(unpack(coding, &body, 5, 64).expect("it is whole"), b"x");
            unpack(coding, &[&body[..], b"garbage"].concat(), 5, 64).expect_err("something follows");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_out_however_it_is_cut(
            plain in proptest::collection::vec(any::<u8>(), 0..3000),
            repeats in 1usize..50,
            chunk in 1usize..500,
            step in 1usize..5000,
        ) {
            let plain = plain.repeat(repeats);
            let members = |pack: fn(&[u8]) -> Vec<u8>| plain.chunks(plain.len() / 2 + 1).map(pack).collect::<Vec<_>>().concat();
            for (coding, body) in [
                (Coding::Identity, plain.clone()),
                (Coding::Gzip, members(gzip)),
                (Coding::Unnamed, members(gzip)),
                (Coding::Deflate, zlib(&plain)),
                (Coding::Deflate, deflate(&plain)),
                (Coding::Zstd, members(zstd)),
                (Coding::Unnamed, members(zstd)),
            ] {
                prop_assert_eq!(&unpack(coding, &body, chunk, step).expect("it is whole"), &plain, "{:?}", coding);
            }
        }

        #[test]
        fn what_stops_in_the_middle_is_noticed(plain in proptest::collection::vec(any::<u8>(), 1..3000), cut: prop::sample::Index) {
            for (coding, body) in [
                (Coding::Gzip, gzip(&plain)),
                (Coding::Deflate, zlib(&plain)),
                (Coding::Deflate, deflate(&plain)),
                (Coding::Zstd, zstd(&plain)),
            ] {
                let most = 1 + cut.index(body.len() - 1);
                if most < body.len() {
                    prop_assert!(unpack(coding, &body[..most], 100, 100).is_err(), "{:?} at {} of {}", coding, most, body.len());
                }
            }
        }
    }
}
