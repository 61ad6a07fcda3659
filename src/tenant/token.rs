//! Tokens: secrets that senders prove with who they are.
//!
//! What is kept of one is its hash under a key that every process draws anew: so each is as long as any other, all of them are
//! compared whenever one is looked for, and the time that takes says nothing of how much of a guess was right. There is no way
//! to show one or to write it anywhere. It opens no file.

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;
use subtle::ConditionallySelectable;
use subtle::ConstantTimeEq;

/// Shortest token, in bytes: fewer can be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;

/// Longest token, in bytes; longer than any that are in use, signed ones included.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Most tokens in one file: the old one and the new one, for each of several senders.
pub const TOKENS_MAX: usize = 64;

/// Most bytes of a file of tokens.
pub const TOKEN_FILE_BYTES_MAX: usize = TOKENS_MAX * (TOKEN_BYTES_MAX + 2);

/// The key that this process hashes tokens under.
#[derive(Clone, Copy)]
pub struct TokenKey([u64; 4]);

/// What is kept of a token.
#[derive(Clone, Copy)]
pub struct Token([u8; 32]);

/// Why a text holds no tokens. It never says what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// There is no line that is not blank.
    #[error("it holds no token: write one on a line of its own, such as openssl rand -hex 32 makes")]
    Empty,
    /// A line is too short.
    #[error("line {line} is shorter than {TOKEN_BYTES_MIN} characters, and so little can be guessed")]
    Short {
        /// Its number, from 1.
        line: usize,
    },
    /// A line is too long.
    #[error("line {line} is longer than {TOKEN_BYTES_MAX} characters")]
    Long {
        /// Its number, from 1.
        line: usize,
    },
    /// A line could not stand in a header.
    #[error("line {line} has a character that is none of the visible ones of ASCII")]
    Characters {
        /// Its number, from 1.
        line: usize,
    },
    /// There are too many.
    #[error("it holds more than {TOKENS_MAX} tokens")]
    Many,
}

impl TokenKey {
    /// A key of these bytes, which nobody outside the process knows.
    pub fn new(bytes: [u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self([0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at])))
    }

    /// What is kept of a token; of anything else too, which is equal to no token then.
    pub fn token(&self, bytes: &[u8]) -> Token {
        let words = HighwayHasher::new(Key(self.0)).hash256(bytes);
        let mut hash = [0; 32];
        for (to, word) in hash.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        Token(hash)
    }

    /// The tokens of a text, one on each line; spaces around them and blank lines are nothing.
    ///
    /// # Errors
    /// When there is none, or a line cannot be one.
    pub fn read(&self, text: &[u8]) -> Result<Vec<Token>, TokensError> {
        let mut tokens = Vec::new();
        for (text, line) in text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..) {
            match text.len() {
                0 => continue,
                1..TOKEN_BYTES_MIN => return Err(TokensError::Short { line }),
                TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX => {}
                _ => return Err(TokensError::Long { line }),
            }
            if !text.iter().all(u8::is_ascii_graphic) {
                return Err(TokensError::Characters { line });
            }
            if tokens.len() == TOKENS_MAX {
                return Err(TokensError::Many);
            }
            tokens.push(self.token(text));
        }
        if tokens.is_empty() { Err(TokensError::Empty) } else { Ok(tokens) }
    }
}

impl Token {
    /// Whether both are the same token. Takes as long whatever they are.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Whose token this is, among these. All of them are looked at, in the same time wherever it stands and if nowhere.
    pub fn owner(&self, all: &[(Self, u32)]) -> Option<u32> {
        let mut found = u32::MAX;
        for (token, owner) in all {
            found.conditional_assign(owner, self.0.ct_eq(&token.0));
        }
        (found != u32::MAX).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"a key that nobody else can know.";

    #[test]
    fn a_file_holds_one_token_on_each_line() {
        let key = TokenKey::new(KEY);
        let tokens = key.read(b"\n  first-token-of-all\r\n\nthe-second-token\n").expect("two tokens");
        assert_eq!(tokens.len(), 2);
        let all: Vec<(Token, u32)> = tokens.into_iter().zip(5..).collect();
        assert_eq!(key.token(b"first-token-of-all").owner(&all), Some(5));
        assert_eq!(key.token(b"the-second-token").owner(&all), Some(6));
        for guess in [&b""[..], b"first-token-of-al", b"first-token-of-all ", b"FIRST-TOKEN-OF-ALL"] {
            assert_eq!(key.token(guess).owner(&all), None);
        }
        assert!(all[0].0.is(&key.token(b"first-token-of-all")) && !all[0].0.is(&all[1].0));
    }

    #[track_caller]
    fn check(text: &[u8], want: TokensError) {
        assert_eq!(TokenKey::new(KEY).read(text).err(), Some(want));
    }

    #[test]
    fn what_is_no_token_is_named_by_its_line_and_never_shown() {
        check(b"", TokensError::Empty);
        check(b" \n\r\n", TokensError::Empty);
        check(b"good-enough-a-token\nshort\n", TokensError::Short { line: 2 });
        check(&[b'x'; TOKEN_BYTES_MAX + 1], TokensError::Long { line: 1 });
        check(b"two words in one line", TokensError::Characters { line: 1 });
        check("schl\u{fc}ssel-des-hauses".as_bytes(), TokensError::Characters { line: 1 });
        check(&b"good-enough-a-token\n".repeat(TOKENS_MAX + 1), TokensError::Many);
    }

    #[test]
    fn two_processes_keep_different_things_of_one_token() {
        let (one, other) = (TokenKey::new(KEY), TokenKey::new([7; 32]));
        assert!(!one.token(b"the-same-token-here").is(&other.token(b"the-same-token-here")));
    }
}
