//! The sink that writes documents to standard output, one a line, past the library's line buffer.
//!
//! A reader that goes away is the end of the relay, as of any program in a pipe: there is nobody left to deliver to.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::IoSlice;
use std::io::Write;
use std::os::fd::AsFd;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::poll;

use crate::buffer::Entry;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::blocking;
use crate::sink::blocking::Medium;
use crate::sink::place::Place;
use crate::sink::place::SLICES;
use crate::sink::supply::Supply;
use crate::stop::StopWatch;

/// Writes to standard output; see [`run`](crate::sink::run).
pub(super) async fn run(cursor: &mut Supply, state: &SinkState, stop: StopWatch) -> Result<(), SinkError> {
    // A descriptor of our own: the library's handle would look for newlines in what is written.
    let out = io::stdout().as_fd().try_clone_to_owned();
    let out = out.map_err(|source| SinkError::StdoutClosed { source }).inspect_err(|error| state.gave_up(error))?;
    blocking::deliver(Stdout { out: File::from(out), offset: 0 }, cursor, state, stop).await
}

struct Stdout {
    out: File,
    /// Bytes of the first entry that went out before an error: a line must not be written twice half.
    offset: usize,
}

impl Medium for Stdout {
    fn store(&mut self, entries: &[Entry]) -> (usize, Result<(), SinkError>) {
        let mut place = Place { entry: 0, offset: self.offset };
        let result = self.write(entries, &mut place);
        self.offset = place.offset;
        let error = |source: io::Error| match source.kind() {
            ErrorKind::BrokenPipe => SinkError::StdoutClosed { source },
            _ => SinkError::Stdout { source },
        };
        (place.entry, result.map_err(error))
    }

    fn name(&self) -> String {
        "standard output".to_owned()
    }
}

impl Stdout {
    fn write(&mut self, entries: &[Entry], place: &mut Place) -> io::Result<()> {
        loop {
            place.advance(entries, 0);
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = place.slices(entries, &mut slices);
            if used == 0 {
                return Ok(());
            }
            match self.out.write_vectored(&slices[..used]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => place.advance(entries, bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever shares the terminal or pipe may have made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::sink::Verdict;
    use crate::sink::tests::Relay;

    fn pipe() -> (io::PipeReader, Stdout) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (reader, Stdout { out: File::from(OwnedFd::from(writer)), offset: 0 })
    }

    #[tokio::test]
    async fn everything_comes_out_in_order_and_is_acked() {
        let (mut reader, stdout) = pipe();
        let reading = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).expect("text");
            all
        });
        let mut relay = Relay::new(1);
        let sink =
            relay.start(|mut cursor, state, stop| async move { blocking::deliver(stdout, &mut cursor, &state, stop).await });
        relay.send(0..5_000).await;
        relay.drain();
        relay.ends(sink).await.expect("all is delivered");
        assert_eq!(reading.join().expect("no panic"), relay.text(0..5_000));
        relay.reconciles(0);
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_the_sink() {
        let (reader, stdout) = pipe();
        drop(reader);
        let mut relay = Relay::new(1);
        let sink =
            relay.start(|mut cursor, state, stop| async move { blocking::deliver(stdout, &mut cursor, &state, stop).await });
        relay.send(0..3).await;
        let error = relay.ends(sink).await.expect_err("nobody reads");
        assert!(matches!(error, SinkError::StdoutClosed { .. }));
        assert_eq!(error.verdict(), Verdict::Fatal);
        relay.reconciles(3);
    }
}
