//! Where an address is and whose network it is in, from MaxMind databases of the City, Country and ASN families.
//!
//! Takes a database's bytes whole, never a mapped file that could change underneath. It gives the names of ECS, in
//! English, and refuses to guess: what the database does not say is left out, and a record it cannot read is no answer.

use core::net::IpAddr;
use std::sync::Arc;

use maxminddb::MaxMindDbError;
use maxminddb::Reader;
use maxminddb::geoip2;

use super::cache::Cache;
use super::members::put_name;
use super::members::put_object;
use super::members::put_short_text;

/// Most bytes of a database. The largest that MaxMind sells have about half of that.
pub const DATABASE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Most bytes of one answer: nine texts of [`TEXT_BYTES_MAX`](super::members::TEXT_BYTES_MAX), their names, and the location.
pub const MEMBERS_BYTES_MAX: usize = 3 * 1024;

/// Most answers remembered.
pub const CACHE_ENTRIES_MAX: usize = 65_536;

/// Most bytes of remembered answers. One for a city has about 300.
pub const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a database tells, and with that below which ECS field its members belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where an address is: members of `geo`.
    Place,
    /// Whose network it is in: members of `as`.
    Network,
}

/// Why bytes are no database of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeoError {
    /// More than [`DATABASE_BYTES_MAX`].
    #[error("a database of {bytes} bytes is larger than {DATABASE_BYTES_MAX}")]
    TooLarge {
        /// Bytes of the database.
        bytes: usize,
    },
    /// No MaxMind database, or a part of one.
    #[error("no whole MaxMind database: {cause}")]
    Unreadable {
        /// What was wrong.
        cause: String,
    },
    /// A record that is damaged or laid out in another way than MaxMind's.
    #[error("the record for {ip} cannot be read: {cause}: use a whole database in the layout of MaxMind's")]
    BadRecord {
        /// An address it is for.
        ip: IpAddr,
        /// What was wrong.
        cause: String,
    },
    /// A database that tells something else.
    #[error(
        "a database of the type {database_type:?} tells neither places nor networks: use a City, Country, Enterprise, ASN or ISP database"
    )]
    UnknownType {
        /// Its type, as its metadata has it.
        database_type: String,
    },
}

/// One database in memory, and the latest answers.
#[derive(Debug)]
pub struct Geo {
    reader: Reader<Vec<u8>>,
    kind: Kind,
    cache: Cache<IpAddr>,
}

