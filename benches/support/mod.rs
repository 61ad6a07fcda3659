//! What the benches share: realistic lines from a fixed seed, and medians.

use std::fmt::Write;
use std::time::Duration;
use std::time::Instant;

/// A small generator of repeatable numbers (SplitMix64).
pub(crate) struct Draw(u64);

impl Draw {
    /// Starts at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from zero up to, not including, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these.
    pub(crate) fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// `count` ALB access-log lines of 30 fields, about 580 bytes each, in one text.
#[allow(dead_code, reason = "each bench uses its part")]
pub(crate) fn alb_lines(count: usize) -> Vec<u8> {
    const AGENTS: [&str; 6] = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
        "curl/8.4.0",
        "okhttp/4.12.0",
        "-",
        r"Mozilla/5.0 (compatible; \x22odd\x22 bot/1.0; +http://bot.example/)",
    ];
    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web-prod/73e2d6bc24d8a067";
    let mut draw = Draw::new(20_240_301);
    let mut text = String::new();
    for at in 0..count {
        let host = draw.one_of(&["www.example.com", "api.example.com", "shop.example.com"]);
        let path = draw.one_of(&[
            "/",
            "/v2/orders/8123/lines",
            "/search?q=red+shoes&page=3",
            "/static/app.93.js",
            "/checkout/7?utm_source=mail",
        ]);
        let (ip, port) = (draw.next(), 1024 + draw.below(64_000));
        let agent = AGENTS[draw.below(6) as usize];
        writeln!(
            text,
            "h2 2024-03-01T{:02}:{:02}:{:02}.{:06}Z app/prod-web-alb/50dc6c495c0c9188 {}.{}.{}.{}:{port} 10.0.1.{}:8080 0.000 {}.{:03} 0.000 \
             {status} {status} {} {} \"GET https://{host}:443{path} HTTP/2.0\" \"{agent}\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 {GROUP} \
             \"Root=1-{:08x}-{:024x}\" \"{host}\" \"session-reused\" {} 2024-03-01T10:00:00.{:06}Z \"waf,forward\" \"-\" \"-\" \"10.0.1.7:8080\" \
             \"{status}\" \"-\" \"-\" TID_{:016x}{:016x}",
            at / 3600 % 24,
            at / 60 % 60,
            at % 60,
            draw.below(1_000_000),
            ip & 127,
            ip >> 8 & 255,
            ip >> 16 & 255,
            ip >> 24 & 255,
            draw.below(250),
            draw.below(2),
            draw.below(1000),
            60 + draw.below(4000),
            100 + draw.below(90_000),
            draw.next() as u32,
            draw.next(),
            draw.below(100),
            draw.below(1_000_000),
            draw.next(),
            draw.next(),
            status = draw.one_of(&["200", "200", "200", "204", "301", "404", "500"]),
        )
        .expect("a string takes everything");
    }
    text.into_bytes()
}

/// The median duration of `runs` calls, after one that does not count.
#[allow(dead_code, reason = "each bench uses its part")]
pub(crate) fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<_> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[runs / 2]
}
