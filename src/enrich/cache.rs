//! Remembers answers, within a number of entries and of bytes, for any number of threads at once.
//!
//! Which answers are kept depends on what was asked and in which order, the answers themselves never do. It refuses to be
//! exact: the bounds are divided among parts with a lock each, so that it may hold a little less.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use quick_cache::DefaultHashBuilder;
use quick_cache::OptionsBuilder;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Shared;
use quick_cache::sync::DefaultLifecycle;

/// Parts with a lock each: enough that the workers of a large machine rarely meet in one.
const PARTS: usize = 32;

/// Bytes an entry takes besides its key's and its answer's text: twice a slot of 54, by the formula quick_cache gives for
/// its tables, the counts beside the answer, and what the allocator rounds up.
const ENTRY_BYTES: usize = 160;

/// How many bytes a key has elsewhere than in its slot.
pub(crate) trait KeyBytes {
    /// Bytes of it on the heap.
    fn heap_bytes(&self) -> usize;
}

impl KeyBytes for core::net::IpAddr {
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl KeyBytes for Box<[u8]> {
    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

/// Weighs an entry by its bytes, and at least by its share of them, so that the bound of bytes is one of entries too.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    share: usize,
}

impl<K: KeyBytes> Weighter<K, Arc<[u8]>> for Bytes {
    fn weight(&self, key: &K, answer: &Arc<[u8]>) -> u64 {
        self.share.max(key.heap_bytes() + answer.len() + ENTRY_BYTES) as u64
    }
}

/// Answers by key.
pub(crate) struct Cache<K> {
    shared: Shared<K, Arc<[u8]>, Bytes>,
    /// The answer of nothing, which many keys have.
    nothing: Arc<[u8]>,
}

impl<K> std::fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<K: KeyBytes + Eq + Hash + Clone> Cache<K> {
    /// Remembers at most so many entries and so many bytes, what an entry takes besides its texts included.
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let options = OptionsBuilder::new()
            .shards(PARTS)
            .estimated_items_capacity(entries_max)
            .weight_capacity(bytes_max as u64)
            .build()
            .expect("both capacities are given");
        let weighter = Bytes { share: bytes_max / entries_max };
        let shared = Shared::with_options(options, weighter, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { shared, nothing: Arc::new([]) }
    }

    /// The answer for a key: the remembered one, or what `make` appends to a buffer, remembered under `owned`.
    ///
    /// Two threads that ask the same at the same time may both make it.
    pub(crate) fn find<Q>(&self, key: &Q, owned: impl FnOnce() -> K, make: impl FnOnce(&mut Vec<u8>)) -> Arc<[u8]>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(answer) = self.shared.get(key) {
            return answer;
        }
        let mut text = Vec::new();
        make(&mut text);
        let answer = if text.is_empty() { Arc::clone(&self.nothing) } else { Arc::from(text) };
        self.shared.insert(owned(), Arc::clone(&answer));
        answer
    }

    /// The answer of nothing.
    pub(crate) fn nothing(&self) -> Arc<[u8]> {
        Arc::clone(&self.nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(cache: &Cache<Box<[u8]>>, key: &[u8], answer: &[u8]) -> (Arc<[u8]>, bool) {
        let mut made = false;
        let got = cache.find(
            key,
            || key.into(),
            |out| {
                made = true;
                out.extend_from_slice(answer);
            },
        );
        (got, made)
    }

    #[test]
    fn an_answer_is_made_once_and_nothing_is_an_answer() {
        let cache = Cache::new(1000, 1_000_000);
        assert_eq!(ask(&cache, b"a", b"1"), (Arc::from(*b"1"), true));
        assert_eq!(ask(&cache, b"a", b"2"), (Arc::from(*b"1"), false));
        assert_eq!(ask(&cache, b"b", b""), (Arc::from(*b""), true));
        assert_eq!(ask(&cache, b"b", b"3"), (Arc::from(*b""), false));
    }

    #[test]
    fn entries_and_bytes_have_a_bound() {
        #[track_caller]
        fn check(answer_bytes: usize, most: usize) {
            let cache = Cache::new(1024, 1024 * 1024);
            for key in 0..5000_u32 {
                ask(&cache, &key.to_be_bytes(), &vec![b'x'; answer_bytes]);
            }
            let held = cache.shared.len();
            assert!(held <= most && held > most / 2, "{held} of {most}");
        }
        check(0, 1024);
        check(100, 1024);
        check(2000, 1024 * 1024 / (2000 + 4 + ENTRY_BYTES));
    }
}
