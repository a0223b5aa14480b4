//! A connection that breaks when one of its hosts is detached.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many bytes are under way in each direction at the most, as socket buffers bound it.
const BUFFER: usize = 64 * 1024;

/// Tells one task that a host of the connection is detached.
struct Break([Pin<Box<WaitForCancellationFutureOwned>>; 2]);

impl Break {
    fn new(hosts: [&CancellationToken; 2]) -> Self {
        Self(hosts.map(|host| Box::pin(host.clone().cancelled_owned())))
    }

    fn happened(&mut self, context: &mut Context<'_>) -> bool {
        self.0.iter_mut().any(|host| host.as_mut().poll(context).is_ready())
    }
}

/// One end of a connection.
pub(super) struct End<S> {
    bytes: S,
    /// Apart, since the halves of a stream may be read and written by two tasks: each has to be woken.
    reading: Break,
    writing: Break,
}

/// Both ends of a connection between two hosts, given by what ends them.
pub(super) fn pair(a: &CancellationToken, b: &CancellationToken) -> (End<DuplexStream>, End<DuplexStream>) {
    let (one, other) = tokio::io::duplex(BUFFER);
    (End::new(one, [a, b]), End::new(other, [a, b]))
}

impl<S> End<S> {
    /// A stream that breaks with either of two hosts.
    pub(super) fn new(bytes: S, hosts: [&CancellationToken; 2]) -> Self {
        Self { bytes, reading: Break::new(hosts), writing: Break::new(hosts) }
    }
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for End<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What has arrived is read even when the other host is gone by now.
        match Pin::new(&mut self.bytes).poll_read(context, buffer) {
            Poll::Pending if self.reading.happened(context) => reset(),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for End<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.writing.happened(context) { reset() } else { Pin::new(&mut self.bytes).poll_write(context, buffer) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
