//! The fields that the name of an S3 object gives to every line it holds.

use serde_json::Value;
use serde_json::json;

use crate::elb::Schema;
use crate::elb::format::Kind;
use crate::elb::object_key::Log;
use crate::elb::object_key::ObjectKey;
use crate::elb::object_key::ObjectName;

/// What an object's name says, under the names of the schema. A key that is none of a log says only where the object is.
///
/// In the `ecs` schema they are objects, and join those that documents have.
pub(super) fn fields(name: &ObjectName<'_>, schema: Schema) -> Vec<(String, Value)> {
    let key = ObjectKey::parse(name.key);
    let fields = match schema {
        Schema::Ecs => {
            let mut aws = json!({"s3": {"bucket": {"name": name.bucket}, "object": {"key": name.key}}});
            let mut fields = Vec::new();
            if let Some(key) = key {
                let log = json!({"kind": kind(key.log).label(), "interval_end": key.interval_end});
                aws["elb"] = json!({"name": key.load_balancer, "log": log});
                fields.push(("cloud", json!({"account": {"id": key.account}, "region": key.region})));
            }
            fields.push(("aws", aws));
            fields
        }
        Schema::Aws | Schema::Classic => {
            let mut fields = vec![("s3_bucket", Value::from(name.bucket)), ("s3_key", Value::from(name.key))];
            if let Some(key) = key {
                fields.extend([
                    ("aws_account", Value::from(key.account)),
                    ("aws_region", Value::from(key.region)),
                    ("load_balancer", Value::from(key.load_balancer)),
                    ("log_kind", Value::from(kind(key.log).label())),
                    ("log_interval_end", Value::from(key.interval_end)),
                ]);
            }
            fields
        }
    };
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The kind of the lines in a log.
fn kind(log: Log) -> Kind {
    match log {
        Log::ClassicAccess => Kind::Classic,
        Log::AlbAccess => Kind::Alb,
        Log::NlbAccess => Kind::Nlb,
        Log::AlbConnection => Kind::AlbConnection,
        Log::AlbHealthCheck => Kind::AlbHealthCheck,
    }
}
