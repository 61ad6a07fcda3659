//! Listening for connections: on sockets that were handed over, and on addresses; and the TLS spoken there and by
//! sinks.

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::SourcePlan;
use crate::net::handed::Handed;
use crate::net::listen::adopt;
use crate::net::listen::listen;

use crate::net::tls::ServerTls;
use crate::pipeline::certificates;
use crate::pipeline::start_error::StartError;
use crate::sink::Sink;
use crate::sink::SinkPlan;
use crate::source::door::DoorPlan;

/// Listens for a source: on the socket of its name where one was handed over.
pub(super) async fn source(door: &DoorPlan, handed: &mut Handed, is_only: bool) -> Result<TcpListener, StartError> {
    match handed.socket(&door.name, is_only) {
        Some(socket) => adopt(socket).map_err(|source| StartError::Adopt { name: door.name.clone(), source }),
        None => open(&format!("source {}", door.name), &door.address, door.shares_port).await,
    }
}

/// Loads the TLS of a source, where it has one.
pub(super) async fn tls(source: SourcePlan) -> Result<(SourcePlan, Option<Arc<ServerTls>>), StartError> {
    let loading = move || Ok((source.clone(), certificates::load(&source)?));
    tokio::task::spawn_blocking(loading).await.expect("loading does not panic")
}

/// Loads the TLS of all sinks, each where it has one.
pub(super) async fn sinks(sinks: Vec<SinkPlan>) -> Result<Vec<Sink>, StartError> {
    let loading = move || sinks.into_iter().map(certificates::load_sink).collect();
    tokio::task::spawn_blocking(loading).await.expect("loading does not panic")
}

/// Makes sure that every socket that was handed over is somebody's.
pub(super) fn nothing_left(handed: &Handed) -> Result<(), StartError> {
    handed.left().map_or(Ok(()), |(name, address)| Err(StartError::Left { name: name.to_owned(), address }))
}

/// Listens on an address.
pub(super) async fn open(what: &str, address: &str, shares_port: bool) -> Result<TcpListener, StartError> {
    let resolved = tokio::net::lookup_host(address)
        .await
        .and_then(|mut all| all.next().ok_or_else(|| io::Error::other("it has no address")));
    let resolved =
        resolved.map_err(|source| StartError::Resolve { what: what.to_owned(), address: address.to_owned(), source })?;
    listen(resolved, shares_port).map_err(|source| StartError::Listen {
        what: what.to_owned(),
        address: address.to_owned(),
        source,
    })
}
