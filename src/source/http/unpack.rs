//! Bodies as senders have packed them, unpacked piece by piece.
//!
//! A machine that is given packed bytes and gives plain ones into a buffer of the caller, so that a small body that unpacks to
//! very much costs as little memory as any other. It reads nothing, and the caller holds limits on sizes.

use std::io;
use std::io::BufRead;
use std::io::Read;

use bytes::Buf;
use bytes::Bytes;
use flate2::bufread::DeflateDecoder;
use flate2::bufread::MultiGzDecoder;
use flate2::bufread::ZlibDecoder;

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

/// Largest window of a Zstandard frame, as the power of two of its bytes: the 8 MiB that RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Memory that unpacking takes, in bytes: windows of 32 KiB and tables, and for Zstandard its largest window. A later frame may
/// have a larger one than the first, so that nothing less is safe.
const INFLATE_BYTES: u64 = 64 << 10;
const ZSTD_BYTES: u64 = (1 << ZSTD_WINDOW_LOG_MAX) + (256 << 10);

/// Bytes that tell how an unnamed body is packed, and deflate from zlib.
const TELLING_BYTES: usize = 4;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

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
}

enum State {
    /// Too little has come to tell.
    Undecided(Coding, Packed),
    Plain(Packed),
    Gzip(MultiGzDecoder<Packed>),
    Zlib(ZlibDecoder<Packed>),
    Deflate(DeflateDecoder<Packed>),
    Zstd(zstd::Decoder<'static, Packed>),
}

/// What one step gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// Plain bytes, at least one.
    Bytes(&'b [u8]),
    /// Nothing before more packed bytes come.
    Starved,
    /// All there is.
    End,
}

impl Unpacker {
    /// For a body that is packed so.
    pub fn new(coding: Coding) -> Self {
        Self { state: State::Undecided(coding, Packed::default()) }
    }

    /// Bytes of memory it takes; nothing before it is known how the body is packed.
    pub fn held_bytes(&self) -> u64 {
        match &self.state {
            State::Undecided(..) | State::Plain(_) => 0,
            State::Gzip(_) | State::Zlib(_) | State::Deflate(_) => INFLATE_BYTES,
            State::Zstd(_) => ZSTD_BYTES,
        }
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
            Coding::Zstd => zstd_decoder(packed)?,
            Coding::Deflate if is_zlib(&packed.bytes) => State::Zlib(ZlibDecoder::new(packed)),
            Coding::Deflate => State::Deflate(DeflateDecoder::new(packed)),
            // No text begins like these.
            Coding::Unnamed if packed.bytes.starts_with(GZIP_MAGIC) => State::Gzip(MultiGzDecoder::new(packed)),
            Coding::Unnamed if packed.bytes.starts_with(ZSTD_MAGIC) => zstd_decoder(packed)?,
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
        if !self.decide()? {
            return Ok(Step::Starved);
        }
        let read = match &mut self.state {
            State::Undecided(..) => return Ok(Step::Starved),
            State::Plain(packed) => {
                let count = packed.bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&packed.bytes[..count]);
                packed.bytes.advance(count);
                if count == 0 && !packed.ended { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
            }
            State::Gzip(decoder) => decoder.read(buffer),
            State::Zlib(decoder) => decoder.read(buffer),
            State::Deflate(decoder) => decoder.read(buffer),
            State::Zstd(decoder) => decoder.read(buffer),
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
            State::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

fn zstd_decoder(packed: Packed) -> io::Result<State> {
    let mut decoder = zstd::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(State::Zstd(decoder))
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
    fn a_window_larger_than_is_set_aside_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes everything");
        encoder.window_log(ZSTD_WINDOW_LOG_MAX + 1).expect("a window");
        encoder.write_all(&vec![b'x'; 32 << 20]).expect("memory takes everything");
        let body = encoder.finish().expect("memory takes everything");
        unpack(Coding::Zstd, &body, 1 << 20, 1 << 16).expect_err("it is too large");
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
