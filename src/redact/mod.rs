//! Finds secrets in URL-like text, and writes what stands in their place.
//!
//! It judges by names and by shapes that are published: the value of a parameter whose [name](names) is sensitive, the
//! user information of a URL, JSON Web Tokens and AWS access key ids. It does not guess from randomness, looks at one
//! text at a time, and changes nothing itself.

mod filter;
pub mod names;
mod params;
mod scan;
mod shape;

use std::fmt;

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;

use self::names::NameError;
use self::names::Names;
use self::params::Depth;
use self::scan::BLOCK;

/// Why something is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A parameter that carries a bearer's or a request's token.
    Token,
    /// A parameter that carries a key, a shared secret or the public half of one.
    Key,
    /// A parameter that carries a signature, which makes a signed URL usable.
    Signature,
    /// A parameter that carries a password or what serves as one.
    Password,
    /// A parameter that carries a session's id.
    Session,
    /// A parameter that carries a code to be used once.
    Code,
    /// A parameter that carries an e-mail address.
    Email,
    /// What stands between `://` and `@`.
    Userinfo,
    /// A JSON Web Token by its shape, wherever it stands.
    Jwt,
    /// An AWS access key id by its shape, wherever it stands.
    AccessKey,
    /// A parameter the operator has named.
    Custom,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 11] = [
        Self::Token,
        Self::Key,
        Self::Signature,
        Self::Password,
        Self::Session,
        Self::Code,
        Self::Email,
        Self::Userinfo,
        Self::Jwt,
        Self::AccessKey,
        Self::Custom,
    ];

    /// Its word in metrics and documentation.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Password => "password",
            Self::Session => "session",
            Self::Code => "code",
            Self::Email => "email",
            Self::Userinfo => "userinfo",
            Self::Jwt => "jwt",
            Self::AccessKey => "access_key",
            Self::Custom => "custom",
        }
    }
}

/// Where a secret stands: offsets into the chunk, of its own bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte; never equal to `start`.
    pub end: usize,
    /// Why it is one.
    pub rule: Rule,
}

/// What is written in a secret's place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// [`MASK`], the same for every secret.
    Mask,
    /// `h:` and 16 hexadecimal digits of HighwayHash-64 under this key: equal secrets stay equal, so that they can be
    /// counted and followed, and nobody without the key can try out guesses.
    Hash([u8; 32]),
}

/// Says that there is a key, never which.
impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mask => "Mask",
            Self::Hash(_) => "Hash(***)",
        })
    }
}

/// The word OpenTelemetry's semantic conventions ask for in `url.full` and `url.query`, so that other tools know it. It
/// is letters alone and needs no escape in a URL or in JSON.
pub const MASK: &[u8] = b"REDACTED";

const HASH_PREFIX: &[u8] = b"h:";

const HASH_BYTES: usize = HASH_PREFIX.len() + 16;

/// Stands before a secret in what is hashed: one packet of HighwayHash. Event ids may be computed under the same key; what
/// is hashed for them starts with a small version number, never with a letter.
const HASH_DOMAIN: &[u8; 32] = b"elbow redacted secret, version 1";

/// The shortest text with a secret in it: a name of one letter, `=`, and one byte.
const TEXT_BYTES_MIN: usize = 3;

/// Knows which names are sensitive and what is written in a secret's place. Built once; about 16 KiB.
pub struct Redactor {
    replacement: Replacement,
    names: Names,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("replacement", &self.replacement).finish_non_exhaustive()
    }
}

/// How far one text has been decided.
struct Progress {
    /// Behind the last finding; what starts before is part of that.
    decided: usize,
    /// Behind the last `@` that ended no user information: none begins before it.
    behind_at: usize,
}

impl Redactor {
    /// Most bytes [`replace`](Self::replace) appends.
    pub const REPLACEMENT_BYTES_MAX: usize = if HASH_BYTES > MASK.len() { HASH_BYTES } else { MASK.len() };

    /// Finds the secrets of the built-in rules, and the values of parameters with `extra_names`, which are compared as
    /// the built-in names are.
    ///
    /// # Errors
    /// An extra name that could never match.
    pub fn new(replacement: Replacement, extra_names: &[String]) -> Result<Self, NameError> {
        Ok(Self { replacement, names: Names::new(extra_names)? })
    }

    /// Appends what is secret in `chunk[start..end]`, in order and never overlapping. Of secrets that overlap the one
    /// that starts first counts, of those that start together the longest, and a parameter before a shape. The sign of
    /// equality counts as the start of its parameter's value.
    ///
    /// One pass over 64 bytes at a time where nothing looks like a secret; at most a small multiple of the text's
    /// length for any text. What stands outside the range is never considered.
    ///
    /// # Panics
    /// When the range does not lie inside the chunk.
    #[inline]
    pub fn find(&self, chunk: &[u8], start: usize, end: usize, found: &mut Vec<Finding>) {
        assert!(start <= end && end <= chunk.len(), "a text lies inside its chunk");
        if end.wrapping_sub(start) >= TEXT_BYTES_MIN {
            self.pass(chunk, start, end, found);
        }
    }

