//! Which names of parameters are sensitive: the lists, and how a name is compared with them.
//!
//! A name is compared without regard to case, percent-decoded, and without any ASCII punctuation, so that `access_token`,
//! `accessToken`, `access-token` and `%61ccess.token` are one. Digits at its end do not count (`password1`). Of a name
//! with brackets the last part counts that is neither empty nor a number (`user[password]`, `token[0]`); `first` and `second`
//! behind a password are one, too, as Symfony's repeated fields are called (`form[password][first]`).
//!
//! Short words count as whole names; words that hardly mean anything else count at the end of any name, too. The sources:
//! OpenTelemetry's semantic conventions for `url.full` (`AWSAccessKeyId`, `Signature`, `sig`, `X-Goog-Signature`); OAuth 2 and
//! OpenID Connect (RFC 6749, 6750, 7009, 7521, 7636, 8628, 8693; OpenID Connect Core, RP-Initiated Logout); AWS signature
//! versions 2 and 4 in the query; Google Cloud Storage's signed URLs; Azure's shared access signatures, Functions and API
//! Management; SAML 2 bindings; the CAS protocol; the session names that servlets, PHP, ASP.NET, ColdFusion, osCommerce and
//! Socket.IO put into URLs by default. For passwords, codes and addresses there is no published list: those are the
//! words that forms use.
//!
//! Left out because they are no credentials or mostly mean something else: OAuth's `state`, `nonce` and `code_challenge`,
//! `client_id`, `Key-Pair-Id`, `Policy`, `hash`, `user`, `login`, `id`. An operator may name them.

use super::Rule;
use super::filter::Filter;
use super::params;
use super::params::NAME_BYTES_MAX;

/// Names that count as a whole.
const WHOLE: &[(Rule, &[&str])] = &[
    (
        Rule::Token,
        &[
            "assertion",
            "auth",
            "authorization",
            "bearer",
            "bearertokens",
            "clientassertion",
            "csrf",
            "idtokenhint",
            "jwt",
            "oauth",
            "samlart",
            "samlrequest",
            "samlresponse",
            "ticket",
            "tokenid",
            "tokenvalue",
            "xsrf",
        ],
    ),
    (
        Rule::Key,
        &[
            "accesskey",
            "activationkey",
            "appkey",
            "authkey",
            "clientkey",
            "confirmationkey",
            "consumerkey",
            "credential",
            "credentials",
            "functionskey",
            "googleaccessid",
            "key",
            "qak",
            "resetkey",
            "secretid",
            "serverkey",
            "xamzcredential",
            "xfunctionskey",
            "xgoogcredential",
            "xosscredential",
        ],
    ),
    (Rule::Signature, &["hmac", "sig", "sign"]),
    (
        Rule::Password,
        &[
            "contrasena",
            "kennwort",
            "loginpass",
            "motdepasse",
            "newpass",
            "newpwd",
            "oldpass",
            "oldpwd",
            "pass",
            "passcode",
            "passwordagain",
            "passwordconfirm",
            "passwordconfirmation",
            "passwordhash",
            "passwordrepeat",
            "passwort",
            "pin",
            "psw",
            "pw",
            "pwd",
            "pword",
            "senha",
            "userpass",
            "userpw",
            "userpwd",
        ],
    ),
    (
        Rule::Session,
        &[
            "authsession",
            "cfid",
            "connectsid",
            "jsessionidsso",
            "oscsid",
            "sess",
            "session",
            "sessiondata",
            "sessionkey",
            "sid",
            "usersession",
            "zenid",
        ],
    ),
    (Rule::Code, &["code", "hotp", "invitation", "invite", "magic", "magiclink", "otc", "otp", "totp"]),
    (Rule::Email, &["emailaddr", "loginhint", "mail", "usermail", "useremailaddr"]),
];

