//! Frames to lines, however the stream is cut.

use flate2::Decompress;
use flate2::FlushDecompress;
use flate2::Status;
use memchr::memchr_iter;

use super::Fault;
use super::Limits;
use super::VERSION;
use super::windows::Windows;

/// Bytes inflated at once.
const INFLATE_BYTES: usize = 16 * 1024;

/// What a decompressor holds: zlib's window and its tables, which take 40 KiB together.
const DECOMPRESSOR_BYTES: usize = 40 * 1024;

/// The longest header: that of an event, two bytes, sequence number and length.
const HEADER_BYTES_MAX: usize = 10;

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the stream it has taken.
    pub consumed: usize,
    /// Why it did not go on.
    pub pause: Pause,
}

/// Why a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// There are no more bytes.
    Hungry,
    /// It has given as many bytes of lines as it was allowed to.
    Full,
    /// Answers to earlier windows have to be written first.
    Unanswered,
    /// Another window would begin, and none is taken any more.
    Closed,
}

/// The reader of one stream.
#[derive(Debug)]
pub(super) struct Frames {
    limits: Limits,
    outer: Parser,
    packed: Option<Box<Packed>>,
    /// One that has been read, for another that may follow in the same step: making it costs more than the smallest are long.
    spare: Option<Box<Packed>>,
    fault: Option<Fault>,
}

/// A compressed frame that is being read.
#[derive(Debug)]
struct Packed {
    inner: Parser,
    zlib: Decompress,
    /// Bytes of the frame that have not come yet.
    left: u32,
    /// Bytes it may still become.
    room: u64,
    /// Whether the stream within it has ended.
    ended: bool,
    /// What is wrong behind the bytes in the buffer.
    fault: Option<Fault>,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not parsed yet.
    start: usize,
    end: usize,
}

/// What frames are read with, on the connection and within a compressed frame.
#[derive(Debug, Default)]
struct Parser {
    header: [u8; HEADER_BYTES_MAX],
    have: usize,
    /// Bytes that are missing of the event that is being copied.
    event: Option<u32>,
}

/// What a parser stopped at.
enum Stop {
    Pause(Pause),
    /// A compressed frame of this length begins.
    Packed(u32),
}

impl Frames {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, outer: Parser::default(), packed: None, spare: None, fault: None }
    }

    pub(super) fn is_between(&self) -> bool {
        self.packed.is_none() && self.outer.is_between()
    }

    pub(super) fn held_bytes(&self) -> usize {
        if self.packed.is_some() { size_of::<Packed>() + DECOMPRESSOR_BYTES + INFLATE_BYTES } else { 0 }
    }

    pub(super) fn step(&mut self, bytes: &[u8], out: &mut Vec<u8>, most: usize, windows: &mut Windows) -> Result<Step, Fault> {
        let result = match self.fault {
            Some(fault) => Err(fault),
            None => self.try_step(bytes, out, most, windows),
        };
        self.spare = None;
        if let Err(fault) = result {
            self.fault = Some(fault);
            // Nobody reads on.
            self.packed = None;
        }
        result
    }

    fn try_step(&mut self, bytes: &[u8], out: &mut Vec<u8>, most: usize, windows: &mut Windows) -> Result<Step, Fault> {
        let mut consumed = 0;
        loop {
            let pause = match &mut self.packed {
                Some(packed) => {
                    let pause = packed.step(bytes, &mut consumed, out, most, windows, &self.limits)?;
                    if pause.is_none() {
                        self.spare = self.packed.take();
                    }
                    pause
                }
                None => match self.outer.parse(bytes, &mut consumed, out, most, windows, &self.limits)? {
                    Stop::Pause(pause) => Some(pause),
                    Stop::Packed(bytes) => {
                        self.packed = Some(Packed::begin(self.spare.take(), bytes, &self.limits)?);
                        None
                    }
                },
            };
            if let Some(pause) = pause {
                return Ok(Step { consumed, pause });
            }
        }
    }
}

impl Packed {
    /// A frame of so many bytes, read with what another was read with, where there is one.
    fn begin(spare: Option<Box<Self>>, bytes: u32, limits: &Limits) -> Result<Box<Self>, Fault> {
        if u64::from(bytes) > limits.inflated_bytes_max {
            return Err(Fault::InflatedTooLong);
        }
        let (mut zlib, buffer) = match spare {
            Some(spare) => (spare.zlib, spare.buffer),
            None => (Decompress::new(true), vec![0; INFLATE_BYTES]),
        };
        zlib.reset(true);
        let (inner, room) = (Parser::default(), limits.inflated_bytes_max);
        Ok(Box::new(Self { inner, zlib, left: bytes, room, ended: false, fault: None, buffer, start: 0, end: 0 }))
    }

