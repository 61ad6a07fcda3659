//! Speed of finding secrets alone, one core: request URLs and the small fields beside them.
//!
//! `cargo bench --bench redact` prints nanoseconds a text, medians of 15 runs.

mod support;

use std::fmt::Write;
use std::hint::black_box;

use elbow::redact::Finding;
use elbow::redact::Redactor;
use elbow::redact::Replacement;

/// What the texts are made of. `{}` stands for a number from the seed; a field without a value is `-`.
const KINDS: [(&str, &[&str]); 6] = [
    ("empty", &["-"]),
    (
        "no query",
        &[
            "GET https://www.example.com:443/v2/orders/{}/lines/shipping-addresses/current/a-rather-long-path-segment HTTP/2.0",
            "GET https://api.example.com:443/static/build/20240301/assets/javascript/vendor.{}.chunk.min.js HTTP/2.0",
            "POST https://shop.example.com:443/checkout/8d3d5c1e-4f83-4cda-9d3d-{}/confirm/payment/ HTTP/1.1",
        ],
    ),
    (
        "5 parameters",
        &[
            "GET https://www.example.com:443/search?q=red+shoes&page={}&sort=price&color=blue&size=42 HTTP/2.0",
            "GET https://shop.example.com:443/p/{}?utm_source=mail&utm_medium=cpc&utm_campaign=spring&ref=home&lang=en HTTP/2.0",
            "GET https://api.example.com:443/v2/orders?user_id={}&from=2024-03-01&until=2024-03-02&limit=50&offset=100 HTTP/1.1",
        ],
    ),
    ("nested URL", &["GET https://www.example.com:443/in?next=https%3A%2F%2Fshop.example.com%2Fp%3Fid%3D{}%26page%3D1 HTTP/2.0"]),
    (
        "a secret",
        &[
            "GET https://api.example.com:443/v2/orders/{}?access_token=6f1ed002ab5595859014ebf0951522d9 HTTP/2.0",
            "GET https://www.example.com:443/reset?user={}&code=493201&lang=en HTTP/2.0",
        ],
    ),
    (
        "a token",
        &[
            "GET https://api.example.com:443/{}?a=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P HTTP/2.0",
        ],
    ),
];

/// So many texts of a kind in one chunk, and where they stand.
fn texts(shapes: &[&str], count: usize) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut draw = support::Draw::new(20_240_301);
    let mut chunk = String::new();
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let (before, behind) = draw.one_of(shapes).split_once("{}").unwrap_or(("-", ""));
        let start = chunk.len();
        write!(chunk, "{before}").expect("a string takes everything");
        if !behind.is_empty() {
            write!(chunk, "{}{behind}", draw.below(1_000_000)).expect("a string takes everything");
        }
        places.push((start, chunk.len()));
        chunk.push(' ');
    }
    (chunk.into_bytes(), places)
}

fn find(redactor: &Redactor, chunk: &[u8], places: &[(usize, usize)], found: &mut Vec<Finding>) -> usize {
    let mut all = 0;
    for &(start, end) in places {
        found.clear();
        redactor.find(chunk, start, end, found);
        all += black_box(&*found).len();
    }
    all
}

fn main() {
    let redactor = Redactor::new(Replacement::Mask, &[]).expect("no extra name");
    let mut found = Vec::new();
    let count = 20_000;
    for (name, shapes) in KINDS {
        let (chunk, places) = texts(shapes, count);
        let secrets = find(&redactor, &chunk, &places, &mut found);
        let time = support::median(15, || {
            find(&redactor, &chunk, &places, &mut found);
        });
        println!(
            "{name:12} {:4} bytes {:5.2} secrets {:6.1} ns a text",
            chunk.len() / count - 1,
            secrets as f64 / count as f64,
            time.as_nanos() as f64 / count as f64
        );
    }
}