/// Endings that count in any name, behind a star.
const ENDINGS: &[(Rule, &[&str])] = &[
    (Rule::Token, &["*token"]),
    (
        Rule::Key,
        &[
            "*accesskeyid",
            "*apikey",
            "*encryptionkey",
            "*licensekey",
            "*masterkey",
            "*privatekey",
            "*secret",
            "*secretaccesskey",
            "*secretkey",
            "*sharedkey",
            "*signingkey",
            "*subscriptionkey",
        ],
    ),
    (Rule::Signature, &["*signature"]),
    (Rule::Password, &["*passphrase", "*passwd", "*password"]),
    (Rule::Session, &["*sessid", "*sessionid"]),
    (
        Rule::Code,
        &[
            "*2facode",
            "*accesscode",
            "*activationcode",
            "*authcode",
            "*authorizationcode",
            "*backupcode",
            "*codeverifier",
            "*confirmationcode",
            "*devicecode",
            "*invitationcode",
            "*invitecode",
            "*logincode",
            "*mfacode",
            "*onetimecode",
            "*otpcode",
            "*recoverycode",
            "*resetcode",
            "*securitycode",
            "*smscode",
            "*usercode",
            "*verificationcode",
            "*verifycode",
        ],
    ),
    (Rule::Email, &["*email", "*mailaddress"]),
];

/// Names that end like a secret and only say where a list goes on: Google's, Microsoft Graph's and AWS's words for it.
const HARMLESS_ENDINGS: &[&str] = &[
    "continuationtoken",
    "cursortoken",
    "deltatoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "pagingtoken",
    "resumetoken",
    "skiptoken",
    "startingtoken",
    "synctoken",
];

/// Most extra names.
pub const EXTRA_NAMES_MAX: usize = 256;

/// Most bytes of an extra name, punctuation not counted.
pub const EXTRA_NAME_BYTES_MAX: usize = 64;

/// Why an extra name cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no letter and no digit in it.
    #[error("the name {name:?} has no letter and no digit")]
    Empty {
        /// The name.
        name: String,
    },
    /// A name longer than [`EXTRA_NAME_BYTES_MAX`].
    #[error("a name of {bytes} bytes is longer than {EXTRA_NAME_BYTES_MAX}")]
    TooLong {
        /// Bytes of the name, punctuation not counted.
        bytes: usize,
    },
    /// A name with what stands in a secret's place, which would make redacted text look like a name.
    #[error("the name {name:?} has the mask in it")]
    Mask {
        /// The name.
        name: String,
    },
    /// More than [`EXTRA_NAMES_MAX`].
    #[error("{count} names are more than {EXTRA_NAMES_MAX}")]
    TooMany {
        /// How many there were.
        count: usize,
    },
}

/// Every built-in name by its rule, as it is compared: lower case, without punctuation. `*token` is any name that ends so.
pub fn all() -> impl Iterator<Item = (Rule, &'static str)> {
    pairs(WHOLE).chain(pairs(ENDINGS))
}

/// The endings that are no secret although `*token` says so, as they are compared.
pub fn harmless() -> impl Iterator<Item = &'static str> {
    HARMLESS_ENDINGS.iter().copied()
}