impl Geo {
    /// Takes a database. Its outline is checked, and of its records those for 256 addresses all over IPv4, so that a file
    /// with another layout is not silent for ever; any other record that cannot be read gives no members later.
    ///
    /// Takes less than a millisecond, and the bytes given.
    ///
    /// # Errors
    /// When it is too large, is no database, is of a type that tells nothing of use here, or has a record among those that
    /// is not laid out as MaxMind's are.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoError> {
        if bytes.len() > DATABASE_BYTES_MAX {
            return Err(GeoError::TooLarge { bytes: bytes.len() });
        }
        let reader = Reader::from_source(bytes).map_err(|error| GeoError::Unreadable { cause: error.to_string() })?;
        let name = reader.metadata().database_type.as_str();
        let kind = if ["City", "Country", "Enterprise"].iter().any(|family| name.contains(family)) {
            Kind::Place
        } else if ["ASN", "ISP"].iter().any(|family| name.contains(family)) {
            Kind::Network
        } else {
            return Err(GeoError::UnknownType { database_type: name.chars().take(100).collect() });
        };
        let geo = Self { reader, kind, cache: Cache::new(CACHE_ENTRIES_MAX, CACHE_BYTES_MAX) };
        let mut room = Vec::new();
        for first in 0..=u8::MAX {
            let ip = IpAddr::from([first, 1, 1, 1]);
            room.clear();
            geo.try_render(ip, &mut room).map_err(|error| GeoError::BadRecord { ip, cause: error.to_string() })?;
        }
        Ok(geo)
    }

    /// What it tells.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When it was made, in seconds since 1970.
    pub fn built_at(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// The members text for an address, remembered if possible; empty where nothing is known. At most
    /// [`MEMBERS_BYTES_MAX`] bytes.
    ///
    /// Takes about 25 ns where it is remembered and 1 us where not. Any number of threads may ask at once.
    pub fn find(&self, ip: IpAddr) -> Arc<[u8]> {
        let ip = ip.to_canonical();
        self.cache.find(&ip, || ip, |out| self.render(ip, out))
    }

    /// Appends the members text for an address, read from the database again.
    ///
    /// An IPv4 address written as IPv6, `::ffff:192.0.2.1`, is looked for as IPv4.
    pub fn render(&self, ip: IpAddr, out: &mut Vec<u8>) {
        let start = out.len();
        let ip = ip.to_canonical();
        if self.try_render(ip, out).is_err() {
            out.truncate(start);
        }
    }

    fn try_render(&self, ip: IpAddr, out: &mut Vec<u8>) -> Result<(), MaxMindDbError> {
        match self.kind {
            Kind::Place => self.place(ip, out),
            Kind::Network => self.network(ip, out),
        }
    }

    fn place(&self, ip: IpAddr, out: &mut Vec<u8>) -> Result<(), MaxMindDbError> {
        let Some(place) = self.reader.lookup(ip)?.decode::<geoip2::City<'_>>()? else { return Ok(()) };
        let mut put = |name: &str, text: Option<&str>| put_short_text(out, name, text.unwrap_or_default());
        put("continent_code", place.continent.code);
        put("continent_name", place.continent.names.english);
        put("country_iso_code", place.country.iso_code);
        put("country_name", place.country.names.english);
        // The last is the most specific one.
        if let Some(region) = place.subdivisions.last() {
            if let (Some(country), Some(code)) = (place.country.iso_code, region.iso_code) {
                put("region_iso_code", Some(&format!("{country}-{code}")));
            }
            put("region_name", region.names.english);
        }
        put("city_name", place.city.names.english);
        put("postal_code", place.postal.code);
        put("timezone", place.location.time_zone);
        if let (Some(lat), Some(lon)) = (place.location.latitude, place.location.longitude)
            && (-90.0..=90.0).contains(&lat)
            && (-180.0..=180.0).contains(&lon)
        {
            put_object(out, "location", |out| {
                put_coordinate(out, "lat", lat);
                put_coordinate(out, "lon", lon);
            });
        }
        Ok(())
    }

    fn network(&self, ip: IpAddr, out: &mut Vec<u8>) -> Result<(), MaxMindDbError> {
        let Some(network) = self.reader.lookup(ip)?.decode::<geoip2::Asn<'_>>()? else { return Ok(()) };
        if let Some(number) = network.autonomous_system_number {
            put_name(out, "number");
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        let holder = network.autonomous_system_organization.unwrap_or_default();
        put_object(out, "organization", |out| put_short_text(out, "name", holder));
        Ok(())
    }
}

/// Appends a finite number.
fn put_coordinate(out: &mut Vec<u8>, name: &str, degrees: f64) {
    put_name(out, name);
    out.extend_from_slice(ryu_js::Buffer::new().format_finite(degrees).as_bytes());
}

#[cfg(test)]
#[path = "../../tests/support/mmdb.rs"]
pub(crate) mod mmdb;

#[cfg(test)]
mod tests {
    use super::super::members::TEXT_BYTES_MAX;
    use super::super::members::parsed;
    use super::mmdb::Data;
    use super::mmdb::database;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    fn location(lat: f64, lon: f64) -> (&'static str, Data) {
        let zone = ("time_zone", Data::text("Europe/London"));
        ("location", Data::Map(vec![("latitude", Data::Double(lat)), ("longitude", Data::Double(lon)), zone]))
    }

    fn country(code: &str, name: &str) -> (&'static str, Data) {
        ("country", Data::named(name, vec![("iso_code", Data::text(code)), ("geoname_id", Data::Number(1))]))
    }

    fn cities() -> Vec<u8> {
        let region = |code: &str, name: &str| Data::named(name, vec![("iso_code", Data::text(code))]);
        let oxford = Data::Map(vec![
            ("city", Data::named("Oxford", vec![])),
            ("continent", Data::named("Europe", vec![("code", Data::text("EU"))])),
            country("GB", "United \"Kingdom\""),
            location(51.75, -1.25),
            ("postal", Data::Map(vec![("code", Data::text("OX1"))])),
            ("subdivisions", Data::List(vec![region("ENG", "England"), region("OXF", "Oxfordshire")])),
        ]);
        let nowhere =
            Data::Map(vec![country("", "Nowhere"), location(91.0, 0.0), ("unknown", Data::List(vec![Data::Double(1.0)]))]);
        let long = Data::Map(vec![("city", Data::named(&"a".repeat(TEXT_BYTES_MAX + 1), vec![])), location(f64::NAN, 0.0)]);
        database(
            "GeoLite2-City",
            &[
                ("192.0.2.0", 24, oxford.clone()),
                ("192.0.2.128", 25, Data::Map(vec![country("US", "United States")])),
                ("198.51.100.0", 24, nowhere),
                ("203.0.113.0", 24, long),
                ("2001:db8::", 32, oxford),
            ],
        )
    }

    fn networks() -> Vec<u8> {
        let number = ("autonomous_system_number", Data::Number(4_200_000_000));
        let holder = ("autonomous_system_organization", Data::text("Ex\\ample Ltd"));
        database(
            "GeoLite2-ASN",
            &[("192.0.2.0", 24, Data::Map(vec![number.clone(), holder])), ("192.0.3.0", 24, Data::Map(vec![number]))],
        )
    }

    #[track_caller]
    fn check(geo: &Geo, ip: &str, want: Value) {
        let ip: IpAddr = ip.parse().expect("an address");
        let mut out = b"before".to_vec();
        geo.render(ip, &mut out);
        assert_eq!(Value::Object(parsed(&out[6..])), want, "{ip}");
        for _ in 0..2 {
            assert_eq!(*geo.find(ip), out[6..], "{ip} as it is remembered");
        }
    }

    #[test]
    fn places_have_the_names_of_ecs() {
        let geo = Geo::from_bytes(cities()).expect("a database");
        assert_eq!((geo.kind(), geo.built_at()), (Kind::Place, 1_709_251_200));
        let oxford = json!({
            "continent_code": "EU", "continent_name": "Europe", "country_iso_code": "GB", "country_name": "United \"Kingdom\"",
            "region_iso_code": "GB-OXF", "region_name": "Oxfordshire", "city_name": "Oxford", "postal_code": "OX1",
            "timezone": "Europe/London", "location": {"lat": 51.75, "lon": -1.25},
        });
        for ip in ["192.0.2.0", "192.0.2.127", "::ffff:192.0.2.1", "2001:db8::1"] {
            check(&geo, ip, oxford.clone());
        }
        check(&geo, "192.0.2.128", json!({"country_iso_code": "US", "country_name": "United States"}));
    }

    #[test]
    fn what_is_empty_odd_or_too_long_is_left_out() {
        let geo = Geo::from_bytes(cities()).expect("a database");
        check(&geo, "198.51.100.1", json!({"country_name": "Nowhere", "timezone": "Europe/London"}));
        check(&geo, "203.0.113.1", json!({"timezone": "Europe/London"}));
        check(&geo, "127.0.0.1", json!({}));
        check(&geo, "::1", json!({}));
    }

    #[test]
    fn networks_have_the_names_of_ecs() {
        let geo = Geo::from_bytes(networks()).expect("a database");
        assert_eq!(geo.kind(), Kind::Network);
        check(&geo, "192.0.2.9", json!({"number": 4_200_000_000_u32, "organization": {"name": "Ex\\ample Ltd"}}));
        check(&geo, "192.0.3.9", json!({"number": 4_200_000_000_u32}));
        check(&geo, "192.0.4.9", json!({}));
    }

    #[test]
    fn the_type_says_what_a_database_tells() {
        for (kind, want) in [
            ("GeoIP2-City-North-America", Ok(Kind::Place)),
            ("GeoIP2-Country", Ok(Kind::Place)),
            ("GeoIP2-Enterprise", Ok(Kind::Place)),
            ("DBIP-City-Lite", Ok(Kind::Place)),
            ("GeoIP2-ISP", Ok(Kind::Network)),
            ("GeoIP2-Domain", Err(GeoError::UnknownType { database_type: "GeoIP2-Domain".to_owned() })),
        ] {
            let got = Geo::from_bytes(database(kind, &[("192.0.2.0", 24, Data::Map(vec![]))]));
            assert_eq!(got.map(|geo| geo.kind()), want);
        }
        let error = Geo::from_bytes(b"PK\x03\x04".to_vec()).expect_err("no database").to_string();
        assert!(error.starts_with("no whole MaxMind database: "), "{error}");
    }

    #[test]
    fn a_database_of_another_layout_is_refused() {
        let number = ("autonomous_system_number", Data::text("AS64496"));
        let error = Geo::from_bytes(database("Other-ASN", &[("8.0.0.0", 8, Data::Map(vec![number]))])).expect_err("odd records");
        assert!(error.to_string().starts_with("the record for 8.1.1.1 cannot be read: "), "{error}");
    }

    /// Asks a database that may be broken about some addresses: whatever it says must be members text within its bound.
    fn ask(bytes: Vec<u8>) {
        let Ok(geo) = Geo::from_bytes(bytes) else { return };
        for ip in ["192.0.2.1", "192.0.2.129", "198.51.100.1", "203.0.113.1", "0.0.0.0", "2001:db8::1", "ffff::"] {
            let text = geo.find(ip.parse().expect("an address"));
            parsed(&text);
            assert!(text.len() <= MEMBERS_BYTES_MAX);
        }
    }

    #[test]
    fn a_database_broken_anywhere_gives_an_error_or_no_answer() {
        for whole in [cities(), networks()] {
            assert!(Geo::from_bytes(whole.clone()).is_ok(), "it is whole before it is broken");
            // Each byte behind the tree, where values and metadata are, and some of the tree.
            let data = whole.windows(16).position(|window| window == [0; 16]).expect("the separator");
            for at in (0..data).step_by(37).chain(data..whole.len()) {
                for bit in [0x01, 0x20, 0x80, 0xff] {
                    let mut broken = whole.clone();
                    broken[at] ^= bit;
                    ask(broken);
                }
            }
            for end in (0..whole.len()).step_by(7) {
                assert!(Geo::from_bytes(whole[..end].to_vec()).is_err(), "the first {end} bytes of a database");
                ask(whole[end..].to_vec());
            }
        }
    }

    proptest! {
        #[test]
        fn many_broken_bytes_never_panic(breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
            let mut bytes = cities();
            for (at, byte) in breaks {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            ask(bytes);
        }
    }
}
