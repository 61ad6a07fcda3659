//! What is done with documents that go out no more: they are settled, those refused for good once they are dead letters, and
//! entries are acked as far as all before them is.

use crate::sink::dead_letters::Refusal;
use crate::sink::dispatch::Courier;
use crate::sink::dispatch::Dispatch;
use crate::sink::parcel::Parcel;

impl<C: Courier> Dispatch<'_, C> {
    /// Has these documents become dead letters.
    pub(super) fn refuse(&mut self, parcel: Parcel, refusals: Vec<Refusal>) {
        let (letters, state) = (self.letters.clone(), self.state.clone());
        self.storing_bytes += parcel.held();
        self.storing.spawn(async move {
            let is_stored = letters.store(&parcel, &refusals, &state).await;
            (parcel, is_stored)
        });
    }

    /// Sees to what became of that.
    pub(super) fn stored(&mut self, (parcel, is_stored): (Parcel, bool)) {
        self.storing_bytes -= parcel.held();
        if is_stored {
            self.settle(&parcel, true);
        } else {
            // The dead letters take nothing more because the relay stops: it is refused again after the next start.
            self.stranded += parcel.len() as u64;
        }
    }

    /// These documents are done with.
    pub(super) fn settle(&mut self, parcel: &Parcel, is_refused: bool) {
        self.ledger.settle(parcel, is_refused);
        self.ack();
    }

    /// Acks what all of is done with.
    pub(super) fn ack(&mut self) {
        if let Some(done) = self.ledger.done() {
            let (state, are_kept) = (&self.state, self.letters.are_kept());
            // Refused ones are counted before anybody sees it, as whoever takes them off what is acked must not find them missing.
            let _ = self.cursor.ack_and(done.through, |acked| {
                let refused = done.refused(acked);
                state.refused(refused, are_kept);
                state.delivered(acked.events - refused);
            });
        }
    }
}
