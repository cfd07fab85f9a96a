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

/// Answers with the lines of an export as a file.
pub(super) fn answer(
    state: &ApiState,
    export: Export,
    format: ExportFormat,
    place: OpenStream,
) -> HttpResponse {
    let began_at = export.began_at().format("%Y%m%dT%H%M%SZ");
    let disposition = format!("attachment; filename=\"audit-logs-{began_at}.{format}\"");
    // A client that reads slowly makes its own export slow and takes no memory.
    let (sender, receiver) = mpsc::channel(1);
    let sending = Sending {
        sender,
        format,
        patience: state.sockets.idle,
        closing: state.closing.clone(),
        credential: export.credential(),
    };
    state.open_sockets.spawn_local(async move {
        if let Err(error) = sending.run(export).await {
            tracing::warn!(%error, "an export of the audit trail broke off");
        }
        drop(place);
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

/// A part of the file, or the word that it is whole.
enum Piece {
    Block(Bytes),
    End,
}

/// Why an export ends before its last line.
#[derive(Debug, Error)]
enum BrokenOff {
    #[error("the server stops")]
    Closing,
    #[error("the session or the key of the caller has ended")]
    CredentialEnded,
    #[error("the client has gone or does not read")]
    Gone,
    #[error("a line cannot be written: {0}")]
    Csv(#[from] csv::Error),
    #[error("a line cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Read(String),
}

/// What the client sees of it: the connection breaks, so that nobody takes a part for the whole.
#[derive(Debug, Error)]
#[error("the export broke off")]
struct Incomplete;

type Receiver = mpsc::Receiver<Piece>;

async fn next(receiver: Option<Receiver>) -> Option<(Result<Bytes, Incomplete>, Option<Receiver>)> {
    let mut receiver = receiver?;
    match receiver.recv().await {
        Some(Piece::Block(block)) => Some((Ok(block), Some(receiver))),
        Some(Piece::End) => None,
        None => Some((Err(Incomplete), None)),
    }
}

/// The server's end of one download.
struct Sending {
    sender: mpsc::Sender<Piece>,
    format: ExportFormat,
    patience: std::time::Duration,
    closing: CancellationToken,
    credential: CredentialWatch,
}

impl Sending {
    async fn run(&self, mut export: Export) -> Result<(), BrokenOff> {
        if self.format == ExportFormat::Csv {
            let header = csv_block::header()?;
            self.send(Piece::Block(header.into())).await?;
        }
        loop {
            let lines = export.next_page().await.map_err(|error| {
                let source = std::error::Error::source(&error);
                BrokenOff::Read(source.map_or_else(|| error.to_string(), ToString::to_string))
            })?;
            if lines.is_empty() {
                return self.send(Piece::End).await;
            }
            let lines: Vec<_> = lines.into_iter().map(AuditLogBody::from).collect();
            let block = match self.format {
                ExportFormat::Csv => csv_block::block(&lines)?,
                ExportFormat::Ndjson => json_block(&lines)?,
            };
            self.send(Piece::Block(block.into())).await?;
        }
    }

    /// Waits for the client to take a piece, but not for ever.
    async fn send(&self, piece: Piece) -> Result<(), BrokenOff> {
        let sending = timeout(self.patience, self.sender.send(piece));
        tokio::select! {
            // Or a client that reads fast could have the rest.
            biased;
            () = self.credential.ended() => Err(BrokenOff::CredentialEnded),
            () = self.closing.cancelled() => Err(BrokenOff::Closing),
            sent = sending => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(BrokenOff::Gone),
            },
        }
    }
}

fn json_block(lines: &[AuditLogBody]) -> serde_json::Result<Vec<u8>> {
    let mut block = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut block, line)?;
        block.push(b'\n');
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    async fn body(pieces: Vec<Piece>) -> Vec<Result<Bytes, &'static str>> {
        let (sender, receiver) = mpsc::channel(9);
        for piece in pieces {
            assert!(sender.send(piece).await.is_ok());
        }
        drop(sender);
        stream::unfold(Some(receiver), next)
            .map(|piece| piece.map_err(|Incomplete| "broken off"))
            .collect()
            .await
    }

    #[actix_web::test]
    async fn only_what_was_sent_to_its_end_ends_well() {
        let block = || Piece::Block(Bytes::from_static(b"a"));
        let sent = || Ok(Bytes::from_static(b"a"));
        assert_eq!(body(vec![block(), Piece::End]).await, [sent()]);
        assert_eq!(body(vec![block()]).await, [sent(), Err("broken off")]);
        assert_eq!(body(vec![]).await, [Err("broken off")]);
    }
}
