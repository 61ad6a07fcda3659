//! Speed of the enrichment steps alone, one core: one call at a time, as one line makes them.
//!
//! `cargo bench --bench enrich` prints nanoseconds a call, medians of 15 runs over answers that differ from call to call,
//! and what it takes to load what a step needs. `cargo bench --bench enrich -- STEP` runs the steps whose name contains that.

mod support;

#[path = "../tests/support/mmdb.rs"]
#[allow(dead_code, reason = "each user has its part")]
mod mmdb;

use core::net::IpAddr;
use core::net::Ipv4Addr;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use elbow::enrich::agent::Agents;
use elbow::enrich::agent::LOOKED_AT_BYTES_MAX;
use elbow::enrich::geo::Geo;
use elbow::enrich::table::Match;
use elbow::enrich::table::Table;
use elbow::enrich::table::TablePlan;
use elbow::enrich::url;
use mmdb::Data;
use support::Draw;

const CALLS: usize = 20_000;

/// Nanoseconds a call of one step, over and over all of its questions.
fn measure<Q>(only: Option<&str>, name: &str, questions: &[Q], mut call: impl FnMut(&Q)) {
    if only.is_some_and(|only| !name.contains(only)) {
        return;
    }
    let time = support::median(15, || questions.iter().for_each(&mut call));
    println!("{name:32} {:9.1} ns", time.as_nanos() as f64 / questions.len() as f64);
}

fn loaded<T>(name: &str, load: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let it = load();
    println!("{:32} {:9.1} ms", format!("({name})"), start.elapsed().as_secs_f64() * 1e3);
    it
}

fn table(rows: u64, match_by: Match) -> Table {
    let mut csv = String::from("key,team,zone\n");
    for row in 0..rows {
        let key = match match_by {
            Match::Exact => format!("host-{row}.example.com"),
            Match::Cidr => format!("{}/24", Ipv4Addr::from_bits((row as u32) << 8)),
        };
        writeln!(csv, "{key},team-{},zone-{}", row % 50, row % 7).expect("a string takes everything");
    }
    let plan = TablePlan { key_column: "key".to_owned(), match_by, columns: Vec::new(), numbers: Vec::new() };
    Table::from_csv(csv.as_bytes(), &plan).expect("a table")
}

/// A database of 4096 networks with records as large as those of a city.
fn cities() -> Vec<u8> {
    let names = ["192.0.2.0", "a", "b"];
    let networks: Vec<String> = (0..4096_u32).map(|at| Ipv4Addr::from_bits(at << 20).to_string()).collect();
    let city = |at: usize| {
        let code = |code: &str| vec![("iso_code", Data::text(code)), ("geoname_id", Data::Number(at as u32))];
        Data::Map(vec![
            ("city", Data::named(&format!("City {at} {}", names[at % 3]), vec![])),
            ("continent", Data::named("North America", vec![("code", Data::text("NA"))])),
            ("country", Data::named("United States", code("US"))),
            (
                "location",
                Data::Map(vec![
                    ("latitude", Data::Double(37.751 + at as f64 / 1000.0)),
                    ("longitude", Data::Double(-97.822)),
                    ("time_zone", Data::text("America/Chicago")),
                ]),
            ),
            ("postal", Data::Map(vec![("code", Data::text("67202"))])),
            ("subdivisions", Data::List(vec![Data::named("Kansas", code("KS"))])),
        ])
    };
    let networks: Vec<(&str, u8, Data)> = networks.iter().enumerate().map(|(at, ip)| (ip.as_str(), 12, city(at))).collect();
    mmdb::database("GeoLite2-City", &networks)
}

/// User agents as browsers and tools have them, each with other versions.
fn user_agents(count: usize, draw: &mut Draw) -> Vec<Vec<u8>> {
    let agent = |draw: &mut Draw| {
        let (version, build) = (80 + draw.below(60), draw.below(10_000));
        match draw.below(5) {
            0 => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{build}.0 Safari/537.36"
            ),
            1 => format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{version} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{build} Mobile/15E148 Safari/604.1"
            ),
            2 => format!(
                "Mozilla/5.0 (Linux; Android 13; SM-G991B Build/{build}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Mobile Safari/537.36"
            ),
            3 => format!("Mozilla/5.0 (compatible; Googlebot/2.{build}; +http://www.google.com/bot.html)"),
            _ => format!("okhttp/4.{version}.{build}"),
        }
    };
    (0..count).map(|_| agent(draw).into_bytes()).collect()
}

