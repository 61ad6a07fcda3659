//! The end of a connection: what is left is stored, and the sender sees a clean end only where it may take it for what it says.

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Connection;
use super::LAST_ACKS;
use crate::metrics::ConnectionEnd;
use crate::net::stream::Stream;
use crate::source::Feed;
use crate::stop::Phase;
use crate::stop::StopWatch;

impl<M, F: Feed> Connection<'_, M, F> {
    /// Takes the last line where the end is clean, counts what is lost where it is not, and closes; says how it ended after
    /// all, because a clean end may turn out not to be one that can be confirmed.
    pub(super) async fn finish(&mut self, clean: bool, end: ConnectionEnd, stop: &StopWatch) -> ConnectionEnd {
        let mut permit = self.allowance.let_go();
        let passed = self.feed.finish(clean, &mut permit, &mut self.batches);
        self.count(&passed);
        self.allowance.took(0, &passed);
        let (clean, end) = if passed.refused { (false, ConnectionEnd::Refused) } else { (clean, end) };
        self.append().await;
        drop(permit);
        if clean {
            if let Err(end) = self.confirmed(stop).await {
                return end;
            }
            // Over TLS the end has to be said. Where it is not, the connection is reset: not every sender can tell an end that
            // nobody has said from one.
            let said = match self.stream {
                Stream::Plain(_) => true,
                Stream::Tls(_) => timeout(LAST_ACKS, self.stream.shutdown()).await.is_ok_and(|said| said.is_ok()),
            };
            if said {
                // Nothing is left in the socket and everything is stored: this end may look like one.
                let _ = SockRef::from(self.stream.tcp()).set_linger(None);
            }
        } else {
            self.confirming.hurry(&mut self.stream).await;
            if end == ConnectionEnd::Stopped {
                let unread = rustix::io::ioctl_fionread(self.stream.tcp()).unwrap_or(0);
                self.source.means.metrics.unread(unread);
            }
        }
        end
    }

    /// Waits, as long as a connection may be silent, until everything is stored and the sender has been told what it is to
    /// be told before the end.
    ///
    /// # Errors
    /// How the connection ends where that does not happen: the sender must not take it for a confirmation.
    async fn confirmed(&mut self, stop: &StopWatch) -> Result<(), ConnectionEnd> {
        let mut stop = stop.clone();
        tokio::select! {
            biased;
            settled = self.confirming.settled(&mut self.stream) => settled,
            () = stop.reached(Phase::Stop) => Err(ConnectionEnd::Stopped),
            () = tokio::time::sleep(self.source.plan.idle_timeout) => {
                Err(if self.confirming.is_storing() { ConnectionEnd::NotStored } else { ConnectionEnd::Idle })
            }
        }
    }
}