fn pairs(groups: &'static [(Rule, &'static [&'static str])]) -> impl Iterator<Item = (Rule, &'static str)> {
    groups.iter().flat_map(|&(rule, names)| names.iter().map(move |&name| (rule, name)))
}

/// The same without the stars.
fn endings() -> impl Iterator<Item = (Rule, &'static str)> {
    pairs(ENDINGS).map(|(rule, ending)| (rule, ending.trim_start_matches('*')))
}

/// The names one redactor knows.
pub(super) struct Names {
    /// Sorted by the last bytes, which are compared as one number, and then by name.
    whole: Vec<(u64, Box<[u8]>, Rule)>,
    endings: Vec<(u32, &'static [u8], Rule)>,
    filter: Filter,
}

impl Names {
    pub(super) fn new(extra: &[String]) -> Result<Self, NameError> {
        if extra.len() > EXTRA_NAMES_MAX {
            return Err(NameError::TooMany { count: extra.len() });
        }
        let entry = |name: Box<[u8]>, rule| (last_eight(&name), name, rule);
        let mut whole = Vec::new();
        for name in extra {
            whole.push(entry(extra_name(name)?, Rule::Custom));
        }
        whole.extend(pairs(WHOLE).map(|(rule, name)| entry(name.as_bytes().into(), rule)));
        // The sort is stable: of a name that is there twice the operator's stays.
        whole.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        whole.dedup_by(|second, first| second.1 == first.1);
        let endings = endings().filter_map(|(rule, ending)| Some((last_four(ending.as_bytes())?, ending.as_bytes(), rule)));
        let endings: Vec<_> = endings.collect();
        let mut filter = Filter::new();
        whole.iter().for_each(|(_, name, _)| filter.add_whole(name));
        endings.iter().for_each(|(_, ending, _)| filter.add_ending(ending));
        Ok(Self { whole, endings, filter })
    }

    /// Whether the name before the `=` at `at` could be sensitive; hardly ever `true` for one that is not.
    #[inline(always)]
    pub(super) fn may_end(&self, chunk: &[u8], start: usize, at: usize) -> bool {
        self.filter.may_end(chunk, start, at)
    }

    /// The rule of a name as it stands in a text, at most [`NAME_BYTES_MAX`] bytes.
    pub(super) fn rule(&self, raw: &[u8]) -> Option<Rule> {
        let mut name = [0; NAME_BYTES_MAX];
        let (mut from, mut to) = (0, 0);
        let mut rule = None;
        let mut part = |part: &[u8], first: bool, closed: bool| {
            let repeated = rule == Some(Rule::Password) && closed && matches!(part, b"first" | b"second");
            if !part.is_empty() && (first || !part.iter().all(u8::is_ascii_digit)) && !repeated {
                rule = self.rule_of_part(part);
            }
        };
        let mut at = 0;
        while at < raw.len() {
            let (byte, length) = if raw[at] == b'%' { params::escape(&raw[at..]).unwrap_or((b'%', 1)) } else { (raw[at], 1) };
            at += length;
            if counts(byte) {
                name[to] = byte.to_ascii_lowercase();
                to += 1;
            } else if matches!(byte, b'[' | b']') {
                part(&name[from..to], from == 0, byte == b']');
                from = to;
            }
        }
        part(&name[from..to], from == 0, false);
        rule
    }

    fn rule_of_part(&self, name: &[u8]) -> Option<Rule> {
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let stem = &name[..name.len() - digits];
        self.rule_of_word(name).or_else(|| if digits > 0 { self.rule_of_word(stem) } else { None })
    }

    fn rule_of_word(&self, name: &[u8]) -> Option<Rule> {
        let key = last_eight(name);
        if let Ok(at) = self.whole.binary_search_by(|(last, whole, _)| (*last, &**whole).cmp(&(key, name))) {
            return Some(self.whole[at].2);
        }
        let last = last_four(name)?;
        let mut endings = self.endings.iter().filter(|(key, ending, _)| *key == last && name.ends_with(ending));
        let rule = endings.next()?.2;
        (!HARMLESS_ENDINGS.iter().any(|ending| name.ends_with(ending.as_bytes()))).then_some(rule)
    }
}

/// The last eight bytes of a name as a number, zeros before a shorter one.
fn last_eight(name: &[u8]) -> u64 {
    match name.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => name.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
    }
}

/// The last four bytes of a name as a number; `None` for a shorter one. No ending is shorter.
fn last_four(name: &[u8]) -> Option<u32> {
    name.last_chunk().map(|last| u32::from_le_bytes(*last))
}

/// Whether a byte of a name counts when names are compared.
pub(super) fn counts(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn extra_name(text: &str) -> Result<Box<[u8]>, NameError> {
    let name: Vec<u8> = text.bytes().filter(|&byte| counts(byte)).map(|byte| byte.to_ascii_lowercase()).collect();
    let mask = super::MASK.to_ascii_lowercase();
    if name.is_empty() {
        return Err(NameError::Empty { name: text.to_owned() });
    }
    if name.len() > EXTRA_NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    if name.windows(mask.len()).any(|part| part == mask) {
        return Err(NameError::Mask { name: text.to_owned() });
    }
    Ok(name.into_boxed_slice())
}
