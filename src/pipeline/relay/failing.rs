//! What has a relay stop although nobody asked it to.

use tokio::task::JoinSet;

use crate::buffer::Failure;
use crate::pipeline::overview::Overview;
use crate::sink::SinkError;

/// Waits until the buffer's disk or that of the dead letters has failed.
pub(super) async fn storage_failed(overview: &Overview) -> Failure {
    let letters = async {
        match &overview.letters {
            Some(letters) => letters.failed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        failure = overview.buffer.failed() => failure,
        failure = letters => failure,
    }
}

/// Waits until a sink or a source ends although nobody asked it to, and says why.
pub(super) async fn failed(sinks: &mut JoinSet<(String, Result<(), SinkError>)>, sources: &mut JoinSet<()>) -> String {
    tokio::select! {
        Some(ended) = sinks.join_next() => match ended {
            Ok((name, Err(error))) => format!("sink {name}: {}; {}", error.words(), error.remedy()),
            Ok((name, Ok(()))) => format!("sink {name} ended by itself"),
            Err(error) => format!("a sink's task broke off: {error}"),
        },
        Some(ended) = sources.join_next() => match ended {
            Ok(()) => "a source ended by itself".to_owned(),
            Err(error) => format!("a source's task broke off: {error}"),
        },
    }
}
