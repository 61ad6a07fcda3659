//! Any stream of a Beat, cut anywhere and given out in pieces of any size, becomes the same lines and the same fault; each event is
//! one line; and whatever is stored when, nothing is acked before.
//!
//! The first byte chooses the size of the reads, the second how many bytes of lines go out at once; the rest is the stream.

use elbow::wire::lumberjack::Fault;
use elbow::wire::lumberjack::Limits;
use elbow::wire::lumberjack::Pause;
use elbow::wire::lumberjack::Server;

const LIMITS: Limits = Limits { window_events_max: 300, event_bytes_max: Some(200), inflated_bytes_max: 50_000 };

pub(crate) fn check(input: &[u8]) {
    let [size, most, stream @ ..] = input else { return };
    let cut = Told::of(stream, usize::from(*size) + 1, usize::from(*most) + 1);
    let whole = Told::of(stream, stream.len().max(1), usize::MAX - 1);
    assert_eq!(cut.lines, whole.lines);
    assert_eq!((cut.events, cut.windows, cut.fault), (whole.events, whole.windows, whole.fault));
}

/// What came out of a stream.
struct Told {
    lines: Vec<u8>,
    events: u64,
    windows: u64,
    fault: Option<Fault>,
    /// Events that were stored at the last look.
    stored: u64,
}

impl Told {
    fn of(stream: &[u8], size: usize, most: usize) -> Self {
        let mut server = Server::new(LIMITS);
        let mut told = Self { lines: Vec::new(), events: 0, windows: 0, fault: None, stored: 0 };
        'stream: for mut read in stream.chunks(size) {
            loop {
                let before = told.lines.len();
                let mut out = Vec::new();
                let result = server.step(read, &mut out, most);
                assert!(out.len() <= most.saturating_add(1), "{} bytes, {most} are allowed", out.len());
                told.lines.extend(out);
                assert!(server.held_bytes() < 100_000, "{} bytes are held", server.held_bytes());
                match result {
                    Ok(step) => {
                        read = &read[step.consumed..];
                        match step.pause {
                            Pause::Hungry => break,
                            Pause::Full => assert!(told.lines.len() > before, "it is full of something"),
                            Pause::Unanswered => told.store(&mut server),
                            Pause::Closed => panic!("nobody has closed it"),
                        }
                    }
                    Err(fault) => {
                        told.fault = Some(fault);
                        break 'stream;
                    }
                }
            }
            assert!(read.is_empty(), "it has taken everything");
        }
        let newlines = told.lines.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(newlines as u64, server.events(), "an event is a line");
        (told.events, told.windows) = (server.events(), server.windows());
        told.store(&mut server);
        assert!(!server.is_owing() || !server.is_between_windows() || told.fault.is_some(), "what is stored is acked");
        told
    }

    /// Stores what has come and takes the acks.
    fn store(&mut self, server: &mut Server) {
        let before = std::mem::replace(&mut self.stored, server.events());
        assert!(before > 0 || server.poll_transmit().is_empty(), "nothing is stored, so nothing is acked");
        server.handle_committed(server.events());
        loop {
            let bytes = server.poll_transmit();
            if bytes.is_empty() {
                break;
            }
            assert!(bytes.starts_with(b"2A") && bytes.len() == 6, "{bytes:?}");
            server.handle_transmitted(6);
        }
    }
}