    fn pass(&self, chunk: &[u8], start: usize, end: usize, found: &mut Vec<Finding>) {
        let mut progress = Progress { decided: start, behind_at: start };
        let mut at = start;
        while end.wrapping_sub(at) > BLOCK {
            let Some(bytes) = chunk.get(at..at.wrapping_add(BLOCK + 1)) else { break };
            let hints = scan::hints(bytes.try_into().expect("the range is one block and a byte long"));
            self.follow(chunk, start, end, at, hints, &mut progress, found);
            at = at.wrapping_add(BLOCK);
        }
        let left = end.wrapping_sub(at);
        let hints = scan::last_hints(chunk, at) & (u64::MAX >> BLOCK.wrapping_sub(left));
        self.follow(chunk, start, end, at, hints, &mut progress, found);
    }

    /// Looks at each hint of the block at `base`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "it is the inside of two loops")]
    fn follow(
        &self,
        chunk: &[u8],
        start: usize,
        end: usize,
        base: usize,
        mut hints: u64,
        progress: &mut Progress,
        found: &mut Vec<Finding>,
    ) {
        while hints != 0 {
            let at = base.wrapping_add(hints.trailing_zeros() as usize);
            hints &= hints.wrapping_sub(1);
            if chunk.get(at) != Some(&b'=') || self.names.may_end(chunk, start, at) {
                self.look(&chunk[..end], start, at, progress, found);
            }
        }
    }

    /// Decides what the hint at `at` is the hint of; `text` ends where the text ends.
    #[inline(never)]
    fn look(&self, text: &[u8], start: usize, at: usize, progress: &mut Progress, found: &mut Vec<Finding>) {
        if at < progress.decided {
            // A parameter whose sign of equality is part of a secret is part of it, too.
            return;
        }
        let decided = progress.decided;
        let finding = match text[at] {
            b'=' => self.parameter(text, decided, at, at + 1, Depth::Plain),
            b'3' => match Depth::of_sign(text, start, at) {
                Some((depth, sign)) => self.parameter(text, decided.min(sign), sign, at + 2, depth),
                None => None,
            },
            b'@' => return self.sign_in(text, at, progress, found),
            b'y' => at.checked_sub(1).filter(|&first| first >= start).and_then(|first| shape::jwt(text, start, first)),
            _ => at.checked_sub(2).filter(|&first| first >= start).and_then(|first| shape::access_key(text, start, first)),
        };
        let Some(finding) = finding.filter(|finding| finding.start >= progress.decided) else { return };
        if self.is_replacement(&text[finding.start..finding.end]) {
            return;
        }
        let around = shape::userinfo(text, progress.decided, finding.start);
        take(around.unwrap_or(finding), progress, found);
    }

    /// The user information that the `@` at `at` may end.
    fn sign_in(&self, text: &[u8], at: usize, progress: &mut Progress, found: &mut Vec<Finding>) {
        match shape::userinfo(text, progress.decided.max(progress.behind_at), at) {
            Some(finding) if !self.is_replacement(&text[finding.start..finding.end]) => take(finding, progress, found),
            _ => progress.behind_at = at + 1,
        }
    }

    /// The value at `value` of the parameter whose sign of equality starts at `sign`. A secret before `floor` is no part of
    /// its name.
    fn parameter(&self, text: &[u8], floor: usize, sign: usize, value: usize, depth: Depth) -> Option<Finding> {
        let name = params::name(text, floor, sign)?;
        let rule = self.names.rule(&text[name.start..sign])?;
        let end = params::value_end(text, value, depth, name.in_path && rule == Rule::Session);
        (end > value).then_some(Finding { start: value, end, rule })
    }

    /// Whether a secret has been replaced already. Under a mask, hashes of others are replaced as well.
    fn is_replacement(&self, text: &[u8]) -> bool {
        let hash = |text: &[u8]| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        text == MASK
            || matches!(self.replacement, Replacement::Hash(_))
                && text.len() == HASH_BYTES
                && text.strip_prefix(HASH_PREFIX).is_some_and(hash)
    }

    /// Appends what stands in a secret's place, at most [`REPLACEMENT_BYTES_MAX`](Self::REPLACEMENT_BYTES_MAX) bytes.
    ///
    /// It has no space, quote, backslash or delimiter of a URL's query, and finding again leaves it as it is.
    pub fn replace(&self, secret: &[u8], out: &mut Vec<u8>) {
        let Replacement::Hash(key) = &self.replacement else {
            out.extend_from_slice(MASK);
            return;
        };
        let (words, _) = key.as_chunks::<8>();
        let mut hasher = HighwayHasher::new(Key([0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]))));
        hasher.append(HASH_DOMAIN);
        hasher.append(secret);
        let hash = hasher.finalize64();
        out.extend_from_slice(HASH_PREFIX);
        out.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(hash >> (4 * digit) & 15) as usize]));
    }
}

/// Appends `chunk[start..end]` with what stands in the place of each of the secrets `found` there. `replaced` is told where
/// each of them ended, and where `out` then does.
///
/// # Panics
/// When the findings are not of that text, in order.
pub fn apply(
    redactor: &Redactor,
    chunk: &[u8],
    start: usize,
    end: usize,
    found: &[Finding],
    out: &mut Vec<u8>,
    mut replaced: impl FnMut(usize, usize),
) {
    let mut copied = start;
    for finding in found {
        out.extend_from_slice(&chunk[copied..finding.start]);
        redactor.replace(&chunk[finding.start..finding.end], out);
        copied = finding.end;
        replaced(finding.end, out.len());
    }
    out.extend_from_slice(&chunk[copied..end]);
}

fn take(finding: Finding, progress: &mut Progress, found: &mut Vec<Finding>) {
    progress.decided = finding.end;
    found.push(finding);
}

#[cfg(test)]
mod tests;
