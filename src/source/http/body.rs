//! A request's body as plain bytes, with its limits held: on size packed and unpacked, and on how slowly it may come.

use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio::time::timeout;

use super::answer::Cause;
use super::answer::Refusal;
use super::unpack::Coding;
use super::unpack::Step;
use super::unpack::Unpacker;

/// Limits of one body, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// As it comes.
    pub packed: u64,
    /// Once unpacked.
    pub unpacked: u64,
}

/// A sender may be waited for so long altogether, and longer only for as much as it sends.
const SLOW_GRACE: Duration = Duration::from_secs(10);

/// Bytes that prolong the wait by a second: what a sender must keep up. The slowest modems managed that.
const SLOWEST_BYTES_PER_SECOND: u64 = 1024;

/// A body on its way.
pub struct Body {
    incoming: Incoming,
    unpacker: Unpacker,
    limits: BodyLimits,
    packed: u64,
    unpacked: u64,
    /// How long the sender has been waited for.
    waited: Duration,
    ended: bool,
    /// When the last bytes came.
    last_at: Instant,
}

impl Body {
    /// The body of a request.
    ///
    /// # Errors
    /// When its size is known and over the limit.
    pub fn new(incoming: Incoming, coding: Coding, limits: BodyLimits) -> Result<Self, Refusal> {
        let size = hyper::body::Body::size_hint(&incoming).lower();
        if size > limits.packed {
            return Err(too_large(limits.packed));
        }
        let (unpacker, waited, last_at) = (Unpacker::new(coding), Duration::ZERO, Instant::now());
        Ok(Self { incoming, unpacker, limits, packed: 0, unpacked: 0, waited, ended: false, last_at })
    }

    /// Bytes that came and what they unpacked to, so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.packed, self.unpacked)
    }

    /// Whether nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// When its last bytes came.
    pub fn last_at(&self) -> Instant {
        self.last_at
    }

    /// Whether enough has come to tell how it is packed.
    ///
    /// # Errors
    /// When nothing can be made to unpack it.
    pub fn is_decided(&mut self) -> Result<bool, Refusal> {
        self.unpacker.decide().map_err(|error| not_unpacked(&error))
    }

    /// So many bytes of memory are set aside for unpacking it.
    pub fn set_aside(&mut self, bytes: u64) {
        self.unpacker.set_aside(bytes);
    }

    /// Waits for more bytes to unpack; to be called when there are no more plain ones.
    ///
    /// # Errors
    /// When the sender is too slow, is gone, or sends too much.
    pub async fn more(&mut self) -> Result<(), Refusal> {
        if self.ended {
            return Err(Refusal::new(Cause::BadCoding, "the body stops in the middle"));
        }
        let earned = Duration::from_millis(self.packed.saturating_mul(1000) / SLOWEST_BYTES_PER_SECOND);
        let patience = (SLOW_GRACE + earned).saturating_sub(self.waited);
        let begun = Instant::now();
        let frame = timeout(patience, self.incoming.frame()).await;
        self.last_at = Instant::now();
        self.waited += self.last_at - begun;
        match frame {
            Err(_) => Err(too_slow()),
            Ok(None) => {
                self.ended = true;
                self.unpacker.end();
                Ok(())
            }
            Ok(Some(Err(error))) => Err(Refusal::new(Cause::Truncated, format!("the body did not come to its end: {error}"))),
            Ok(Some(Ok(frame))) => self.push(frame.into_data().unwrap_or_default()),
        }
    }

    fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.packed += bytes.len() as u64;
        if self.packed > self.limits.packed {
            return Err(too_large(self.limits.packed));
        }
        self.unpacker.push(bytes);
        Ok(())
    }

    /// The next plain bytes in `buffer`, at most as many as fit there.
    ///
    /// # Errors
    /// When they are too many altogether, or the body is not packed as was said.
    pub fn step<'b>(&'b mut self, buffer: &'b mut [u8]) -> Result<Step<'b>, Refusal> {
        let step = self.unpacker.step(buffer).map_err(|error| not_unpacked(&error))?;
        if let Step::Bytes(bytes) = &step {
            self.unpacked += bytes.len() as u64;
            if self.unpacked > self.limits.unpacked {
                let what = "the body is larger than this source takes, once unpacked";
                return Err(Refusal::new(Cause::UnpackedTooLarge, what).over(self.limits.unpacked));
            }
        }
        Ok(step)
    }
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(Cause::BodyTooLarge, "the body is larger than this source takes").over(limit)
}

fn too_slow() -> Refusal {
    let what = format!(
        "the body came too slowly: {} seconds are allowed, and one more for each {SLOWEST_BYTES_PER_SECOND} bytes",
        SLOW_GRACE.as_secs()
    );
    Refusal::new(Cause::BodyTimeout, what).over(SLOW_GRACE.as_secs())
}

fn not_unpacked(error: &io::Error) -> Refusal {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the body stops in the middle of what it is packed with".to_owned(),
        _ => format!("the body cannot be unpacked: {error}"),
    };
    Refusal::new(Cause::BadCoding, what)
}
