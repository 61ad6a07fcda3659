//! Lookup tables: the rows of a CSV file, each rendered once, found by an exact key or by an address.
//!
//! Takes the file's bytes whole and answers from memory. It refuses everything doubtful while loading, with the line and
//! what to do, because a table that is a little wrong enriches events wrongly for as long as nobody looks.

use core::net::IpAddr;
use core::net::Ipv4Addr;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use csv::ByteRecord;
use csv::ReaderBuilder;
use ipnet::IpNet;
use ipnet::Ipv4Net;
use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::members::put_name;
use super::members::put_text;
pub use super::table_error::TableError;

/// Most bytes of a table's file.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most rows of a table, the header not counted.
pub const ROWS_MAX: usize = 1_000_000;

/// Most bytes of one rendered row: every event that finds it carries them.
pub const ROW_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of all rendered rows, equal ones counted once. Long names in many short rows make more text than the file has.
pub const TABLE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How a row is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The key is the text looked for, byte by byte.
    Exact,
    /// The key is a network such as `10.0.0.0/8`, or one address; of several that hold the address the smallest counts.
    Cidr,
}

/// What to make of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// The column rows are found by, as the header names it.
    pub key_column: String,
    /// How they are found.
    pub match_by: Match,
    /// The columns to add and the member each becomes. None means every column but the key's, under its own name.
    pub columns: Vec<(String, String)>,
    /// The columns, by the header's names, whose cells are JSON numbers and written as such.
    pub numbers: Vec<String>,
}

/// A row's text and the line it came from.
type Row = (Arc<[u8]>, u64);

/// Rows by key.
#[derive(Debug, Default)]
struct Rows {
    exact: HashMap<Box<[u8]>, Row>,
    v4: PrefixMap<Ipv4Net, Row>,
    v6: PrefixMap<Ipv6Net, Row>,
}

/// A table in memory. Rows that are rendered alike share their text.
///
/// A row takes about 100 bytes besides its key and its text.
#[derive(Debug)]
pub struct Table {
    rows: Rows,
    len: usize,
    /// Names of the members its rows may have.
    members: Box<[String]>,
    members_bytes_max: usize,
}

/// A column that becomes a member.
struct Column {
    at: usize,
    name: String,
    member: String,
    number: bool,
}

impl Table {
    /// Reads a CSV file (RFC 4180): the first row is the header, and a mark of byte order before it is passed over.
    ///
    /// An empty cell is a member left out. Blanks belong to their cell. Takes about a second for a million rows.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_csv(bytes: &[u8], plan: &TablePlan) -> Result<Self, TableError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(TableError::FileTooLarge { bytes: bytes.len() });
        }
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(bytes);
        let mut record = ByteRecord::new();
        if !read(&mut reader, bytes, &mut record)? {
            return Err(TableError::Empty);
        }
        let (key_at, columns) = columns(&record, plan)?;
        let members = columns.iter().map(|column| column.member.clone()).collect();
        let mut table = Self { rows: Rows::default(), len: 0, members, members_bytes_max: 0 };
        let mut texts: HashSet<Arc<[u8]>> = HashSet::new();
        let mut total = 0_usize;
        let mut room = Vec::new();
        while read(&mut reader, bytes, &mut record)? {
            let line = line_of(bytes, &record);
            if table.len == ROWS_MAX {
                return Err(TableError::TooManyRows { line });
            }
            room.clear();
            render(&record, &columns, line, &mut room)?;
            if room.len() > ROW_BYTES_MAX {
                return Err(TableError::RowTooLarge { line, bytes: room.len() });
            }
            let text = match texts.get(room.as_slice()) {
                Some(text) => Arc::clone(text),
                None => {
                    total += room.len();
                    let text: Arc<[u8]> = room.as_slice().into();
                    texts.insert(Arc::clone(&text));
                    text
                }
            };
            if total > TABLE_BYTES_MAX {
                return Err(TableError::TableTooLarge { line });
            }
            table.members_bytes_max = table.members_bytes_max.max(text.len());
            table.rows.put(plan.match_by, cell(&record, key_at), (text, line))?;
            table.len += 1;
        }
        if table.len == 0 {
            return Err(TableError::Empty);
        }
        Ok(table)
    }

    /// The members text of the row with this key; `None` as well in a table of networks.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows.exact.get(key).map(|(text, _)| &**text)
    }

    /// The members text of the smallest network that holds an address; `None` as well in a table of exact keys.
    ///
    /// An IPv4 address written as IPv6, `::ffff:10.0.0.1`, is looked for as IPv4.
    #[inline]
    pub fn find_ip(&self, ip: IpAddr) -> Option<&[u8]> {
        let row = match ip.to_canonical() {
            IpAddr::V4(ip) => self.rows.v4.get_lpm(&Ipv4Net::from(ip))?.1,
            IpAddr::V6(ip) => self.rows.v6.get_lpm(&Ipv6Net::from(ip))?.1,
        };
        Some(&row.0)
    }

    /// Number of rows, at least 1.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none, which never happens: such a file makes no table.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Names of the members its rows may have, in the order of the columns.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Bytes of the largest members text any lookup can give.
    pub fn members_bytes_max(&self) -> usize {
        self.members_bytes_max
    }
}

