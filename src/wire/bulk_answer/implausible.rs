//! Why an answer does not count, in words that repeat nothing of it.

use std::fmt;

use crate::json::reject::JsonReject;

/// Why nothing an answer says is believed. Its words repeat nothing of the answer, which may hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implausible {
    /// It is not one whole JSON text.
    NotJson(JsonReject),
    /// It is JSON, and not an object.
    NotAnObject,
    /// Its object has no member `items` that is an array.
    NoItems,
    /// Its object has more than one member `items`.
    ItemsTwice,
    /// It has items, and beside them an error as of a request that came to nothing.
    Refused,
    /// It has fewer items than there were documents.
    TooFew {
        /// Items there are.
        items: usize,
        /// Documents that were sent.
        sent: usize,
    },
    /// It has more items than there were documents.
    TooMany {
        /// Documents that were sent.
        sent: usize,
    },
    /// One of its items is not the answer to the document sent at its place.
    Item {
        /// Its place, from zero.
        position: usize,
        /// What is wrong with it.
        fault: ItemFault,
    },
}

/// Why an item is not the answer to the document sent at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemFault {
    /// It is not an object with exactly one member that is an object.
    Shape,
    /// It answers another action than `create`.
    Action,
    /// It has no id, or one that is not a text.
    NoId,
    /// Its id is not that of the document.
    OtherId,
    /// It has no status, or one that is not a whole number from 100 to 599.
    Status,
    /// It says the same thing twice.
    Twice,
    /// Its status is that of a stored document, and it has an error.
    Contradiction,
}

impl ItemFault {
    const fn words(self) -> &'static str {
        match self {
            Self::Shape => "it is not an object with exactly one object in it",
            Self::Action => "it answers another action than create",
            Self::NoId => "it has no id",
            Self::OtherId => "its id is not the one that was sent",
            Self::Status => "it has no status from 100 to 599",
            Self::Twice => "it says one thing twice",
            Self::Contradiction => "it is stored and has an error",
        }
    }
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(reject) => write!(f, "the answer is not whole JSON: {reject}"),
            Self::NotAnObject => f.write_str("the answer is not a JSON object"),
            Self::NoItems => f.write_str("the answer has no array of items"),
            Self::ItemsTwice => f.write_str("the answer has items twice"),
            Self::Refused => f.write_str("the answer has items and an error of the whole request"),
            Self::TooFew { items, sent } => write!(f, "the answer has {items} items for {sent} documents"),
            Self::TooMany { sent } => write!(f, "the answer has more than {sent} items for {sent} documents"),
            Self::Item { position, fault } => write!(f, "item {position} of the answer: {}", fault.words()),
        }
    }
}

impl std::error::Error for Implausible {}
