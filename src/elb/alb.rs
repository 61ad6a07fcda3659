//! The access log of an Application Load Balancer: 18 fields in 2016, 34 today.

use super::format::Columns;
use super::format::Field;
use super::format::Format;
use super::format::Kind;
use super::format::Quoting;
use super::format::Shape;
use super::format::endpoint;
use super::format::mask;
use super::format::request;

/// The fields in the order AWS appended them; a line may end behind any of them from the thirteenth on.
const FIELDS: &[Field] = &[
    Field::bare("type", Shape::Text),
    Field::bare("time", Shape::Time),
    Field::bare("elb", Shape::Text),
    Field::bare("client:port", endpoint("client_ip", "client_port")),
    Field::bare("target:port", endpoint("target_ip", "target_port")),
    Field::bare("request_processing_time", Shape::Number),
    Field::bare("target_processing_time", Shape::Number),
    Field::bare("response_processing_time", Shape::Number),
    Field::bare("elb_status_code", Shape::Integer),
    Field::bare("target_status_code", Shape::Integer),
    Field::bare("received_bytes", Shape::Integer),
    Field::bare("sent_bytes", Shape::Integer),
    Field::quoted("request", request()),
    Field::quoted_or_dash("user_agent"),
    Field::bare("ssl_cipher", Shape::Text),
    Field::bare("ssl_protocol", Shape::Text),
    Field::bare("target_group_arn", Shape::Text),
    Field::quoted_or_dash("trace_id"),
    Field::either("domain_name", Shape::Text),
    Field::either("chosen_cert_arn", Shape::Text),
    Field::either("matched_rule_priority", Shape::Integer),
    Field::either("request_creation_time", Shape::Time),
    Field::either("actions_executed", Shape::Text),
    Field::either("redirect_url", Shape::Text),
    Field::either("error_reason", Shape::Text),
    Field::either("target_port_list", Shape::Text),
    Field::either("target_status_code_list", Shape::Text),
    Field::either("classification", Shape::Text),
    Field::either("classification_reason", Shape::Text),
    Field::either("conn_trace_id", Shape::Text),
    Field::either("transformed_host", Shape::Text),
    Field::either("transformed_uri", Shape::Text),
    Field::either("request_transform_status", Shape::Text),
    Field::either("ip_address", Shape::Text),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::Alb,
    fields: FIELDS,
    tokens_min: 13,
    time: 1,
    columns: Some(Columns { created: Some(21), name: 2, client: 3, backend: 4, times: 5, status: 8, bytes: 10, request: 12 }),
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
};
