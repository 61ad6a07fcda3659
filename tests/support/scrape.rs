//! The admin listener as a scraper sees it, over one connection that is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;

use crate::support::PATIENCE;

/// A connection to the admin listener.
pub(crate) struct Scraper {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Scraper {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Status and body of a page; connects where that has not happened yet, and again where the connection was kept for so
    /// long that the relay has closed it.
    pub(crate) fn page(&mut self, path: &str) -> io::Result<(u16, String)> {
        if let Some(kept) = self.stream.take()
            && let Ok(page) = self.ask(kept, path)
        {
            return Ok(page);
        }
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.ask(BufReader::new(stream), path)
    }

    fn ask(&mut self, mut stream: BufReader<TcpStream>, path: &str) -> io::Result<(u16, String)> {
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: elbow\r\n\r\n")?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let wrong = || io::Error::other(format!("not an answer: {head}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")).ok_or_else(wrong)?;
        let mut body = vec![0; length.trim().parse().map_err(|_| wrong())?];
        stream.read_exact(&mut body)?;
        self.stream = Some(stream);
        Ok((status, String::from_utf8(body).map_err(io::Error::other)?))
    }
}

/// Every series of one scrape.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    series: BTreeMap<String, f64>,
}

impl Metrics {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a series and its value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self { series: series.collect() }
    }

    /// All series of a family together; the name without `elbow_`.
    #[track_caller]
    pub(crate) fn sum(&self, family: &str) -> u64 {
        self.sum_where(family, "")
    }

    /// The series of a family that have this label, as `reason="idle"`.
    #[track_caller]
    pub(crate) fn sum_where(&self, family: &str, label: &str) -> u64 {
        let name = format!("elbow_{family}");
        let of_family = |series: &str| series.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        let mut found = self.series.iter().filter(|(series, _)| of_family(series)).peekable();
        assert!(found.peek().is_some(), "there is no metric {name}");
        found.filter(|(series, _)| series.contains(label)).map(|(_, value)| *value as u64).sum()
    }

    /// Events received, whatever became of them.
    #[track_caller]
    pub(crate) fn received(&self) -> u64 {
        self.sum("source_events_total")
    }

    #[track_caller]
    pub(crate) fn appended(&self) -> u64 {
        self.sum("buffer_appended_events_total")
    }

    #[track_caller]
    pub(crate) fn dropped(&self) -> u64 {
        self.sum("source_dropped_events_total")
    }

    #[track_caller]
    pub(crate) fn delivered(&self, sink: &str) -> u64 {
        self.sum_where("sink_delivered_events_total", &format!("sink=\"{sink}\""))
    }

    #[track_caller]
    pub(crate) fn buffered(&self, sink: &str) -> u64 {
        self.sum_where("sink_buffered_events", &format!("sink=\"{sink}\""))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (series, value) in self.series.iter().filter(|(_, value)| **value != 0.0) {
            writeln!(out, "{series} {value}")?;
        }
        Ok(())
    }
}
