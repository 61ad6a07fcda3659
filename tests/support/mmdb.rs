//! Writes small MaxMind databases (format 2.0), so that tests and benches need no file whose licence forbids passing it on.
//!
//! An IPv6 tree of 24-bit records with IPv4 below `::/96`, values written where they are used, and the metadata. It
//! refuses to be compact: no value is shared. Included by `#[path]` from the library's tests and from the benches.

use core::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// UTF-8 text.
    Text(String),
    /// An unsigned number of 16 bits. Readers are strict about the width.
    Short(u16),
    /// An unsigned number of 32 bits.
    Number(u32),
    /// An unsigned number of 64 bits.
    Long(u64),
    /// A floating-point number.
    Double(f64),
    /// Members in order.
    Map(Vec<(&'static str, Data)>),
    /// Values in order.
    List(Vec<Data>),
}

impl Data {
    /// A text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A place name with its English text and one in another language.
    pub(crate) fn named(english: &str, mut more: Vec<(&'static str, Data)>) -> Self {
        more.push(("names", Self::Map(vec![("de", Self::text("anders")), ("en", Self::text(english))])));
        Self::Map(more)
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                put_control(out, 2, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Double(value) => {
                put_control(out, 3, 8);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Short(value) => {
                put_control(out, 5, 2);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Long(value) => {
                put_control(out, 9, 8);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Number(value) => {
                put_control(out, 6, 4);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Map(members) => {
                put_control(out, 7, members.len());
                for (name, value) in members {
                    Self::text(name).put(out);
                    value.put(out);
                }
            }
            Self::List(values) => {
                put_control(out, 11, values.len());
                values.iter().for_each(|value| value.put(out));
            }
        }
    }
}

/// The byte or bytes that say a value's type and size.
fn put_control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, more) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
    };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend_from_slice(&[short, kind - 7]);
    }
    out.extend_from_slice(&more);
}

/// Where a record of the tree leads.
#[derive(Clone, Copy)]
enum Record {
    Nowhere,
    Node(usize),
    Value(usize),
}

/// A database of some type, with a value for each network. Networks inside others go behind them in any order.
pub(crate) fn database(kind: &str, networks: &[(&str, u8, Data)]) -> Vec<u8> {
    let mut values = Vec::new();
    let mut nodes = vec![[Record::Nowhere; 2]];
    let mut places: Vec<(u128, usize, &Data)> = networks.iter().map(|(ip, prefix, data)| place(ip, *prefix, data)).collect();
    places.sort_by_key(|(_, prefix, _)| *prefix);
    for (bits, prefix, data) in places {
        let value = Record::Value(values.len());
        data.put(&mut values);
        let mut node = 0;
        for depth in 0..prefix {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == prefix {
                nodes[node][side] = value;
                break;
            }
            if let Record::Node(next) = nodes[node][side] {
                node = next;
                continue;
            }
            // A wider network's value goes on below the new node on both sides.
            nodes.push([nodes[node][side]; 2]);
            nodes[node][side] = Record::Node(nodes.len() - 1);
            node = nodes.len() - 1;
        }
    }
    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::Nowhere => nodes.len(),
            Record::Node(at) => *at,
            Record::Value(at) => nodes.len() + 16 + at,
        };
        out.extend_from_slice(&u32::try_from(number).expect("a small database").to_be_bytes()[1..]);
    }
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&values);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = Data::Map(vec![
        ("binary_format_major_version", Data::Short(2)),
        ("binary_format_minor_version", Data::Short(0)),
        ("build_epoch", Data::Long(1_709_251_200)),
        ("database_type", Data::text(kind)),
        ("description", Data::Map(vec![("en", Data::text("made for a test"))])),
        ("ip_version", Data::Short(6)),
        ("languages", Data::List(vec![Data::text("de"), Data::text("en")])),
        ("node_count", Data::Number(nodes.len() as u32)),
        ("record_size", Data::Short(24)),
    ]);
    metadata.put(&mut out);
    out
}

fn place<'a>(ip: &str, prefix: u8, data: &'a Data) -> (u128, usize, &'a Data) {
    match ip.parse().expect("an address") {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), usize::from(prefix) + 96, data),
        IpAddr::V6(ip) => (ip.to_bits(), usize::from(prefix), data),
    }
}
