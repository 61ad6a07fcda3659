//! A client of the relay over HTTP/1.1 that says exactly the bytes it is given, and reads answers.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;

use serde_json::Value;

use crate::support::PATIENCE;

/// A connection that is kept.
pub(crate) struct Http {
    reader: BufReader<TcpStream>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that so many events are stored, and so many of them rejected.
    #[track_caller]
    pub(crate) fn took(&self, accepted: u64, rejected: u64) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        assert_eq!((&json["accepted"], &json["rejected"]), (&accepted.into(), &rejected.into()), "{self:?}");
    }

    /// Asserts that it is refused for this cause, and gives the problem.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, cause: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!((&json["status"], &json["cause"]), (&status.into(), &cause.into()), "{self:?}");
        assert!(json["stored"].is_u64() && json["detail"].is_string() && json["title"].is_string(), "{self:?}");
        let comes_again = matches!(status, 429 | 503);
        let seconds = self.header("retry-after").map(|text| text.parse::<u64>().expect("seconds"));
        assert_eq!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), comes_again, "{self:?}");
        json
    }
}

impl Http {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the relay listens")
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the relay reads");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    pub(crate) fn half_close(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The next answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    fn head(&mut self) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, first.clone()))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Ok(Answer { status, headers, body: String::new() })
    }

    pub(crate) fn try_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        if let Some(length) = answer.header("content-length") {
            let mut body = vec![0; length.parse().expect("a length")];
            self.reader.read_exact(&mut body)?;
            answer.body = String::from_utf8(body).expect("text");
        }
        Ok(answer)
    }

    /// The next answer where it has a head alone, whatever that says of a body.
    #[track_caller]
    pub(crate) fn bodiless_answer(&mut self) -> Answer {
        self.head().expect("an answer")
    }

    /// The next answer where it comes in chunks.
    #[track_caller]
    pub(crate) fn chunked_answer(&mut self) -> Answer {
        let mut answer = self.head().expect("an answer");
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{answer:?}");
        loop {
            let size = usize::from_str_radix(&self.line().expect("a chunk"), 16).expect("its size");
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).expect("a whole chunk");
            if size == 0 {
                return answer;
            }
            answer.body += std::str::from_utf8(&chunk[..size]).expect("text");
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches("\r\n").to_owned())
    }

    /// Whether the relay closes in order now, having said nothing more.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("a clean end");
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }

    /// Sends a body with these headers and gives the answer.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.send(request(path, headers, body.as_ref()));
        self.answer()
    }
}

/// The bytes of a request.
pub(crate) fn request(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn post(address: SocketAddr, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    Http::connect(address).post("/", headers, body)
}

/// The same bytes as a gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}
