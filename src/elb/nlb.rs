//! The access log of a Network Load Balancer, which it writes for TLS listeners: 18 fields in 2019, 22 today.

use super::format::Columns;
use super::format::Field;
use super::format::Form;
use super::format::Format;
use super::format::Kind;
use super::format::Quoting;
use super::format::Shape;
use super::format::Span;
use super::format::checked;
use super::format::endpoint;
use super::format::mask;
use super::format::sensitive;
use super::format::to;

/// The fields in order. The version in the second did not change when fields were added behind the eighteenth.
const FIELDS: &[Field] = &[
    Field::bare("type", Shape::Text).ecs(&[to("aws.elb.type", Form::Text)]),
    Field::bare("version", Shape::Text),
    Field::bare("time", Shape::Time).ecs(&[to("event.end", Form::EventTime)]),
    Field::bare("elb", Shape::Text).ecs(&[to("aws.elb.name", Form::Text)]),
    Field::bare("listener", Shape::Text).ecs(&[to("aws.elb.listener", Form::Text)]),
    Field::bare("client:port", endpoint("client_ip", "client_port")).ecs(&[
        to("source.address", Form::EndpointIp),
        to("source.ip", Form::EndpointIp),
        to("source.port", Form::EndpointPort),
    ]),
    Field::bare("destination:port", endpoint("destination_ip", "destination_port"))
        .ecs(&[to("aws.elb.backend.ip", Form::EndpointIp), to("aws.elb.backend.port", Form::EndpointPortText)]),
    Field::bare("connection_time", Shape::Integer).ecs(&[to("aws.elb.connection_time.ms", Form::Integer)]),
    Field::bare("tls_handshake_time", Shape::Integer).ecs(&[to("aws.elb.tls_handshake_time.ms", Form::Integer)]),
    Field::bare("received_bytes", Shape::Integer).ecs(&[to("source.bytes", Form::Integer)]),
    Field::bare("sent_bytes", Shape::Integer).ecs(&[to("destination.bytes", Form::Integer)]),
    Field::bare("incoming_tls_alert", Shape::Integer).ecs(&[to("aws.elb.incoming_tls_alert", Form::Text)]),
    Field::bare("chosen_cert_arn", Shape::Text).ecs(&[to("aws.elb.chosen_cert.arn", Form::Text)]),
    Field::bare("chosen_cert_serial", Shape::Text).ecs(&[to("aws.elb.chosen_cert.serial", Form::Text)]),
    Field::bare("tls_cipher", Shape::Text).ecs(&[to("aws.elb.ssl_cipher", Form::Text), to("tls.cipher", Form::Text)]),
    Field::bare("tls_protocol_version", Shape::Text).ecs(&[
        to("aws.elb.ssl_protocol", Form::Text),
        to("tls.version", Form::ProtocolVersion),
        to("tls.version_protocol", Form::ProtocolName),
    ]),
    Field::bare("tls_keyexchange", Shape::Text).ecs(&[to("aws.elb.tls_named_group", Form::Text)]),
    Field::bare("domain_name", Shape::Text).ecs(&[to("destination.domain", Form::Text)]),
    Field::either("alpn_fe_protocol", Shape::Text).ecs(&[to("aws.elb.alpn_fe_protocol", Form::Text)]),
    Field::either("alpn_be_protocol", Shape::Text).ecs(&[to("aws.elb.alpn_be_protocol", Form::Text)]),
    Field::either("alpn_client_preference_list", Shape::WordList).ecs(&[to("aws.elb.alpn_client_preference_list", Form::Text)]),
    Field::either("tls_connection_creation_time", Shape::LooseTime)
        .ecs(&[to("aws.elb.tls_connection_creation_time", Form::Date)]),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::Nlb,
    fields: FIELDS,
    tokens_min: 18,
    time: 2,
    status: None,
    request: None,
    columns: Some(Columns {
        created: Some(21),
        zoneless: true,
        name: 3,
        client: 5,
        backend: 6,
        times: [Span::None, Span::Milliseconds(7), Span::None],
        status: [None, None],
        bytes: [9, 10],
        request: None,
    }),
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
    checked: checked(FIELDS),
    sensitive: sensitive(FIELDS),
};
