//! One sink's place in a buffer, wherever that is kept.

use crate::buffer::Entry;
use crate::buffer::Shedder;
use crate::buffer::Yields;
use crate::buffer::memory;
use crate::buffer::place;
use crate::seq::Seq;

/// What an ack moved past. Entries that were given up before are not among it, nor those acked before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Acked {
    /// The first entry acked by this call, where there is one.
    pub from: Seq,
    /// Number behind the last of them; the same where there is none.
    pub to: Seq,
    /// Events in the entries acked by this call.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Acked {
    /// Whether an entry is one of those.
    pub fn has(&self, seq: Seq) -> bool {
        self.from <= seq && seq < self.to
    }
}

/// One sink's place in the sequence. Dropping it acks nothing: what it has left stays, and counts.
#[derive(Debug)]
pub struct Cursor {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(memory::Place),
    Disk(Box<place::Place>),
}

impl Cursor {
    pub(super) fn memory(place: memory::Place) -> Self {
        Self { place: Place::Memory(place) }
    }

    pub(super) fn disk(place: place::Place) -> Self {
        Self { place: Place::Disk(Box::new(place)) }
    }

    /// Reads the next entries without waiting, adding them to `out`: at most `entries_max`, and no further one once
    /// `bytes_max` bytes of documents are passed. Takes one lock however many they are.
    pub fn read(&mut self, entries_max: usize, bytes_max: usize, out: &mut Vec<Entry>) {
        match &mut self.place {
            Place::Memory(place) => place.read(entries_max, bytes_max, out),
            Place::Disk(place) => place.read(entries_max, bytes_max, out),
        }
    }

    /// Waits until there is something to read; `false` says that the buffer is closed and there never will be again,
    /// but for a [`rewind`](Self::rewind).
    ///
    /// Abandoning the wait loses nothing.
    pub async fn wait(&mut self) -> bool {
        match &mut self.place {
            Place::Memory(place) => place.wait().await,
            Place::Disk(place) => place.wait().await,
        }
    }

    /// Acks all entries up to and including this one. Acking again what is acked does nothing.
    ///
    /// # Panics
    /// When that entry was never read: a sink cannot have delivered it.
    pub fn ack(&mut self, through: Seq) -> Acked {
        self.ack_and(through, |_| {})
    }

    /// The same; `told` is told of it before anybody can see it in the figures. The buffer is locked meanwhile.
    ///
    /// # Panics
    /// As [`ack`](Self::ack).
    pub fn ack_and(&mut self, through: Seq, told: impl FnOnce(&Acked)) -> Acked {
        match &mut self.place {
            Place::Memory(place) => place.ack(through, told),
            Place::Disk(place) => place.ack(through, told),
        }
    }

    /// Number of the first entry it still has, where entries may be given up in its name; none of those before it comes again.
    pub fn given_up_before(&self) -> Option<Seq> {
        match &self.place {
            Place::Memory(place) => place.given_up_before(),
            Place::Disk(place) => place.given_up_before(),
        }
    }

    /// Has the oldest entries given up that this sink holds, by whoever has the handle, where there is no room otherwise. Without
    /// it, or once it is dropped, appends wait for this sink.
    pub fn shedder(&mut self, yields: Yields) -> Shedder {
        match &mut self.place {
            Place::Memory(place) => Shedder::memory(place.shedder(yields)),
            Place::Disk(place) => Shedder::disk(place.shedder(yields)),
        }
    }

    /// Reads again from the first entry that is not acked.
    pub fn rewind(&mut self) {
        match &mut self.place {
            Place::Memory(place) => place.rewind(),
            Place::Disk(place) => place.rewind(),
        }
    }

    /// Whether there is something to read now.
    pub fn has_more(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.has_more(),
            Place::Disk(place) => place.has_more(),
        }
    }

    /// Waits until nothing more is to be read, because what is left is for the next start; for ever where it would be lost.
    ///
    /// Abandoning the wait loses nothing.
    pub async fn settled(&self) {
        match &self.place {
            Place::Memory(_) => std::future::pending().await,
            Place::Disk(place) => place.settled().await,
        }
    }

    /// Whether nothing more is to be read, because what is left is for the next start.
    pub fn is_settled(&self) -> bool {
        match &self.place {
            Place::Memory(_) => false,
            Place::Disk(place) => place.is_settled(),
        }
    }

    /// Whether the buffer is closed and everything in it is acked by this sink.
    pub fn is_finished(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.is_finished(),
            Place::Disk(place) => place.is_finished(),
        }
    }
}
