//! The oracle: whether what the relay confirms is kept, whatever happens to it.
//!
//! Producers draw a number for each line, make the line from it, send it, and write down what the relay confirms. A sink
//! verifies each document against its number. In between, the relay is killed, its disk fails or fills up, its files are
//! damaged. At the end everything confirmed must have arrived, and nothing that was not sent. `harness.rs` has the rules,
//! each other file a family of faults. The short forms run with all tests; the long ones are ignored:
//! `cargo test --release --test oracle -- --ignored long --nocapture --test-threads=1`.

#[allow(dead_code, reason = "the stories of e2e.rs use the rest")]
mod support;

#[path = "oracle/beats.rs"]
mod beats;
#[path = "oracle/damage.rs"]
mod damage;
#[path = "oracle/dead_letters.rs"]
mod dead_letters;
#[path = "oracle/harness.rs"]
mod harness;
#[path = "oracle/kills.rs"]
mod kills;
#[path = "oracle/ledger.rs"]
mod ledger;
#[path = "oracle/mounts.rs"]
mod mounts;
#[path = "oracle/places.rs"]
mod places;
#[path = "oracle/power.rs"]
mod power;
#[path = "oracle/producer.rs"]
mod producer;
#[path = "oracle/space.rs"]
mod space;
#[path = "oracle/stopping.rs"]
mod stopping;
#[path = "oracle/syncs.rs"]
mod syncs;
#[path = "oracle/table.rs"]
mod table;
