//! The access log of a Classic Load Balancer: 12 fields until May 2015, 15 since.

use super::format::Columns;
use super::format::Field;
use super::format::Format;
use super::format::Kind;
use super::format::Quoting;
use super::format::Shape;
use super::format::endpoint;
use super::format::mask;
use super::format::request;

/// The fields in order.
const FIELDS: &[Field] = &[
    Field::bare("time", Shape::Time),
    Field::bare("elb", Shape::Text),
    Field::bare("client:port", endpoint("client_ip", "client_port")),
    Field::bare("backend:port", endpoint("backend_ip", "backend_port")),
    Field::bare("request_processing_time", Shape::Number),
    Field::bare("backend_processing_time", Shape::Number),
    Field::bare("response_processing_time", Shape::Number),
    Field::bare("elb_status_code", Shape::Integer),
    Field::bare("backend_status_code", Shape::Integer),
    Field::bare("received_bytes", Shape::Integer),
    Field::bare("sent_bytes", Shape::Integer),
    Field::quoted("request", request()),
    Field::quoted_or_dash("user_agent"),
    Field::bare("ssl_cipher", Shape::Text),
    Field::bare("ssl_protocol", Shape::Text),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::Classic,
    fields: FIELDS,
    tokens_min: 12,
    time: 0,
    columns: Some(Columns { created: None, name: 1, client: 2, backend: 3, times: 4, status: 7, bytes: 9, request: 11 }),
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
};
