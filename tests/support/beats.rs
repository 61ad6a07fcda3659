//! A Beat: the frames of Lumberjack version 2, and a connection on which they are sent and acks are read.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use socket2::SockRef;

use crate::support::PATIENCE;

/// The announcement of a window.
pub(crate) fn window(events: usize) -> Vec<u8> {
    let events = u32::try_from(events).expect("few events");
    [b"2W".as_slice(), &events.to_be_bytes()].concat()
}

/// An event.
pub(crate) fn event(sequence: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a short event");
    [b"2J".as_slice(), &sequence.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}

/// Events that are numbered from 1 on; newlines at their ends are not theirs.
pub(crate) fn events(payloads: &[impl AsRef<str>]) -> Vec<u8> {
    let each = |(sequence, payload)| event(sequence, AsRef::<str>::as_ref(payload).trim_end());
    (1..).zip(payloads).flat_map(each).collect()
}

/// A window and its events.
pub(crate) fn whole(payloads: &[impl AsRef<str>]) -> Vec<u8> {
    [window(payloads.len()), events(payloads)].concat()
}

/// Frames in a frame.
pub(crate) fn compressed(frames: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(3));
    encoder.write_all(frames).expect("memory");
    let packed = encoder.finish().expect("memory");
    let length = u32::try_from(packed.len()).expect("a short frame");
    [b"2C".as_slice(), &length.to_be_bytes(), &packed].concat()
}

/// The same as [`whole`], its events compressed.
pub(crate) fn packed(payloads: &[impl AsRef<str>]) -> Vec<u8> {
    [window(payloads.len()), compressed(&events(payloads))].concat()
}

/// A connection.
pub(crate) struct Beat {
    stream: TcpStream,
}

impl Beat {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the relay listens");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_nodelay(true).expect("an option");
        Self { stream }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the relay reads");
    }

    /// Sends to a relay that may have closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The number of the next ack; none at a clean end.
    pub(crate) fn try_ack(&mut self) -> io::Result<Option<u32>> {
        let mut ack = [0; 6];
        match self.stream.read(&mut ack)? {
            0 => return Ok(None),
            count => self.stream.read_exact(&mut ack[count..])?,
        }
        assert_eq!(ack[..2], *b"2A", "the relay says nothing else");
        Ok(Some(u32::from_be_bytes(ack[2..].try_into().expect("four bytes"))))
    }

    #[track_caller]
    pub(crate) fn ack(&mut self) -> Option<u32> {
        self.try_ack().expect("no reset")
    }

    /// Waits for the ack of a window; signs of life may come before it, and nothing else.
    #[track_caller]
    pub(crate) fn is_acked(&mut self, sequence: u32) {
        loop {
            match self.ack() {
                Some(0) => {}
                ack => return assert_eq!(ack, Some(sequence)),
            }
        }
    }

    /// Waits for the relay's end, and says how many acks came before it.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.ack()).collect()
    }

    /// Whether nothing comes for so long.
    #[track_caller]
    pub(crate) fn hears_nothing(&mut self, span: Duration) -> bool {
        self.stream.set_read_timeout(Some(span)).expect("an option");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        peeked.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    /// Says that nothing more comes.
    #[track_caller]
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Resets the connection.
    #[track_caller]
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }
}
