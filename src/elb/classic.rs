//! The access log of a Classic Load Balancer: 12 fields until May 2015, 15 since.

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
use super::format::http;
use super::format::mask;
use super::format::request;
use super::format::sensitive;
use super::format::tcp;
use super::format::to;

/// The fields in order.
const FIELDS: &[Field] = &[
    Field::bare("time", Shape::Time).ecs(&[to("event.end", Form::EventTime)]),
    Field::bare("elb", Shape::Text).ecs(&[to("aws.elb.name", Form::Text)]),
    Field::bare("client:port", endpoint("client_ip", "client_port")).ecs(&[
        to("source.address", Form::EndpointIp),
        to("source.ip", Form::EndpointIp),
        to("source.port", Form::EndpointPort),
    ]),
    Field::bare("backend:port", endpoint("backend_ip", "backend_port"))
        .ecs(&[to("aws.elb.backend.ip", Form::EndpointIp), to("aws.elb.backend.port", Form::EndpointPortText)]),
    Field::bare("request_processing_time", Shape::Number).ecs(&[to("aws.elb.request_processing_time.sec", Form::Seconds)]),
    Field::bare("backend_processing_time", Shape::Number).ecs(&[to("aws.elb.backend_processing_time.sec", Form::Seconds)]),
    Field::bare("response_processing_time", Shape::Number).ecs(&[to("aws.elb.response_processing_time.sec", Form::Seconds)]),
    Field::bare("elb_status_code", Shape::Integer)
        .ecs(&[http("http.response.status_code", Form::Integer), http("event.outcome", Form::Outcome)]),
    Field::bare("backend_status_code", Shape::Integer).ecs(&[to("aws.elb.backend.http.response.status_code", Form::Integer)]),
    Field::bare("received_bytes", Shape::Integer)
        .ecs(&[http("http.request.body.bytes", Form::Integer), tcp("source.bytes", Form::Integer)]),
    Field::bare("sent_bytes", Shape::Integer)
        .ecs(&[http("http.response.body.bytes", Form::Integer), tcp("destination.bytes", Form::Integer)]),
    Field::quoted("request", request()).sensitive().ecs(&[
        to("http.request.method", Form::Verb),
        to("http.version", Form::Version),
        to("url.original", Form::Url),
    ]),
    Field::quoted_or_dash("user_agent")
        .ecs(&[http("user_agent.original", Form::Verbatim), tcp("user_agent.original", Form::Text)]),
    Field::bare("ssl_cipher", Shape::Text).ecs(&[to("aws.elb.ssl_cipher", Form::Text), to("tls.cipher", Form::Text)]),
    Field::bare("ssl_protocol", Shape::Text).ecs(&[
        to("aws.elb.ssl_protocol", Form::Text),
        to("tls.version", Form::ProtocolVersion),
        to("tls.version_protocol", Form::ProtocolName),
    ]),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::Classic,
    fields: FIELDS,
    tokens_min: 12,
    time: 0,
    status: Some(7),
    request: Some(11),
    columns: Some(Columns {
        created: None,
        zoneless: false,
        name: 1,
        client: 2,
        backend: 3,
        times: [Span::Seconds(4), Span::Seconds(5), Span::Seconds(6)],
        status: [Some(7), Some(8)],
        bytes: [9, 10],
        request: Some(11),
    }),
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
    checked: checked(FIELDS),
    sensitive: sensitive(FIELDS),
};
