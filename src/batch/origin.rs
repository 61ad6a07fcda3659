//! What a document was made from.
//!
//! It is kept beside the document, because a finished one does not say it in every schema. It refuses to know how any of
//! these is recognised.

/// What an event was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An ALB access-log line.
    Alb,
    /// A Classic access-log line.
    Classic,
    /// An NLB access-log line.
    Nlb,
    /// An ALB connection-log line.
    AlbConnection,
    /// An ALB health-check-log line.
    AlbHealthCheck,
    /// JSON.
    Json,
    /// Text, as it is.
    Text,
    /// A line no parser took.
    Reject,
}

impl Origin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Alb, Self::Classic, Self::Nlb, Self::AlbConnection, Self::AlbHealthCheck, Self::Json, Self::Text, Self::Reject];

    /// The word for it in the configuration and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Alb => "alb",
            Self::Classic => "classic",
            Self::Nlb => "nlb",
            Self::AlbConnection => "alb-connection",
            Self::AlbHealthCheck => "alb-health-check",
            Self::Json => "json",
            Self::Text => "text",
            Self::Reject => "reject",
        }
    }

    /// Its number in files, from 1 on; 0 is that nobody knows.
    pub fn to_byte(origin: Option<Self>) -> u8 {
        origin.map_or(0, |origin| origin as u8 + 1)
    }

    /// What has this number in files. One that a later version has written is not known either.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte.checked_sub(1)?)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These stand in files: whoever changes one makes documents of old buffers something else.
    #[test]
    fn numbers_in_files_stay_what_they_are() {
        let fixed = [
            (0, None),
            (1, Some("alb")),
            (2, Some("classic")),
            (3, Some("nlb")),
            (4, Some("alb-connection")),
            (5, Some("alb-health-check")),
            (6, Some("json")),
            (7, Some("text")),
            (8, Some("reject")),
        ];
        assert_eq!(fixed.len(), Origin::ALL.len() + 1, "a new origin gets the next number, and a row here");
        for (byte, label) in fixed {
            assert_eq!(Origin::from_byte(byte).map(Origin::label), label);
            assert_eq!(Origin::to_byte(Origin::from_byte(byte)), byte);
        }
        assert_eq!(Origin::from_byte(9), None);
        assert_eq!(Origin::from_byte(255), None);
    }
}
