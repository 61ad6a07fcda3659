//! One connection after the other: to a host, or to the next of several on failure.
//!
//! It says when a connection is there and gives back what a lost one had not got acked. Which windows it is handed, and what is
//! done about a failure beside waiting and trying again, is not its business.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use crate::backoff::Backoff;
use crate::sink::LumberjackPlan;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::connect::Dialer;
use crate::sink::lumberjack::talk::End;
use crate::sink::lumberjack::talk::Talk;
use crate::sink::parcel::Parcel;

/// What a lane says.
#[derive(Debug)]
pub(super) enum News {
    /// It has a connection and takes windows there, as many at once as the plan allows.
    Up {
        /// Where it takes them.
        link: mpsc::Sender<Parcel>,
        /// Host and address.
        peer: String,
    },
    /// These documents are the server's now.
    Released {
        /// Some of the documents of the oldest window.
        parcel: Parcel,
        /// Whether that window has no others left.
        is_last: bool,
    },
    /// The server has acked nothing for a while and says that it is working.
    Stalled,
    /// There is no connection, or no longer one.
    Down {
        /// The windows it was handed and that were not acked, in order.
        unreleased: Vec<Parcel>,
        /// Documents of windows of which something had been written.
        retried: u64,
        /// Why; nothing where the server has ended an idle connection: then it waits until it is woken.
        error: Option<SinkError>,
    },
}

/// What makes and uses connections.
pub(super) struct Lane {
    pub(super) number: usize,
    pub(super) hosts: Vec<String>,
    pub(super) plan: Arc<LumberjackPlan>,
    pub(super) dialer: Dialer,
    pub(super) state: Arc<SinkState>,
    pub(super) news: mpsc::Sender<(usize, News)>,
    pub(super) wake: Arc<Notify>,
}

impl Lane {
    /// Goes from connection to connection until nobody hears its news any more.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        let mut host = 0;
        let mut next = crate::sink::now();
        loop {
            let connecting = async {
                sleep_until(next.into()).await;
                backoff.start(crate::sink::now());
                self.dialer.connect_any(&self.hosts, &mut host).await
            };
            let connected = tokio::select! {
                biased;
                () = self.news.closed() => return,
                connected = connecting => connected,
            };
            let down = match connected {
                Err(error) => News::Down { unreleased: Vec::new(), retried: 0, error: Some(error) },
                Ok((stream, peer)) => {
                    self.state.connected();
                    let (link, parcels) = mpsc::channel(self.plan.pipeline);
                    let up = News::Up { link, peer: peer.clone() };
                    if self.news.send((self.number, up)).await.is_err() {
                        return;
                    }
                    let mut talk = Talk::new(stream, peer, parcels, &self.plan, self.state.clone());
                    let end = talk.serve(&self.news, self.number).await;
                    if talk.released() > 0 {
                        backoff.succeed();
                    }
                    match end {
                        End::Parted => return,
                        End::Idle => News::Down { unreleased: talk.unreleased(), retried: 0, error: None },
                        End::Failed(error) => {
                            News::Down { retried: talk.begun(), unreleased: talk.unreleased(), error: Some(error) }
                        }
                    }
                }
            };
            let is_idle = matches!(down, News::Down { error: None, .. });
            if self.news.send((self.number, down)).await.is_err() {
                return;
            }
            next = self.next(&mut backoff, is_idle);
            if is_idle {
                tokio::select! {
                    biased;
                    () = self.news.closed() => return,
                    () = self.wake.notified() => {}
                }
            } else {
                host = (host + 1) % self.hosts.len();
            }
        }
    }

    /// From when on the next connection may be made.
    fn next(&self, backoff: &mut Backoff, is_idle: bool) -> Instant {
        if !is_idle {
            return backoff.fail(crate::sink::now(), crate::sink::draw());
        }
        // Nothing has failed: only the distance between two attempts is kept.
        let mut once = *backoff;
        once.succeed();
        once.fail(crate::sink::now(), 0)
    }
}
