//! What the platform tells a process.

use tokio::signal::unix::{SignalKind, signal};

/// Comes about when the platform, or a person at the terminal, wants this process to end.
pub async fn told_to_stop() {
    tokio::select! {
        () = told(SignalKind::terminate()) => {}
        () = told(SignalKind::interrupt()) => {}
    }
}

async fn told(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Where nobody can be told anything, nobody is.
        Err(_) => std::future::pending().await,
    }
}
