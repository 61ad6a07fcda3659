//! What a sender can do wrong.

/// Why a connection cannot go on. The set is closed: its words are labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A frame of another version, or bytes that are no Lumberjack at all, such as TLS where none is spoken.
    Version,
    /// A frame of a kind that senders do not send.
    FrameType,
    /// Key-value data (`2D`), which no Beat has sent since version 1 of the protocol.
    KeyValueFrame,
    /// A compressed frame within another one.
    Nested,
    /// A window of too many events.
    WindowTooLarge,
    /// An event that no window has announced.
    OutsideWindow,
    /// A sequence number that leaves some out: acknowledging it would acknowledge events that have not come.
    SequenceGap,
    /// An event over the limit.
    EventTooLong,
    /// A compressed frame that is, or becomes, longer than the limit.
    InflatedTooLong,
    /// A compressed frame that is no zlib, or damaged.
    Compression,
    /// A compressed frame that ends within a frame.
    CutShort,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Version,
        Self::FrameType,
        Self::KeyValueFrame,
        Self::Nested,
        Self::WindowTooLarge,
        Self::OutsideWindow,
        Self::SequenceGap,
        Self::EventTooLong,
        Self::InflatedTooLong,
        Self::Compression,
        Self::CutShort,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::FrameType => "frame_type",
            Self::KeyValueFrame => "key_value_frame",
            Self::Nested => "nested",
            Self::WindowTooLarge => "window_too_large",
            Self::OutsideWindow => "outside_window",
            Self::SequenceGap => "sequence_gap",
            Self::EventTooLong => "event_too_long",
            Self::InflatedTooLong => "inflated_too_long",
            Self::Compression => "compression",
            Self::CutShort => "cut_short",
        }
    }

    /// What it is and what helps, for a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Version => {
                "it does not speak version 2 of the Lumberjack protocol; is it a Beat with output.logstash, and do both sides agree about TLS?"
            }
            Self::FrameType => "it has sent a frame that is neither a window nor an event",
            Self::KeyValueFrame => "it sends key-value frames; have it send JSON, as every Beat does",
            Self::Nested => "it has sent a compressed frame within another one",
            Self::WindowTooLarge => "it sends windows over max_window_events; lower its bulk_max_size or raise the limit",
            Self::OutsideWindow => "it has sent an event that no window has announced",
            Self::SequenceGap => "its sequence numbers leave some out",
            Self::EventTooLong => {
                "it has sent an event over max_line_bytes, and will send it for ever; lower its max_bytes, raise the limit, or write long_lines = \"cut\""
            }
            Self::InflatedTooLong => {
                "it has sent a compressed frame over max_inflated_bytes; lower its bulk_max_size or raise the limit"
            }
            Self::Compression => "it has sent a compressed frame that is damaged",
            Self::CutShort => "it has sent a compressed frame that ends too early",
        }
    }
}