impl Rows {
    fn put(&mut self, match_by: Match, key: &str, row: Row) -> Result<(), TableError> {
        let line = row.1;
        if key.is_empty() {
            return Err(TableError::EmptyKey { line });
        }
        let old = match match_by {
            Match::Exact => self.exact.insert(key.as_bytes().into(), row),
            Match::Cidr => match network(key, line)? {
                IpNet::V4(network) => self.v4.insert(network, row),
                IpNet::V6(network) => self.v6.insert(network, row),
            },
        };
        match old {
            None => Ok(()),
            Some((_, first)) => Err(TableError::DuplicateKey { line, key: key.to_owned(), first }),
        }
    }
}

/// The network a key names. One of IPv4 written as IPv6, `::ffff:10.0.0.0/104`, is one of IPv4, as addresses are.
fn network(key: &str, line: u64) -> Result<IpNet, TableError> {
    let single = || key.parse::<IpAddr>().map(IpNet::from);
    let Ok(network) = key.parse::<IpNet>().or_else(|_| single()) else {
        return Err(TableError::BadNetwork { line, key: key.to_owned() });
    };
    if network.trunc() != network {
        return Err(TableError::HostBits { line, key: key.to_owned(), meant: network.trunc() });
    }
    if let IpNet::V6(mapped) = network
        && let Some(prefix) = mapped.prefix_len().checked_sub(128 - Ipv4Addr::BITS as u8)
        && let Some(ip) = mapped.addr().to_ipv4_mapped()
    {
        return Ok(Ipv4Net::new(ip, prefix).expect("the prefix is at most 32").into());
    }
    Ok(network)
}

/// Reads the next row and holds its cells to what every cell must be.
fn read(reader: &mut csv::Reader<&[u8]>, bytes: &[u8], record: &mut ByteRecord) -> Result<bool, TableError> {
    match reader.read_byte_record(record) {
        Ok(false) => return Ok(false),
        Ok(true) => {}
        Err(error) => {
            let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() else {
                unreachable!("a slice gives no read errors and bytes are not decoded: {error}");
            };
            let line = line_of(bytes, record);
            return Err(TableError::Ragged { line, cells: *len, columns: *expected_len });
        }
    }
    for (at, cell) in record.iter().enumerate() {
        if std::str::from_utf8(cell).is_err() {
            return Err(TableError::NotUtf8 { line: line_of(bytes, record), cell: at + 1 });
        }
        if memchr::memchr2(b'\n', b'\r', cell).is_some() {
            return Err(TableError::LineBreak { line: line_of(bytes, record), cell: at + 1 });
        }
    }
    Ok(true)
}

