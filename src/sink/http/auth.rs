//! Who the relay says it is, in the header where that stands.
//!
//! What is in a file is read again when a server takes it no more, and not before: it may be written before or after the server
//! knows of it.

mod aws;
mod role;

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use hyper::header::AUTHORIZATION;
use hyper::header::HeaderMap;
use hyper::header::HeaderValue;
use memchr::memmem;
use tokio::task::spawn_blocking;

pub use crate::sink::http::auth::aws::AwsPlan;
pub use crate::sink::http::auth::aws::AwsService;
pub use crate::sink::http::auth::role::AwsSource;
pub use crate::sink::http::auth::role::ContainerToken;

use crate::batch::Micros;
use crate::secret::Secret;
use crate::sink::SinkError;
use crate::sink::http::Content;
use crate::sink::http::auth::role::Role;

/// Who the relay says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nobody.
    #[default]
    None,
    /// A user with a password.
    Basic {
        /// The user's name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// Whoever holds a token.
    Bearer(Secret),
    /// Whoever holds one of Elasticsearch's API keys, as it gives them out: `encoded`, or `ID:KEY`.
    ApiKey(Secret),
    /// Whoever holds a key of AWS: each request is signed with it.
    Aws(Box<AwsPlan>),
}

/// Says so in each request.
#[derive(Debug)]
pub(super) struct Signer {
    auth: Auth,
    role: Option<Arc<Role>>,
    /// What has taken the place of the secret in `auth`.
    renewed: Mutex<Option<Secret>>,
}

impl Signer {
    pub(super) fn new(auth: &Auth) -> Self {
        let role = match auth {
            Auth::Aws(plan) => Some(Arc::new(Role::new(plan.source.clone()))),
            _ => None,
        };
        Self { auth: auth.clone(), role, renewed: Mutex::default() }
    }

    /// The password, key or token that is said, where there is one.
    pub(super) fn secret(&self) -> Option<Secret> {
        let first = match &self.auth {
            Auth::None | Auth::Aws(_) => return None,
            Auth::Basic { password: secret, .. } | Auth::Bearer(secret) | Auth::ApiKey(secret) => secret,
        };
        let renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(renewed.unwrap_or_else(|| first.clone()))
    }

    /// Reads the secret again where it is in a file, because a server did not take the one `said` in a request, and says whether it is
    /// another one now, which requests from then on say. A file that is no good leaves things as they are.
    pub(super) async fn renew(&self, said: Option<&Secret>, sink: &str) -> bool {
        let Some(old) = self.secret() else { return false };
        if said != Some(&old) {
            // Another request has seen to it meanwhile.
            return true;
        }
        let Some(path) = old.file().map(Path::to_owned) else { return false };
        let file = path.display().to_string();
        let reading = spawn_blocking(move || fs::read_to_string(&path).map(|text| Secret::of_file(&path, &text)));
        match reading.await.expect("reading does not panic") {
            Ok(secret) if secret == old => {}
            Ok(secret) if secret.fits_a_header() => {
                tracing::info!(sink, file, "the file has another secret now, which is tried");
                *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret);
                return true;
            }
            Ok(_) => tracing::warn!(sink, file, "what the file has now is empty, or cannot stand in a header"),
            Err(error) => tracing::warn!(sink, file, %error, "cannot read the secret again"),
        }
        false
    }

    /// Adds what says so to a request's headers, among which `Host` is already.
    pub(super) async fn sign(
        &self,
        headers: &mut HeaderMap,
        method: &Method,
        target: &str,
        body: &Content,
    ) -> Result<(), SinkError> {
        let secret = self.secret();
        let secret = secret.as_ref().map_or("", Secret::reveal);
        let text = match &self.auth {
            Auth::None => return Ok(()),
            Auth::Basic { user, .. } => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
            Auth::Bearer(_) => format!("Bearer {secret}"),
            Auth::ApiKey(_) if secret.contains(':') => format!("ApiKey {}", STANDARD.encode(secret)),
            Auth::ApiKey(_) => format!("ApiKey {secret}"),
            Auth::Aws(plan) => {
                let role = self.role.as_ref().expect("whoever signs for AWS has a role");
                let credentials = role.credentials().await?;
                let hash = aws::hash(body).await;
                aws::authorization(plan, &credentials, headers, method, target, &hash, now())
            }
        };
        let mut value = HeaderValue::from_str(&text).expect("the configuration has only secrets that may stand in a header");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// A refusal's text without these headers of the request, each as a whole, without its scheme, and the password in it: a
/// destination, or a proxy before it, may repeat the request that it refuses, and the reason is logged.
pub(super) fn conceal(body: Bytes, sent: &[HeaderValue]) -> Bytes {
    let mut body = body;
    for said in sent.iter().flat_map(words) {
        if memmem::find(&body, said.as_bytes()).is_some() {
            body = String::from_utf8_lossy(&body).replace(&said, "***").into();
        }
    }
    body
}

/// The same of one reason among others.
pub(super) fn conceal_in<'a>(text: &'a str, sent: &[HeaderValue]) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for said in sent.iter().flat_map(words) {
        if text.contains(&said) {
            text = text.replace(&said, "***").into();
        }
    }
    text
}

/// What of a header nobody is to read.
fn words(value: &HeaderValue) -> impl Iterator<Item = String> + use<> {
    let whole = value.to_str().unwrap_or_default();
    let word = whole.rsplit(' ').next().unwrap_or_default();
    let pair = STANDARD.decode(word).ok().and_then(|pair| String::from_utf8(pair).ok()).unwrap_or_default();
    let password = pair.split_once(':').map_or("", |(_, password)| password);
    [whole, word, password].map(str::to_owned).into_iter().filter(|said| !said.is_empty())
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &'static str, body: &str, want: &str) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let sent = [HeaderValue::from_static(sent)];
        assert_eq!(conceal_in(std::str::from_utf8(&body).unwrap(), &sent), want);
        assert_eq!(conceal(body, &sent), want.as_bytes(), "{sent:?}");
    }

    #[test]
    fn what_was_said_is_taken_out_of_refusals() {
        let basic = "Basic c29tZWJvZHk6aHVzaA==";
        check(basic, "no: Basic c29tZWJvZHk6aHVzaA== is not hush, somebody", "no: *** is not ***, somebody");
        check("Bearer hush", "bearer hush, Bearer hush, hush", "bearer ***, ***, ***");
        check("ApiKey aWQ6aHVzaA==", "aWQ6aHVzaA== of id:hush", "*** of id:***");
        check("hush", "x-amz-security-token:hush", "x-amz-security-token:***");
        check("hush", "nothing", "nothing");
    }
}
