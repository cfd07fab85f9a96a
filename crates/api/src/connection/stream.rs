use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{rt::net::TcpStream, web::BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// A socket that records its [`Activity`] and gives the server the bytes of one request at a time.
pub(crate) struct MeteredStream {
    socket: TcpStream,
    activity: Activity,
    /// Bytes of later requests that have been read.
    ahead: BytesMut,
}

impl MeteredStream {
    pub(super) fn new(socket: TcpStream, activity: Activity) -> Self {
        Self {
            socket,
            activity,
            ahead: BytesMut::new(),
        }
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    fn record<T>(&self, write: &Poll<io::Result<T>>) {
        self.activity.record_write(write.is_ready());
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.activity.is_open() {
            // If bytes are available already, the activity wakes the task once they may be read;
            // otherwise the socket wakes it when bytes arrive.
            if !self.ahead.is_empty() || self.socket.poll_read_ready(context)?.is_ready() {
                self.activity.wake_when_open(context);
            }
            return Poll::Pending;
        }
        if self.ahead.is_empty() {
            let start = buffer.filled().len();
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
            let (_, arrived) = buffer.filled().split_at(start);
            let passed = self.activity.pass(arrived);
            let (_, ahead) = arrived.split_at(passed);
            self.ahead = BytesMut::from(ahead);
            buffer.set_filled(start + passed);
        } else {
            let (offered, _) = self
                .ahead
                .split_at(self.ahead.len().min(buffer.remaining()));
            let passed = self.activity.pass(offered);
            buffer.put_slice(&self.ahead.split_to(passed));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.record(&write);
        write
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.record(&write);
        write
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