/// The line a row starts on. The reader's own count does not see empty lines right before it.
fn line_of(bytes: &[u8], record: &ByteRecord) -> u64 {
    let Some(position) = record.position() else { return 1 };
    let start = usize::try_from(position.byte()).unwrap_or(bytes.len()).min(bytes.len());
    let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

/// A cell as text.
fn cell(record: &ByteRecord, at: usize) -> &str {
    std::str::from_utf8(&record[at]).expect("every cell was found to be UTF-8")
}

/// Where the key is and which columns become members.
fn columns(header: &ByteRecord, plan: &TablePlan) -> Result<(usize, Vec<Column>), TableError> {
    let names: Vec<&str> = (0..header.len()).map(|at| cell(header, at)).collect();
    let place = |name: &str| {
        let mut places = (0..names.len()).filter(|at| names[*at] == name);
        match (places.next(), places.next()) {
            (Some(at), None) => Ok(at),
            (Some(_), Some(_)) => Err(TableError::DuplicateColumn { name: name.to_owned() }),
            (None, _) => {
                let header = names.iter().take(16).map(|name| (*name).to_owned()).collect();
                Err(TableError::MissingColumn { name: name.to_owned(), header })
            }
        }
    };
    let key_at = place(&plan.key_column)?;
    plan.numbers.iter().try_for_each(|name| place(name).map(|_| ()))?;
    let own = names.iter().enumerate().filter(|(at, _)| *at != key_at).map(|(_, name)| ((*name).to_owned(), (*name).to_owned()));
    let wanted: Vec<(String, String)> = if plan.columns.is_empty() { own.collect() } else { plan.columns.clone() };
    let mut columns: Vec<Column> = Vec::new();
    for (name, member) in wanted {
        let at = place(&name)?;
        if member.is_empty() || columns.iter().any(|column| column.member == member) {
            return Err(TableError::BadMember { name: member });
        }
        let number = plan.numbers.contains(&name);
        columns.push(Column { at, name, member, number });
    }
    Ok((key_at, columns))
}

fn render(record: &ByteRecord, columns: &[Column], line: u64, out: &mut Vec<u8>) -> Result<(), TableError> {
    for column in columns {
        let text = cell(record, column.at);
        if text.is_empty() {
            continue;
        }
        if !column.number {
            put_text(out, &column.member, text);
            continue;
        }
        // The reader of numbers passes over blanks, which would be copied.
        let number =
            serde_json::from_str::<serde_json::Number>(text).is_ok() && !text.contains(|c: char| c.is_ascii_whitespace());
        if !number {
            return Err(TableError::BadNumber { line, column: column.name.clone(), text: text.to_owned() });
        }
        put_name(out, &column.member);
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::members::parsed;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn plan(key: &str, match_by: Match) -> TablePlan {
        TablePlan { key_column: key.to_owned(), match_by, columns: Vec::new(), numbers: Vec::new() }
    }

    fn load(csv: &str, key: &str, match_by: Match) -> Table {
        Table::from_csv(csv.as_bytes(), &plan(key, match_by)).expect("a table")
    }

    #[track_caller]
    fn check(plan: &TablePlan, csv: &[u8], want: &str) {
        let error = Table::from_csv(csv, plan).expect_err("no table").to_string();
        assert!(error.contains(want), "{error} does not say {want}");
    }

    #[test]
    fn rows_are_found_by_their_exact_key() {
        let table =
            load("\u{feff}name,team,say\r\na,x,\"he said \"\"hi\"\", once\"\r\nb,,\r\n\r\nc,x,ü\r\n", "name", Match::Exact);
        assert_eq!(table.find(b"a"), Some(&br#","team":"x","say":"he said \"hi\", once""#[..]));
        assert_eq!(table.find(b"b"), Some(&b""[..]));
        assert_eq!(table.find("c".as_bytes()), Some(r#","team":"x","say":"ü""#.as_bytes()));
        assert_eq!(table.find(b"A"), None);
        assert_eq!(table.find(b""), None);
        assert_eq!(table.find_ip(IpAddr::from([10, 0, 0, 1])), None);
        assert_eq!((table.len(), table.is_empty()), (3, false));
        assert_eq!(table.members_bytes_max(), br#","team":"x","say":"he said \"hi\", once""#.len());
    }

    #[test]
    fn columns_are_renamed_and_numbers_stay_numbers() {
        let columns = [("n", "count"), ("key", "k\"")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        let plan = TablePlan { columns, numbers: vec!["n".to_owned()], ..plan("key", Match::Exact) };
        let table = Table::from_csv(b"key,other,n\na,1,-2.50e1\nb,2,\n", &plan).expect("a table");
        assert_eq!(table.find(b"a"), Some(&br#","count":-2.50e1,"k\"":"a""#[..]));
        assert_eq!(table.find(b"b"), Some(&br#","k\"":"b""#[..]));
        for bad in ["07", "x", "\" 7\"", "1e999", "NaN", "[1]"] {
            check(&plan, format!("key,other,n\na,1,{bad}\n").as_bytes(), "line 2: ");
        }
    }

    #[test]
    fn equal_renderings_are_one_text() {
        let table = load("k,v\na,1\nb,1\nc,2\n", "k", Match::Exact);
        let [a, b, c] = [b"a", b"b", b"c"].map(|key| table.find(key).expect("a row").as_ptr());
        assert!(a == b && a != c);
    }

    #[test]
    fn the_smallest_network_wins_and_addresses_are_networks() {
        let csv = "net,n\n10.0.0.0/8,8\n10.1.0.0/16,16\n10.1.2.3,32\n2001:db8::/32,v6\n::ffff:11.0.0.0/104,mapped\n::/0,all6\n";
        let table = load(csv, "net", Match::Cidr);
        let find = |ip: &str| {
            table.find_ip(ip.parse().expect("an address")).map(|text| parsed(text)["n"].as_str().expect("text").to_owned())
        };
        for (ip, want) in [
            ("10.2.0.1", Some("8")),
            ("10.1.0.1", Some("16")),
            ("10.1.2.3", Some("32")),
            ("::ffff:10.1.2.3", Some("32")),
            ("11.255.0.0", Some("mapped")),
            ("12.0.0.0", None),
            ("2001:db8::1", Some("v6")),
            ("2001:db9::1", Some("all6")),
            ("::10.1.2.3", Some("all6")),
        ] {
            assert_eq!(find(ip).as_deref(), want, "{ip}");
        }
        assert_eq!(table.find(b"10.0.0.0/8"), None);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let exact = plan("k", Match::Exact);
        check(&exact, b"", "no row behind the header");
        check(&exact, b"k,v\n\n", "no row behind the header");
        check(&exact, b"a,b\n1,2\n", r#"no column "k"; the header has ["a", "b"]"#);
        check(&exact, b"k,k\n1,2\n", "names column \"k\" twice");
        check(&exact, b"k,v,v\n1,2,3\n", "names column \"v\" twice");
        check(&exact, b"k,\n1,2\n", "the member \"\"");
        check(&exact, b"k,v\n1,2\n\n\n3\n", "line 5: 1 cells where the header has 2");
        check(&exact, b"k,v\r\n1,2\r\n\r\n3,4,5\r\n", "line 4: 3 cells where the header has 2");
        check(&exact, b"k,v\n1,2\n\n\n,2\n", "line 5: the key is empty");
        check(&exact, b"k,v\na,2\nb,2\na,3\n", "line 4: the key \"a\" stands on line 2 already");
        check(&exact, b"k,v\na,2\nb,\xff\n", "line 3: cell 2 is no UTF-8");
        check(&exact, b"k,\xff\na,2\n", "line 1: cell 2 is no UTF-8");
        check(&exact, b"k,v\na,\"2\nb,3\nc,4\n", "line 2: cell 2 holds a line break");
        let columns = [("v", "m"), ("w", "m")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        check(&TablePlan { columns, ..exact.clone() }, b"k,v,w\n1,2,3\n", "the member \"m\"");
        check(&TablePlan { numbers: vec!["n".to_owned()], ..exact }, b"k,v\n1,2\n", "no column \"n\"");
    }

    #[test]
    fn networks_that_are_none_are_named_with_their_line() {
        let cidr = plan("k", Match::Cidr);
        for bad in ["10.0.0.0/33", "10.0.0/8", "office", " 10.0.0.0/8", "10.0.0.0/", "::/129"] {
            check(&cidr, format!("k,v\n{bad},1\n").as_bytes(), "line 2: ");
        }
        check(&cidr, b"k,v\n10.0.0.1/8,1\n", "is 10.0.0.0/8 meant?");
        check(&cidr, b"k,v\n10.0.0.1,1\n10.0.0.1/32,1\n", "line 3: the key \"10.0.0.1/32\" stands on line 2");
        check(&cidr, b"k,v\n10.0.0.0/8,1\n::ffff:10.0.0.0/104,1\n", "stands on line 2");
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let exact = plan("k", Match::Exact);
        check(&exact, &vec![b'x'; FILE_BYTES_MAX + 1], "is larger than 67108864");
        check(&exact, format!("k,v\na,{}\n", "x".repeat(ROW_BYTES_MAX)).as_bytes(), "line 2: a row of 16391 bytes");
        let rows: String = (0..=ROWS_MAX).map(|row| format!("{row:x}\n")).collect();
        check(&exact, format!("k\n{rows}").as_bytes(), "line 1000002: more than 1000000 rows");
        let rows: String = (0..20_000).map(|row| format!("{row},{row}\n")).collect();
        check(&exact, format!("k,{}\n{rows}", "n".repeat(16_000)).as_bytes(), "as JSON: name fewer columns");
    }

    proptest! {
        #[test]
        fn the_longest_prefix_is_what_a_search_through_all_finds(
            networks in prop::collection::btree_set((0_u32..16, 26_u8..=32), 1..20),
            wide in prop::collection::btree_set((0_u32..16, 122_u8..=128), 0..20),
            ip in 0_u32..20,
        ) {
            let v4 = networks.iter().map(|(ip, prefix)| Ipv4Net::new(Ipv4Addr::from_bits(ip << 2), *prefix).expect("a prefix").trunc());
            let v6 = wide.iter().map(|(ip, prefix)| Ipv6Net::new(u128::from(ip << 2).into(), *prefix).expect("a prefix").trunc());
            let all: std::collections::BTreeSet<IpNet> = v4.map(IpNet::from).chain(v6.map(IpNet::from)).collect();
            let csv = all.iter().fold("net,n\n".to_owned(), |csv, net| csv + &format!("{net},{net}\n"));
            let table = load(&csv, "net", Match::Cidr);
            prop_assert_eq!(table.len(), all.len());
            for ip in (0..4).flat_map(|low| [IpAddr::from(Ipv4Addr::from_bits(ip * 4 + low)), IpAddr::V6(u128::from(ip * 4 + low).into())]) {
                let want = all.iter().filter(|net| net.contains(&ip)).max_by_key(|net| net.prefix_len());
                let got = table.find_ip(ip).map(|text| parsed(text)["n"].clone());
                prop_assert_eq!(got, want.map(|net| Value::from(net.to_string())));
            }
        }

        #[test]
        fn any_cells_come_back(cells in prop::collection::vec("(?s)[^\r\n]{0,30}", 3), names in prop::collection::hash_set("[^\r\n]{1,8}", 3)) {
            let names: Vec<String> = names.into_iter().collect();
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            let row: Vec<String> = std::iter::once("key".to_owned()).chain(cells.iter().cloned()).collect();
            writer.write_record(std::iter::once(&"\u{1}k".to_owned()).chain(&names)).expect("memory");
            writer.write_record(&row).expect("memory");
            let csv = writer.into_inner().expect("memory");
            let table = Table::from_csv(&csv, &plan("\u{1}k", Match::Exact)).expect("a table");
            let text = table.find(b"key").expect("a row");
            prop_assert_eq!(text.len(), table.members_bytes_max());
            let map = parsed(text);
            let want = names.iter().zip(&cells).filter(|(_, cell)| !cell.is_empty());
            prop_assert!(want.clone().all(|(name, cell)| map.get(name) == Some(&Value::from(cell.as_str())) || name == "x"));
            prop_assert!(map.len() <= want.count());
        }

        #[test]
        fn any_bytes_give_a_table_or_an_error(bytes in prop::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"k,v\n\r\"10./8".to_vec())], 0..60)) {
            for match_by in [Match::Exact, Match::Cidr] {
                if let Ok(table) = Table::from_csv(&[b"k,v\n", bytes.as_slice()].concat(), &plan("k", match_by)) {
                    prop_assert!(!table.is_empty());
                }
            }
        }
    }
}
