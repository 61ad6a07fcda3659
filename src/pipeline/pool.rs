//! Buffers for batches, used again and again: fresh memory would be touched page by page by the kernel.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;

use crate::intake::IntakePermit;

/// Bytes of a pooled buffer: what 64 KiB of lines become at two to three times their size, with some room.
pub const BUFFER_BYTES: usize = 192 * 1024;

/// A bounded stock of initialised buffers. Clones are the same stock.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    free: Mutex<Vec<Vec<u8>>>,
    buffers_max: usize,
}

impl Pool {
    /// A stock that keeps at most this many bytes for later.
    pub fn new(bytes_max: usize) -> Self {
        Self { shared: Arc::new(Shared { free: Mutex::default(), buffers_max: bytes_max / BUFFER_BYTES }) }
    }

    /// A buffer of at least [`BUFFER_BYTES`], initialised with whatever stood in it before.
    pub fn take(&self) -> Vec<u8> {
        let used = self.shared.free.lock().expect("nobody panics while taking a buffer").pop();
        used.unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    /// Puts a buffer back. One that grew far beyond the usual size is freed instead.
    pub fn put(&self, buffer: Vec<u8>) {
        self.shared.put(buffer);
    }

    /// Turns the first `used` bytes of a buffer into shared bytes. When the last reference is gone, the buffer comes
    /// back and the permit gives its bytes back.
    ///
    /// A buffer that is mostly empty is copied into one that fits, so that little batches do not hold large buffers.
    /// `beside` is what else is held as long as the bytes are.
    pub fn share(&self, buffer: Vec<u8>, used: usize, beside: usize, permit: &mut IntakePermit) -> Bytes {
        if used < buffer.len() / 2 {
            let permit = permit.split((used + beside) as u64);
            let exact = buffer[..used].to_vec();
            self.put(buffer);
            return Bytes::from_owner(Shrunk { bytes: exact, _permit: permit });
        }
        let permit = permit.split((buffer.len() + beside) as u64);
        Bytes::from_owner(Pooled { buffer, used, pool: self.shared.clone(), _permit: permit })
    }
}

impl Shared {
    fn put(&self, buffer: Vec<u8>) {
        if buffer.len() < BUFFER_BYTES || buffer.len() > 2 * BUFFER_BYTES {
            return;
        }
        let mut free = self.free.lock().expect("nobody panics while putting a buffer back");
        if free.len() < self.buffers_max {
            free.push(buffer);
        }
    }
}

/// A buffer that goes back to the pool.
struct Pooled {
    buffer: Vec<u8>,
    used: usize,
    pool: Arc<Shared>,
    _permit: IntakePermit,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.used]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.buffer));
    }
}

/// A little batch in memory of its own.
struct Shrunk {
    bytes: Vec<u8>,
    _permit: IntakePermit,
}

impl AsRef<[u8]> for Shrunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Intake;

    #[tokio::test]
    async fn buffer_and_budget_come_back_with_the_last_reference() {
        let intake = Intake::new(10 << 20);
        let pool = Pool::new(4 * BUFFER_BYTES);
        let mut permit = intake.admit(1 << 20).await;
        let docs = pool.share(pool.take(), BUFFER_BYTES, 0, &mut permit);
        drop(permit);
        assert_eq!(intake.held_bytes(), BUFFER_BYTES as u64);
        let other = docs.clone();
        drop(docs);
        assert_eq!(intake.held_bytes(), BUFFER_BYTES as u64);
        drop(other);
        assert_eq!((intake.held_bytes(), pool.shared.free.lock().expect("not poisoned").len()), (0, 1));
    }

    #[tokio::test]
    async fn a_little_batch_holds_little() {
        let intake = Intake::new(10 << 20);
        let pool = Pool::new(4 * BUFFER_BYTES);
        let mut permit = intake.admit(1 << 20).await;
        let mut buffer = pool.take();
        buffer[..3].copy_from_slice(b"abc");
        let docs = pool.share(buffer, 3, 40, &mut permit);
        drop(permit);
        assert_eq!((&docs[..], intake.held_bytes()), (&b"abc"[..], 43));
    }
}
