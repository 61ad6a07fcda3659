//! What files became, kept in use while they change: new ones take its place, broken ones do not.
//!
//! It opens no file and knows none: how contents are read and what is made of them is handed in. When to look is not decided
//! here either.

use std::sync::Arc;
use std::sync::Mutex;

use arc_swap::ArcSwap;

use super::Looked;
use super::error::TlsError;

/// What is made of files with the contents `F`.
#[derive(Debug)]
pub(super) struct Fresh<F, T> {
    current: ArcSwap<T>,
    seen: Mutex<Seen<F>>,
}

/// Contents of files, or in words why they cannot be read.
type Contents<F> = Result<F, String>;

/// What has been seen of the files.
#[derive(Debug)]
struct Seen<F> {
    in_use: F,
    /// What was no use at the last look.
    unusable: Option<Contents<F>>,
    /// Whether that has been complained of.
    is_said: bool,
}

impl<F: Clone + PartialEq, T> Fresh<F, T> {
    /// What was made of files with these contents.
    pub(super) fn new(files: F, made: T) -> Self {
        let seen = Mutex::new(Seen { in_use: files, unusable: None, is_said: false });
        Self { current: ArcSwap::from_pointee(made), seen }
    }

    /// What is in use now.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at the files and takes what is made of them into use where they have changed. Whoever `asked` for it wants to know
    /// at once what is wrong; otherwise it is said at the second look, because two files are never replaced at the same moment.
    /// `read` is shown the contents in use.
    ///
    /// # Errors
    /// Why changed files are no use, once for each change; what was made before stays in use.
    pub(super) fn look(
        &self,
        asked: bool,
        read: impl FnOnce(&F) -> Result<F, TlsError>,
        make: impl FnOnce(&F) -> Result<T, TlsError>,
    ) -> Result<Looked, TlsError> {
        let mut seen = self.seen.lock().expect("nobody panics while files are looked at");
        let read = read(&seen.in_use);
        if read.as_ref().is_ok_and(|files| *files == seen.in_use) {
            (seen.unusable, seen.is_said) = (None, false);
            return Ok(Looked::Same);
        }
        let contents = read.as_ref().map(F::clone).map_err(ToString::to_string);
        let is_new = seen.unusable.as_ref() != Some(&contents);
        if !is_new && seen.is_said && !asked {
            return Ok(Looked::Same);
        }
        match read.and_then(|files| Ok((make(&files)?, files))) {
            Ok((made, files)) => {
                self.current.store(Arc::new(made));
                *seen = Seen { in_use: files, unusable: None, is_said: false };
                Ok(Looked::Loaded)
            }
            Err(error) => {
                seen.unusable = Some(contents);
                seen.is_said = asked || !is_new;
                if seen.is_said { Err(error) } else { Ok(Looked::Same) }
            }
        }
    }
}
