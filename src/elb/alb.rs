//! The access log of an Application Load Balancer: 18 fields in 2016, 34 today.

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

/// The fields in the order AWS appended them; a line may end behind any of them from the thirteenth on.
const FIELDS: &[Field] = &[
    Field::bare("type", Shape::Text).ecs(&[to("aws.elb.type", Form::Text)]),
    Field::bare("time", Shape::Time).ecs(&[to("event.end", Form::EventTime)]),
    Field::bare("elb", Shape::Text).ecs(&[to("aws.elb.name", Form::Text)]),
    Field::bare("client:port", endpoint("client_ip", "client_port")).ecs(&[
        to("source.address", Form::EndpointIp),
        to("source.ip", Form::EndpointIp),
        to("source.port", Form::EndpointPort),
    ]),
    Field::bare("target:port", endpoint("target_ip", "target_port"))
        .ecs(&[to("aws.elb.backend.ip", Form::EndpointIp), to("aws.elb.backend.port", Form::EndpointPortText)]),
    Field::bare("request_processing_time", Shape::Number).ecs(&[to("aws.elb.request_processing_time.sec", Form::Seconds)]),
    Field::bare("target_processing_time", Shape::Number).ecs(&[to("aws.elb.backend_processing_time.sec", Form::Seconds)]),
    Field::bare("response_processing_time", Shape::Number).ecs(&[to("aws.elb.response_processing_time.sec", Form::Seconds)]),
    Field::bare("elb_status_code", Shape::Integer)
        .ecs(&[http("http.response.status_code", Form::Integer), http("event.outcome", Form::Outcome)]),
    Field::bare("target_status_code", Shape::Integer).ecs(&[to("aws.elb.backend.http.response.status_code", Form::Integer)]),
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
    Field::bare("target_group_arn", Shape::Text).ecs(&[to("aws.elb.target_group.arn", Form::Verbatim)]),
    Field::quoted_or_dash("trace_id").ecs(&[to("aws.elb.trace_id", Form::Verbatim), to("trace.id", Form::Verbatim)]),
    Field::either("domain_name", Shape::Text).ecs(&[to("destination.domain", Form::Text)]),
    Field::either("chosen_cert_arn", Shape::Text).ecs(&[to("aws.elb.chosen_cert.arn", Form::Text)]),
    Field::either("matched_rule_priority", Shape::Integer).ecs(&[to("aws.elb.matched_rule_priority", Form::NaturalText)]),
    Field::either("request_creation_time", Shape::Time).ecs(&[to("event.start", Form::DateVerbatim)]),
    Field::either("actions_executed", Shape::Text).ecs(&[to("aws.elb.action_executed", Form::CommaList)]),
    Field::either("redirect_url", Shape::Text).sensitive().ecs(&[to("aws.elb.redirect_url", Form::Text)]),
    Field::either("error_reason", Shape::Text).ecs(&[to("aws.elb.error.reason", Form::Text)]),
    Field::either("target_port_list", Shape::Text).ecs(&[to("aws.elb.target_port", Form::SpaceList)]),
    Field::either("target_status_code_list", Shape::Text).ecs(&[to("aws.elb.target_status_code", Form::SpaceList)]),
    Field::either("classification", Shape::Text).ecs(&[to("aws.elb.classification", Form::Text)]),
    Field::either("classification_reason", Shape::Text).ecs(&[to("aws.elb.classification_reason", Form::Text)]),
    Field::either("conn_trace_id", Shape::Text).ecs(&[to("aws.elb.conn_trace_id", Form::Text)]),
    Field::either("transformed_host", Shape::Text).ecs(&[to("aws.elb.transformed_host", Form::Text)]),
    Field::either("transformed_uri", Shape::Text).sensitive().ecs(&[to("aws.elb.transformed_uri", Form::Text)]),
    Field::either("request_transform_status", Shape::Text).ecs(&[to("aws.elb.request_transform_status", Form::Text)]),
    Field::either("ip_address", Shape::Ip).ecs(&[to("aws.elb.ip_address", Form::Ip)]),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::Alb,
    fields: FIELDS,
    tokens_min: 13,
    time: 1,
    status: Some(8),
    request: Some(12),
    columns: Some(Columns {
        created: Some(21),
        zoneless: false,
        name: 2,
        client: 3,
        backend: 4,
        times: [Span::Seconds(5), Span::Seconds(6), Span::Seconds(7)],
        status: [Some(8), Some(9)],
        bytes: [10, 11],
        request: Some(12),
    }),
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
    checked: checked(FIELDS),
    sensitive: sensitive(FIELDS),
};
