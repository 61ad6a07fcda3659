//! Realistic load-balancer lines of every kind from a fixed seed.

use std::fmt::Write;

use crate::support::Draw;

/// Makes so many lines.
type Make = fn(usize) -> Vec<u8>;

/// A kind of log by its word, and the lines of it.
pub(crate) const KINDS: [(&str, Make); 5] = [
    ("alb", crate::support::alb_lines),
    ("classic", classic_lines),
    ("nlb", nlb_lines),
    ("alb-connection", connection_lines),
    ("alb-health-check", health_check_lines),
];

fn lines(count: usize, mut line: impl FnMut(&mut Draw, String) -> String) -> Vec<u8> {
    let mut draw = Draw::new(20_240_302);
    let mut text = String::new();
    for at in 0..count {
        let time = format!("2026-03-01T{:02}:{:02}:{:02}", at / 3600 % 24, at / 60 % 60, at % 60);
        writeln!(text, "{}", line(&mut draw, time)).expect("a string takes everything");
    }
    text.into_bytes()
}

fn address(draw: &mut Draw) -> String {
    let bits = draw.next();
    format!("{}.{}.{}.{}", 1 + (bits & 127), bits >> 8 & 255, bits >> 16 & 255, bits >> 24 & 255)
}

fn classic_lines(count: usize) -> Vec<u8> {
    lines(count, |draw, time| {
        let (client, status) = (address(draw), draw.one_of(&["200", "200", "304", "404", "503"]));
        format!(
            "{time}.{:06}Z prod-web {client}:{} 10.0.1.{}:80 0.0000{} 0.0{:05} 0.00004{} {status} {status} {} {} \
             \"GET http://www.example.com:80/orders/{}?page=2 HTTP/1.1\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/121.0\" \
             ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2",
            draw.below(1_000_000),
            1024 + draw.below(64_000),
            draw.below(250),
            10 + draw.below(90),
            draw.below(100_000),
            draw.below(10),
            draw.below(4000),
            draw.below(90_000),
            draw.below(100_000),
        )
    })
}

fn nlb_lines(count: usize) -> Vec<u8> {
    lines(count, |draw, time| {
        let client = address(draw);
        format!(
            "tls 2.0 {time} net/edge/fedcba9876543210 0011223344556677 {client}:{} 10.0.9.9:443 {} {} {} {} - \
             arn:aws:acm:eu-west-1:123456789012:certificate/0f0e0d0c-0b0a-0908-0706-050403020100 - TLS_AES_128_GCM_SHA256 tlsv13 \
             x25519 www.example.com h2 h2 \"h2\" {time}",
            1024 + draw.below(64_000),
            draw.below(90_000),
            draw.below(100),
            draw.below(9000),
            draw.below(90_000),
        )
    })
}

fn connection_lines(count: usize) -> Vec<u8> {
    lines(count, |draw, time| {
        let client = address(draw);
        format!(
            "{time}.{:06}Z {client} {} 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.0{} \"CN=client {},O=Example Inc.,C=US\" \
             NotBefore=2025-01-01T00:00:00Z;NotAfter=2027-01-01T00:00:00Z FEF257372D5C14D4 Success TID_{:016x}{:016x} X25519MLKEM768 \
             app/web/0123456789abcdef 203.0.113.200",
            draw.below(1_000_000),
            1024 + draw.below(64_000),
            10 + draw.below(90),
            draw.below(1000),
            draw.next(),
            draw.next(),
        )
    })
}

fn health_check_lines(count: usize) -> Vec<u8> {
    lines(count, |draw, time| {
        let (status, code, reason) =
            [("PASS", "200", "-"), ("PASS", "200", "-"), ("FAIL", "502", "ResponseCodeMismatch")][draw.below(3) as usize];
        format!(
            "http {time}.{:06}Z 0.0{:08} 10.0.1.{}:80 web-targets {status} {code} {reason} app/web/0123456789abcdef 203.0.113.200",
            draw.below(1_000_000),
            draw.below(100_000_000),
            draw.below(250),
        )
    })
}
