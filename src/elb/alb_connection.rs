//! The connection log of an Application Load Balancer: 11 fields in November 2023, 15 today.

use super::format::Field;
use super::format::Form;
use super::format::Format;
use super::format::Kind;
use super::format::Quoting;
use super::format::Shape;
use super::format::checked;
use super::format::mask;
use super::format::sensitive;
use super::format::to;

/// The fields in order. Before the fourteenth came, a line did not name its load balancer.
const FIELDS: &[Field] = &[
    Field::bare("time", Shape::Time).ecs(&[to("event.end", Form::EventTime)]),
    Field::bare("client_ip", Shape::Ip).ecs(&[to("client.ip", Form::Ip)]),
    Field::bare("client_port", Shape::Integer).ecs(&[to("client.port", Form::Integer)]),
    Field::bare("listener_port", Shape::Integer).ecs(&[to("aws.elb.listener", Form::Text)]),
    Field::bare("tls_protocol", Shape::Text).ecs(&[
        to("aws.elb.ssl_protocol", Form::Text),
        to("tls.version", Form::ProtocolVersion),
        to("tls.version_protocol", Form::ProtocolName),
    ]),
    Field::bare("tls_cipher", Shape::Text).ecs(&[to("aws.elb.ssl_cipher", Form::Text), to("tls.cipher", Form::Text)]),
    Field::bare("tls_handshake_latency", Shape::Number).ecs(&[to("aws.elb.tls_handshake_latency", Form::Number)]),
    Field::quoted("leaf_client_cert_subject", Shape::Text).ecs(&[to("aws.elb.leaf_client_cert_subject", Form::Verbatim)]),
    Field::either("leaf_client_cert_validity", Shape::Text).ecs(&[
        to("aws.elb.leaf_client_cert_not_before", Form::NotBefore),
        to("aws.elb.leaf_client_cert_not_after", Form::NotAfter),
    ]),
    Field::either("leaf_client_cert_serial_number", Shape::Text).ecs(&[to("aws.elb.leaf_client_cert_serial_number", Form::Text)]),
    Field::either("tls_verify_status", Shape::Text)
        .ecs(&[to("aws.elb.tls_verify_status", Form::BeforeColon), to("aws.elb.tls_error_code", Form::BehindColon)]),
    Field::either("conn_trace_id", Shape::Text).ecs(&[to("aws.elb.conn_trace_id", Form::Text)]),
    Field::either("tls_keyexchange", Shape::Text).ecs(&[to("aws.elb.tls_keyexchange", Form::Text)]),
    Field::either("elb", Shape::Text).ecs(&[to("aws.elb.name", Form::Text)]),
    Field::either("ip_address", Shape::Ip).ecs(&[to("aws.elb.ip_address", Form::Ip)]),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::AlbConnection,
    fields: FIELDS,
    tokens_min: 11,
    time: 0,
    status: None,
    request: None,
    columns: None,
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
    checked: checked(FIELDS),
    sensitive: sensitive(FIELDS),
};