/// User agents as long as is looked at, made of words that many rules wait for.
fn hostile_agents(draw: &mut Draw) -> Vec<Vec<u8>> {
    const WORDS: [&str; 16] = [
        "Mozilla/5.0 ",
        "Linux; ",
        "Android 9; ",
        "Build/",
        "; wv) ",
        "AppleWebKit/",
        "Mobile ",
        "Safari/",
        "Chrome/",
        "CFNetwork/",
        "Darwin/",
        "bot",
        "spider ",
        "compatible; ",
        "Opera ",
        "1.2.3.4 ",
    ];
    let agent = |draw: &mut Draw| {
        let mut text = String::new();
        while text.len() < LOOKED_AT_BYTES_MAX {
            text.push_str(draw.one_of(&WORDS));
        }
        text.into_bytes()
    };
    (0..50).map(|_| agent(draw)).collect()
}

fn main() {
    let only = std::env::args().skip(1).find(|argument| argument != "--bench");
    let only = only.as_deref();
    let mut draw = Draw::new(20_240_301);

    let exact = loaded("load a table, 100k keys", || table(100_000, Match::Exact));
    let hosts: Vec<Vec<u8>> = (0..CALLS).map(|_| format!("host-{}.example.com", draw.below(120_000)).into_bytes()).collect();
    measure(only, "table exact", &hosts, |key| {
        black_box(exact.find(key));
    });
    let cidr = loaded("load a table, 100k networks", || table(100_000, Match::Cidr));
    let near: Vec<IpAddr> = (0..CALLS).map(|_| Ipv4Addr::from_bits(draw.below(110_000 << 8) as u32).into()).collect();
    measure(only, "table cidr", &near, |ip| {
        black_box(cidr.find_ip(*ip));
    });

    let geo = Geo::from_bytes(cities()).expect("a database");
    let few: Vec<IpAddr> = (0..2000).map(|_| Ipv4Addr::from_bits(draw.next() as u32).into()).collect();
    let asked: Vec<IpAddr> = (0..CALLS).map(|_| few[draw.below(2000) as usize]).collect();
    measure(only, "geo cached", &asked, |ip| {
        black_box(geo.find(*ip));
    });
    let mut out = Vec::new();
    measure(only, "geo uncached", &asked, |ip| {
        out.clear();
        geo.render(*ip, &mut out);
        black_box(&out);
    });

    let agents = loaded("load the built-in rules", Agents::built_in);
    let few = user_agents(1000, &mut draw);
    let asked: Vec<&[u8]> = (0..CALLS).map(|_| few[draw.below(1000) as usize].as_slice()).collect();
    measure(only, "agent cached", &asked, |agent| {
        black_box(agents.find(agent));
    });
    let mut render = |agent: &Vec<u8>| {
        out.clear();
        agents.render(agent, &mut out);
        black_box(&out);
    };
    measure(only, "agent uncached", &few, &mut render);
    measure(only, "agent uncached, hostile 1 KiB", &hostile_agents(&mut draw), &mut render);

    // Few enough to stay in the nearest memory, where a line has just been read when its URL is cut.
    let text = support::alb_lines(500);
    let urls: Vec<(usize, usize)> = memchr::memmem::find_iter(&text, b"https://")
        .map(|start| (start, start + memchr::memchr(b' ', &text[start..]).expect("a protocol behind it")))
        .collect();
    measure(only, "url split, of log lines", &urls, |(start, end)| {
        black_box(url::split(&text, *start, *end));
    });
    let long: Vec<String> = (0..2000)
        .map(
            |at| format!("https://www.shop.example.com:443/static/assets/js/app.{at:06}.js?version={at:08}&utm_source=mail-202",),
        )
        .collect();
    measure(only, "url split, 100 bytes", &long, |long| {
        black_box(url::split(long.as_bytes(), 0, long.len()));
    });
    measure(only, "url split and append, 100 bytes", &long, |long| {
        out.clear();
        let found = url::split(long.as_bytes(), 0, long.len()).expect("a URL");
        url::append(long.as_bytes(), &found, &mut out);
        black_box(&out);
    });
}
