//! The Elasticsearch and OpenSearch index template of each schema, made from the field tables.
//!
//! A composable template as both take it since Elasticsearch 7.8 and OpenSearch 1. What senders add themselves is mapped as
//! it comes, texts as keywords. Nothing here talks to a server.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::Schema;
use super::format::Field;
use super::format::Form;
use super::format::Kind;
use super::format::Shape;

/// Characters of a text that are indexed. A term of Lucene has at most 32 766 bytes, and a character of UTF-8 up to four.
const IGNORE_ABOVE: u32 = 8191;

/// What a template of ours says of who looks after it, in `_meta.managed_by`.
pub const MANAGED_BY: &str = "elbow";

/// The index template for documents of a schema; with the fields `classic_extra` adds, in `classic`.
pub fn template(schema: Schema) -> Value {
    let mut properties = Properties::default();
    properties.common();
    for kind in Kind::ALL {
        for field in kind.format().fields {
            match schema {
                Schema::Ecs => properties.ecs(field),
                Schema::Aws | Schema::Classic => properties.aws(field),
            }
        }
    }
    match schema {
        Schema::Ecs => properties.ecs_constants(),
        Schema::Classic => properties.classic(),
        Schema::Aws => {}
    }
    properties.looked_up(schema);
    properties.sender(schema);
    json!({
        "index_patterns": [format!("elbow-{}-*", schema.label())],
        "priority": 200,
        "template": {
            "settings": {"index": {"mapping": {"total_fields": {"limit": 2000}}}},
            "mappings": {
                // The first value that looks like a date would make every later text in its place a document that is refused.
                "date_detection": false,
                "dynamic_templates": [
                    {"texts": {"match_mapping_type": "string", "mapping": keyword()}},
                ],
                "properties": properties.0,
            },
        },
        "_meta": {"managed_by": MANAGED_BY, "description": format!("Documents of Elbow in the schema {}", schema.label())},
    })
}

#[derive(Default)]
struct Properties(Map<String, Value>);

impl Properties {
    /// Maps a member, its objects divided by dots. Kinds that share a name share its type.
    fn put(&mut self, path: &str, mapping: Value) {
        let mut level = &mut self.0;
        let mut rest = path;
        while let Some((name, behind)) = rest.split_once('.') {
            let object = level.entry(name).or_insert_with(|| json!({"properties": {}}));
            level = object["properties"].as_object_mut().expect("a path leads through objects");
            rest = behind;
        }
        let before = level.insert(rest.to_owned(), mapping.clone());
        debug_assert!(before.is_none_or(|before| before == mapping), "{path} has two types");
    }

    /// What documents of every schema have.
    fn common(&mut self) {
        self.put("@timestamp", date());
        for name in ["@version", "tags", "event.id", "elbow.reason"] {
            self.put(name, keyword());
        }
        self.put("elbow.at", number("long"));
        // Of a letter about a document that a destination has refused: that document is kept, and not taken apart again.
        for name in ["elbow.sink", "elbow.error"] {
            self.put(name, keyword());
        }
        self.put("elbow.status", number("long"));
        self.put("elbow.words", json!({"type": "text", "norms": false}));
        self.put("document", json!({"type": "object", "enabled": false}));
        self.put("message", json!({"type": "text", "norms": false}));
    }

    fn aws(&mut self, field: &Field) {
        match &field.shape {
            Shape::Endpoint { ip, port } => {
                self.put(ip.name(), ip_address());
                self.put(port.name(), by_shape(&Shape::Integer));
            }
            Shape::Request { .. } => field.members().for_each(|name| self.put(name, keyword())),
            // Kinds differ in what they call a status.
            shape => self.put(field.name(), by_shape(shape)),
        }
        self.put("unknown_fields", keyword());
        for name in ["s3_bucket", "s3_key", "aws_account", "aws_region", "load_balancer", "log_kind"] {
            self.put(name, keyword());
        }
        self.put("log_interval_end", date());
    }

    fn classic(&mut self) {
        self.put("EventReceivedTime", date());
        for name in ["TimeToForwardRequest", "TimeTaken", "TimeToForwardResponse"] {
            self.put(name, number("double"));
        }
        for name in ["BytesUploadedFromClient", "BytesDownloadedByClient"] {
            self.put(name, number("long"));
        }
        for name in [
            "LoadBalancerName",
            "PublicIpAndPort",
            "InternalIpAndPort",
            "Status",
            "BackendStatus",
            "FullRequest",
            "Component",
            "SourceModuleName",
            "Environment",
            "Application",
            "Type",
        ] {
            self.put(name, keyword());
        }
    }

