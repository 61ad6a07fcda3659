//! Why a file makes no lookup table: each cause with its line and what to do about it.
//!
//! It refuses to repeat a whole file: a cell is said as far as it goes, and of the header the first columns.

use ipnet::IpNet;

use super::table::FILE_BYTES_MAX;
use super::table::ROW_BYTES_MAX;
use super::table::ROWS_MAX;
use super::table::TABLE_BYTES_MAX;

/// Why a file makes no table. Lines are those of the file and start at 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More than [`FILE_BYTES_MAX`].
    #[error("a table of {bytes} bytes is larger than {FILE_BYTES_MAX}")]
    FileTooLarge {
        /// Bytes of the file.
        bytes: usize,
    },
    /// Rows that together are more than [`TABLE_BYTES_MAX`] when rendered.
    #[error(
        "line {line}: the rows up to here take more than {TABLE_BYTES_MAX} bytes as JSON: name fewer columns, or shorter members"
    )]
    TableTooLarge {
        /// Where that was reached.
        line: u64,
    },
    /// More than [`ROWS_MAX`].
    #[error("line {line}: more than {ROWS_MAX} rows")]
    TooManyRows {
        /// The first row too many.
        line: u64,
    },
    /// A row longer than [`ROW_BYTES_MAX`] when rendered.
    #[error("line {line}: a row of {bytes} bytes as JSON is larger than {ROW_BYTES_MAX}")]
    RowTooLarge {
        /// The row's line.
        line: u64,
        /// Bytes it takes.
        bytes: usize,
    },
    /// No row at all, which is more often a file written by halves than a wish.
    #[error("no row behind the header: write the whole file before it is read, or take the table out of the configuration")]
    Empty,
    /// A column that the header does not have.
    #[error("no column {name:?}; the header has {header:?}")]
    MissingColumn {
        /// The column.
        name: String,
        /// The columns there are, the first of them.
        header: Vec<String>,
    },
    /// A column the table is to use stands twice in the header.
    #[error("the header names column {name:?} twice: rename one")]
    DuplicateColumn {
        /// The column.
        name: String,
    },
    /// Two columns become one member, or a member has no name.
    #[error("two columns become the member {name:?}, or it has no name: name each column's member")]
    BadMember {
        /// The member.
        name: String,
    },
    /// A row with more or fewer cells than the header.
    #[error("line {line}: {cells} cells where the header has {columns}: quote cells that hold commas")]
    Ragged {
        /// The row's line.
        line: u64,
        /// Cells it has.
        cells: u64,
        /// Cells the header has.
        columns: u64,
    },
    /// A cell that is no UTF-8.
    #[error("line {line}: cell {cell} is no UTF-8: convert the file")]
    NotUtf8 {
        /// The row's line.
        line: u64,
        /// Which cell, from 1.
        cell: usize,
    },
    /// A cell that goes on over a line's end, as everything behind an unclosed quote does.
    #[error("line {line}: cell {cell} holds a line break: close its quotes")]
    LineBreak {
        /// The row's line.
        line: u64,
        /// Which cell, from 1.
        cell: usize,
    },
    /// A row without a key.
    #[error("line {line}: the key is empty")]
    EmptyKey {
        /// The row's line.
        line: u64,
    },
    /// A key that another row has.
    #[error("line {line}: the key {key:?} stands on line {first} already")]
    DuplicateKey {
        /// The row's line.
        line: u64,
        /// The key as this row has it.
        key: String,
        /// The other row's line.
        first: u64,
    },
    /// A key that is neither a network nor an address.
    #[error("line {line}: {key:?} is neither a network such as 10.0.0.0/8 nor an address")]
    BadNetwork {
        /// The row's line.
        line: u64,
        /// The key.
        key: String,
    },
    /// A network whose address has bits behind its prefix.
    #[error("line {line}: the network {key:?} has bits behind its prefix: is {meant} meant?")]
    HostBits {
        /// The row's line.
        line: u64,
        /// The key.
        key: String,
        /// The network that holds the address.
        meant: IpNet,
    },
    /// A cell of a column of numbers that is no JSON number.
    #[error("line {line}: {text:?} in column {column:?} is no JSON number")]
    BadNumber {
        /// The row's line.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        text: String,
    },
}
