//! What senders can make the relay say is said seldom: a log that anybody can fill hides what matters.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How long a thing is not said again.
const PAUSE: Duration = Duration::from_secs(10);

/// One thing to say.
#[derive(Debug, Default)]
pub struct Seldom {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Whether it may be said now, and then how often it was not since the last time.
    pub fn say(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().expect("nobody panics while counting");
        if state.said.is_some_and(|said| now < said + PAUSE) {
            state.unsaid += 1;
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_seldom_with_how_often_it_was_not() {
        let (seldom, begun) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.say(begun), Some(0));
        for seconds in [0, 1, 9] {
            assert_eq!(seldom.say(begun + Duration::from_secs(seconds)), None);
        }
        assert_eq!(seldom.say(begun + PAUSE), Some(3));
        assert_eq!(seldom.say(begun + PAUSE), None);
    }
}