    /// Inflates and parses; `None` when the frame is at its end.
    fn step(
        &mut self,
        bytes: &[u8],
        consumed: &mut usize,
        out: &mut Vec<u8>,
        most: usize,
        windows: &mut Windows,
        limits: &Limits,
    ) -> Result<Option<Pause>, Fault> {
        loop {
            match self.inner.parse(&self.buffer[..self.end], &mut self.start, out, most, windows, limits)? {
                Stop::Packed(_) => return Err(Fault::Nested),
                Stop::Pause(Pause::Hungry) => {}
                Stop::Pause(pause) => return Ok(Some(pause)),
            }
            if let Some(fault) = self.fault {
                return Err(fault);
            }
            if self.ended {
                // What stands behind the stream within the frame means nothing, to other servers neither.
                let skipped = (bytes.len() - *consumed).min(self.left as usize);
                *consumed += skipped;
                self.left -= u32::try_from(skipped).expect("no more than is left");
                return match (self.left, self.inner.is_between()) {
                    (_, false) => Err(Fault::CutShort),
                    (0, true) => Ok(None),
                    (_, true) => Ok(Some(Pause::Hungry)),
                };
            }
            if !self.inflate(bytes, consumed) {
                return Ok(Some(Pause::Hungry));
            }
        }
    }

    /// Inflates into the buffer, which has been parsed; `false`: there is nothing to inflate until more comes.
    fn inflate(&mut self, bytes: &[u8], consumed: &mut usize) -> bool {
        let input = &bytes[*consumed..];
        let input = &input[..input.len().min(self.left as usize)];
        let (before_in, before_out) = (self.zlib.total_in(), self.zlib.total_out());
        let result = self.zlib.decompress(input, &mut self.buffer, FlushDecompress::None);
        let taken = usize::try_from(self.zlib.total_in() - before_in).expect("at most what was given");
        let given = usize::try_from(self.zlib.total_out() - before_out).expect("at most the buffer");
        *consumed += taken;
        self.left -= u32::try_from(taken).expect("no more than is left");
        // What came out before something is wrong counts, or the result would depend on how the stream was cut.
        let good = self.room.min(given as u64);
        self.room -= good;
        (self.start, self.end) = (0, usize::try_from(good).expect("at most the buffer"));
        if good < given as u64 {
            self.fault = Some(Fault::InflatedTooLong);
            return true;
        }
        match result {
            Err(_) => self.fault = Some(Fault::Compression),
            Ok(Status::StreamEnd) => self.ended = true,
            Ok(_) if taken > 0 || given > 0 => {}
            Ok(_) if self.left == 0 => self.fault = Some(Fault::Compression),
            Ok(_) => return false,
        }
        true
    }
}

impl Parser {
    fn is_between(&self) -> bool {
        self.have == 0 && self.event.is_none()
    }

    fn parse(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        out: &mut Vec<u8>,
        most: usize,
        windows: &mut Windows,
        limits: &Limits,
    ) -> Result<Stop, Fault> {
        loop {
            if out.len() >= most {
                return Ok(Stop::Pause(Pause::Full));
            }
            if let Some(left) = &mut self.event {
                let room = most - out.len();
                let piece = &bytes[*at..];
                let piece = &piece[..piece.len().min(*left as usize).min(room)];
                copy(piece, out);
                *at += piece.len();
                *left -= u32::try_from(piece.len()).expect("no more than is left");
                if *left > 0 {
                    return Ok(Stop::Pause(if out.len() >= most { Pause::Full } else { Pause::Hungry }));
                }
                out.push(b'\n');
                self.event = None;
                windows.end_event();
                continue;
            }
            if !self.collect(bytes, at)? {
                return Ok(Stop::Pause(Pause::Hungry));
            }
            if self.header[1] == b'W'
                && let Some(pause) = windows.refusal()
            {
                // The header stays, so that it is looked at again.
                return Ok(Stop::Pause(pause));
            }
            self.have = 0;
            match self.header[1] {
                b'W' => {
                    let events = self.number(2);
                    if events > limits.window_events_max {
                        return Err(Fault::WindowTooLarge);
                    }
                    windows.announce(events);
                }
                b'J' => {
                    windows.begin_event(self.number(2))?;
                    let length = self.number(6);
                    if limits.event_bytes_max.is_some_and(|most| length > most) {
                        return Err(Fault::EventTooLong);
                    }
                    self.event = Some(length);
                }
                _ => return Ok(Stop::Packed(self.number(2))),
            }
        }
    }

    /// Collects a header; `false`: there is more to come. Says what is wrong at the first byte that is.
    fn collect(&mut self, bytes: &[u8], at: &mut usize) -> Result<bool, Fault> {
        loop {
            let wanted = match self.have {
                0 | 1 => self.have + 1,
                _ if self.header[1] == b'J' => 10,
                _ => 6,
            };
            if self.have == wanted {
                return Ok(true);
            }
            let piece = &bytes[*at..];
            let piece = &piece[..piece.len().min(wanted - self.have)];
            self.header[self.have..self.have + piece.len()].copy_from_slice(piece);
            self.have += piece.len();
            *at += piece.len();
            if self.have >= 1 && self.header[0] != VERSION {
                return Err(Fault::Version);
            }
            if self.have >= 2 {
                match self.header[1] {
                    b'W' | b'J' | b'C' => {}
                    b'D' => return Err(Fault::KeyValueFrame),
                    _ => return Err(Fault::FrameType),
                }
            }
            if self.have < wanted {
                return Ok(false);
            }
        }
    }

    fn number(&self, at: usize) -> u32 {
        let bytes = self.header[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes)
    }
}

/// Copies a piece of an event without its newlines.
fn copy(piece: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(piece);
    for at in memchr_iter(b'\n', piece) {
        out[start + at] = b' ';
    }
}
