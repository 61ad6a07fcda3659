//! How many bytes of a TCP connection the peer's kernel has not acknowledged yet.
//!
//! This is the one place with `unsafe` code: no crate offers `SIOCOUTQ` as a safe call.

use tokio::net::TcpStream;

/// Whether [`unacknowledged`] can tell.
pub const SUPPORTED: bool = cfg!(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")
));

/// Bytes written to a connection and not acknowledged by the peer's kernel, an end of ours in flight counting as one;
/// `None` where the system cannot tell.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")
))]
#[expect(unsafe_code, reason = "no crate offers SIOCOUTQ as a safe call")]
pub fn unacknowledged(stream: &TcpStream) -> Option<u64> {
    use std::ffi::c_int;

    use rustix::ioctl::Getter;
    use rustix::ioctl::ioctl;

    /// `SIOCOUTQ` of tcp(7), which is `TIOCOUTQ` with the number of the architectures named above.
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: on a TCP socket SIOCOUTQ stores one int through its argument and reads nothing.
    let bytes = unsafe { ioctl(stream, Getter::<SIOCOUTQ, c_int>::new()) }.ok()?;
    u64::try_from(bytes).ok()
}

/// Bytes not acknowledged by the peer's kernel: this system cannot tell.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64")
)))]
pub fn unacknowledged(_stream: &TcpStream) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_counts_what_lies_between_two_kernels() {
        if !SUPPORTED {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a listener");
        let (mut far, _) = listener.accept().await.expect("a client");
        assert_eq!(unacknowledged(&near), Some(0));
        near.writable().await.expect("a connection");
        let chunk = vec![b'x'; 1 << 20];
        let mut written = 0;
        while let Ok(bytes) = near.try_write(&chunk) {
            written += bytes;
        }
        let queued = unacknowledged(&near).expect("a reading");
        assert!(queued > 0 && queued < written as u64, "{queued} of {written}");
        near.shutdown().await.expect("a connection");
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("a clean end");
        assert_eq!(all.len(), written);
    }
}