    fn ecs(&mut self, field: &Field) {
        for target in field.ecs {
            // An address is written twice: once as the text it is, which may one day be a name.
            let is_address = target.form == Form::EndpointIp && target.path.ends_with(".ip");
            self.put(target.path, if is_address { ip_address() } else { by_form(target.form) });
        }
    }

    fn ecs_constants(&mut self) {
        for name in [
            "ecs.version",
            "cloud.provider",
            "cloud.region",
            "cloud.account.id",
            "event.kind",
            "event.category",
            "aws.elb.protocol",
            "aws.elb.unknown_fields",
            "aws.elb.log.kind",
            "aws.s3.bucket.name",
            "aws.s3.object.key",
        ] {
            self.put(name, keyword());
        }
        self.put("aws.elb.log.interval_end", date());
        // Kept to be read, not to be searched, as Elastic's own integrations have it.
        self.put("event.original", json!({"type": "keyword", "index": false, "doc_values": false}));
        self.url("url");
    }

    fn url(&mut self, at: &str) {
        for name in ["scheme", "domain", "path", "query", "fragment", "extension", "username", "password"] {
            self.put(&format!("{at}.{name}"), keyword());
        }
        self.put(&format!("{at}.port"), number("integer"));
    }

    /// What enrichment adds.
    fn looked_up(&mut self, schema: Schema) {
        let (places, networks, agents): (&[&str], &[&str], &str) = match schema {
            Schema::Ecs => (&["source.geo", "client.geo"], &["source.as", "client.as"], "user_agent"),
            Schema::Aws | Schema::Classic => (&["client_geo"], &["client_as"], "user_agent_details"),
        };
        if schema != Schema::Ecs {
            self.url("request_url_parts");
        }
        for at in places {
            self.put(&format!("{at}.location"), json!({"type": "geo_point"}));
            for name in [
                "continent_code",
                "continent_name",
                "country_iso_code",
                "country_name",
                "region_iso_code",
                "region_name",
                "city_name",
                "postal_code",
                "timezone",
            ] {
                self.put(&format!("{at}.{name}"), keyword());
            }
        }
        for at in networks {
            self.put(&format!("{at}.number"), number("long"));
            self.put(&format!("{at}.organization.name"), keyword());
        }
        for name in ["name", "version", "os.name", "os.version", "os.full", "device.name"] {
            self.put(&format!("{agents}.{name}"), keyword());
        }
    }

    /// What says whose a connection was.
    fn sender(&mut self, schema: Schema) {
        match schema {
            Schema::Aws | Schema::Classic => {
                self.put("sender_ip", ip_address());
                self.put("vpc_endpoint_id", keyword());
            }
            // A word in ECS: what Filebeat writes there has a port behind it.
            Schema::Ecs => {
                self.put("log.source.address", keyword());
                self.put("aws.vpc_endpoint.id", keyword());
            }
        }
    }
}

fn keyword() -> Value {
    json!({"type": "keyword", "ignore_above": IGNORE_ABOVE})
}

/// Digits below a millisecond are kept in the document; the index has milliseconds, which every chart can draw.
fn date() -> Value {
    json!({"type": "date", "format": "strict_date_optional_time", "ignore_malformed": true})
}

/// What does not fit stays in the document and is left out of the index: lines are checked for their shape, and a number of that
/// may still be larger than an index can hold.
fn number(kind: &str) -> Value {
    json!({"type": kind, "ignore_malformed": true})
}

fn ip_address() -> Value {
    json!({"type": "ip", "ignore_malformed": true})
}

/// The type of a member of the `aws` schema.
pub fn by_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::WordList | Shape::PassOrFail | Shape::Request { .. } | Shape::Endpoint { .. } => keyword(),
        Shape::Ip => ip_address(),
        Shape::Integer => number("long"),
        Shape::Number => number("double"),
        Shape::Time | Shape::LooseTime => date(),
    }
}

/// The type of a member of the `ecs` schema.
pub fn by_form(form: Form) -> Value {
    match form {
        Form::Ip => ip_address(),
        Form::Integer => number("long"),
        Form::EndpointPort => number("integer"),
        Form::Number | Form::Seconds => number("double"),
        Form::EventTime | Form::Date | Form::DateVerbatim | Form::NotBefore | Form::NotAfter => date(),
        Form::EndpointIp
        | Form::EndpointPortText
        | Form::Text
        | Form::Verbatim
        | Form::NaturalText
        | Form::Verb
        | Form::Version
        | Form::Url
        | Form::Outcome
        | Form::CommaList
        | Form::SpaceList
        | Form::ProtocolVersion
        | Form::ProtocolName
        | Form::BeforeColon
        | Form::BehindColon => keyword(),
    }
}
