//! When files are looked at again: now and then, and at once when somebody asks for it. It knows no file.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How often files are looked at. An operator who has replaced one waits that long at the most.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Asks for all files to be looked at. Clones ask the same.
#[derive(Clone, Debug)]
pub struct Reload {
    asked: watch::Sender<()>,
    interval: Duration,
}

/// Waits for the next look. Each clone waits on its own.
#[derive(Clone, Debug)]
pub struct Looks {
    asked: watch::Receiver<()>,
    interval: Duration,
}

/// Why files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is time.
    Routine,
    /// Somebody asked, who wants to know what is wrong.
    Asked,
}

impl Reload {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::every(LOOK_INTERVAL)
    }

    fn every(interval: Duration) -> Self {
        Self { asked: watch::Sender::new(()), interval }
    }

    /// Asks. Whoever is looking just now looks once more.
    pub fn ask(&self) {
        self.asked.send_replace(());
    }

    /// One more who looks.
    pub fn looks(&self) -> Looks {
        Looks { asked: self.asked.subscribe(), interval: self.interval }
    }
}

impl Default for Reload {
    fn default() -> Self {
        Self::new()
    }
}

impl Looks {
    /// Waits until files are to be looked at. Abandoning it loses nothing.
    pub async fn next(&mut self) -> Look {
        match timeout(self.interval, self.asked.changed()).await {
            Ok(Ok(())) => Look::Asked,
            // Nobody is left who could ask: the interval goes on alone.
            Ok(Err(_)) => {
                tokio::time::sleep(self.interval).await;
                Look::Routine
            }
            Err(_) => Look::Routine,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn files_are_looked_at_now_and_then_and_when_somebody_asks() {
        let short = Duration::from_millis(20);
        let reload = Reload::every(short);
        let (mut looks, begun) = (reload.looks(), Instant::now());
        assert_eq!(looks.next().await, Look::Routine);
        assert!(begun.elapsed() >= short);
        reload.ask();
        reload.ask();
        assert_eq!(looks.next().await, Look::Asked, "at once");
        assert_eq!(looks.next().await, Look::Routine, "and once");
        drop(reload);
        let alone = Instant::now();
        assert_eq!(looks.next().await, Look::Routine);
        assert!(alone.elapsed() >= short);
    }
}
