//! The answer to a bulk request, written piece by piece: a large request has a large one, and all of it at once would be memory
//! that nobody has admitted.

use std::io::Write;

use super::Outcome;
use super::Run;

/// Bytes of a piece, or some more.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer that has been written up to somewhere.
#[derive(Debug)]
pub struct Answer {
    names: Vec<Box<str>>,
    runs: Vec<Run>,
    took_ms: u64,
    /// The run that is written, and how many of it are.
    at: (usize, u32),
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Items,
    Done,
}

impl Answer {
    pub(super) fn new(names: Vec<Box<str>>, runs: Vec<Run>, took_ms: u64) -> Self {
        Self { names, runs, took_ms, at: (0, 0), state: State::Head }
    }

    /// Whether all of it is written.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The next piece of the text; nothing at its end.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        if self.state == State::Done {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES + 1024);
        if self.state == State::Head {
            let errors = self.runs.iter().any(|run| run.outcome != Outcome::Taken);
            write(&mut piece, format_args!("{{\"took\":{},\"errors\":{errors},\"items\":[", self.took_ms));
            self.state = State::Items;
        }
        while piece.len() < PIECE_BYTES {
            let (run, written) = &mut self.at;
            let Some(Run { count, name, action, outcome }) = self.runs.get(*run) else {
                piece.extend_from_slice(b"]}\n");
                self.state = State::Done;
                break;
            };
            if (*run, *written) != (0, 0) {
                piece.push(b',');
            }
            let (word, index, status) = (action.word(), &self.names[usize::from(*name)], outcome.status());
            write(&mut piece, format_args!("{{\"{word}\":{{\"_index\":{index},\"_id\":null,"));
            match outcome.error() {
                None => write(&mut piece, format_args!("\"result\":\"created\",")),
                Some((kind, reason)) => {
                    write(&mut piece, format_args!("\"error\":{{\"type\":\"{kind}\",\"reason\":\"{reason}\"}},"));
                }
            }
            write(&mut piece, format_args!("\"status\":{status}}}}}"));
            *written += 1;
            if *written == *count {
                (*run, *written) = (*run + 1, 0);
            }
        }
        Some(piece)
    }
}

fn write(piece: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    piece.write_fmt(text).expect("memory takes everything");
}
