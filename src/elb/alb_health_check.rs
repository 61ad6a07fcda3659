//! The health-check log of an Application Load Balancer: 8 fields in November 2025, 10 today.

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

/// The fields in order. The target is an address and port or the ARN of a function, which is full of colons.
const FIELDS: &[Field] = &[
    Field::either("type", Shape::Text).ecs(&[to("aws.elb.type", Form::Text)]),
    Field::either("time", Shape::Time).ecs(&[to("event.end", Form::EventTime)]),
    Field::either("latency", Shape::Number).ecs(&[to("aws.elb.health_check.latency", Form::Number)]),
    Field::either("target_addr", Shape::Text).ecs(&[to("aws.elb.health_check.target_addr", Form::Text)]),
    Field::either("target_group_id", Shape::Text).ecs(&[to("aws.elb.health_check.target_group_id", Form::Text)]),
    Field::either("status", Shape::PassOrFail).ecs(&[to("aws.elb.health_check.status", Form::Text)]),
    Field::either("status_code", Shape::Integer).ecs(&[to("aws.elb.health_check.status_code", Form::Integer)]),
    Field::either("reason_code", Shape::Text).ecs(&[to("aws.elb.health_check.reason_code", Form::Text)]),
    Field::either("elb", Shape::Text).ecs(&[to("aws.elb.name", Form::Text)]),
    Field::either("ip_address", Shape::Ip).ecs(&[to("aws.elb.ip_address", Form::Ip)]),
];

/// The table of this format.
pub static FORMAT: Format = Format {
    kind: Kind::AlbHealthCheck,
    fields: FIELDS,
    tokens_min: 8,
    time: 1,
    status: None,
    request: None,
    columns: None,
    bare: mask(FIELDS, Quoting::Bare),
    quoted: mask(FIELDS, Quoting::Quoted),
    quoted_or_dash: mask(FIELDS, Quoting::QuotedOrDash),
    checked: checked(FIELDS),
    sensitive: sensitive(FIELDS),
};
