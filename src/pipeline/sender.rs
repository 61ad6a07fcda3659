//! The fields that say whose a connection is, under the names of the schema.
//!
//! They come from the kernel and from trusted proxies alone; what a sender says of itself never replaces them.

use serde_json::Value;

use crate::elb::Schema;
use crate::peer::Peer;
use crate::wire::proxy::ENDPOINT_BYTES_MAX;

/// Names of the sender's IP address and of its VPC endpoint in documents.
///
/// In `ecs` the address is where Filebeat puts it; `source.ip` is taken by the load balancer's client. They are written with
/// dots and not as objects, so that no object of a JSON event stands in their way.
pub(super) const fn names(schema: Schema) -> [&'static str; 2] {
    match schema {
        Schema::Aws | Schema::Classic => ["sender_ip", "vpc_endpoint_id"],
        Schema::Ecs => ["log.source.address", "aws.vpc_endpoint.id"],
    }
}

/// What is known of a sender.
pub(super) fn fields(peer: &Peer, schema: Schema) -> Vec<(String, Value)> {
    let [address, endpoint] = names(schema);
    let mut fields = vec![(address.to_owned(), Value::from(peer.address.ip().to_string()))];
    fields.extend(peer.endpoint.as_deref().map(|name| (endpoint.to_owned(), Value::from(name))));
    fields
}

/// The largest such fields there can be.
pub(super) fn largest(schema: Schema) -> Vec<(String, Value)> {
    const IP_BYTES_MAX: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".len();
    let [address, endpoint] = names(schema);
    let filled = |bytes| Value::from("f".repeat(bytes));
    vec![(address.to_owned(), filled(IP_BYTES_MAX)), (endpoint.to_owned(), filled(ENDPOINT_BYTES_MAX))]
}
