use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_DISPOSITION},
    web::Bytes,
};
use futures_util::stream;
use sovd_services::{
    CredentialWatch,
    audit::{Export, ExportFormat},
};
use thiserror::Error;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{AuditLogBody, csv_block};
use crate::{open_streams::OpenStream, state::ApiState};

/// Streams an export as a file.
pub(super) fn respond(
    state: &ApiState,
    export: Export,
    format: ExportFormat,
    slot: OpenStream,
) -> HttpResponse {
    let began_at = export.began_at().format("%Y%m%dT%H%M%SZ");
    let disposition = format!("attachment; filename=\"audit-logs-{began_at}.{format}\"");
    // Backpressure: a slow client slows down its export instead of filling memory.
    let (sender, receiver) = mpsc::channel(1);
    let download = Download {
        sender,
        format,
        timeout: state.sockets.idle,
        closing: state.closing.clone(),
        credential: export.credential(),
    };
    state.open_sockets.spawn_local(async move {
        if let Err(error) = download.run(export).await {
            tracing::warn!(%error, "audit export aborted");
        }
        drop(slot);
    });
    HttpResponse::Ok()
        .content_type(match format {
            ExportFormat::Csv => "text/csv; charset=utf-8; header=present",
            ExportFormat::Ndjson => "application/x-ndjson",
        })
        .insert_header((CONTENT_DISPOSITION, disposition))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(stream::unfold(Some(receiver), next))
}

/// A part of the file, or the marker of its regular end.
enum Message {
    Block(Bytes),
    End,
}

/// The reason for which an export ends before its last entry.
#[derive(Debug, Error)]
enum Aborted {
    #[error("the server is stopping")]
    Closing,
    #[error("the credential of the caller has ended")]
    CredentialEnded,
    #[error("the client disconnected or stopped reading")]
    ClientGone,
    #[error("failed to write an entry: {0}")]
    Csv(#[from] csv::Error),
    #[error("failed to write an entry: {0}")]
    Json(#[from] serde_json::Error),
    #[error("failed to read entries: {0}")]
    Read(String),
}

/// The error that breaks the connection, so that the client does not mistake a part for the whole file.
#[derive(Debug, Error)]
#[error("export aborted")]
struct Incomplete;

type Receiver = mpsc::Receiver<Message>;

async fn next(receiver: Option<Receiver>) -> Option<(Result<Bytes, Incomplete>, Option<Receiver>)> {
    let mut receiver = receiver?;
    match receiver.recv().await {
        Some(Message::Block(block)) => Some((Ok(block), Some(receiver))),
        Some(Message::End) => None,
        None => Some((Err(Incomplete), None)),
    }
}

/// The sending side of a download.
struct Download {
    sender: mpsc::Sender<Message>,
    format: ExportFormat,
    timeout: std::time::Duration,
    closing: CancellationToken,
    credential: CredentialWatch,
}

impl Download {
    async fn run(&self, mut export: Export) -> Result<(), Aborted> {
        if self.format == ExportFormat::Csv {
            let header = csv_block::header()?;
            self.send(Message::Block(header.into())).await?;
        }
        loop {
            let entries = export.next_page().await.map_err(|error| {
                let source = std::error::Error::source(&error);
                Aborted::Read(source.map_or_else(|| error.to_string(), ToString::to_string))
            })?;
            if entries.is_empty() {
                return self.send(Message::End).await;
            }
            let entries: Vec<_> = entries.into_iter().map(AuditLogBody::from).collect();
            let block = match self.format {
                ExportFormat::Csv => csv_block::block(&entries)?,
                ExportFormat::Ndjson => json_block(&entries)?,
            };
            self.send(Message::Block(block.into())).await?;
        }
    }

    /// Sends a message, and waits up to the timeout for the client to read.
    async fn send(&self, message: Message) -> Result<(), Aborted> {
        tokio::select! {
            // Checked first, because a client that reads fast could receive the rest otherwise.
            biased;
            () = self.credential.ended() => Err(Aborted::CredentialEnded),
            () = self.closing.cancelled() => Err(Aborted::Closing),
            sent = timeout(self.timeout, self.sender.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Aborted::ClientGone),
            },
        }
    }
}

fn json_block(entries: &[AuditLogBody]) -> serde_json::Result<Vec<u8>> {
    let mut block = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut block, entry)?;
        block.push(b'\n');
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    async fn body(messages: Vec<Message>) -> Vec<Result<Bytes, &'static str>> {
        let (sender, receiver) = mpsc::channel(9);
        for message in messages {
            assert!(sender.send(message).await.is_ok());
        }
        drop(sender);
        stream::unfold(Some(receiver), next)
            .map(|block| block.map_err(|Incomplete| "aborted"))
            .collect()
            .await
    }

    #[actix_web::test]
    async fn only_a_complete_export_ends_without_an_error() {
        let block = || Message::Block(Bytes::from_static(b"a"));
        let sent = || Ok(Bytes::from_static(b"a"));
        assert_eq!(body(vec![block(), Message::End]).await, [sent()]);
        assert_eq!(body(vec![block()]).await, [sent(), Err("aborted")]);
        assert_eq!(body(vec![]).await, [Err("aborted")]);
    }
}
