//! A connection that breaks when one of its hosts is detached.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How many bytes are under way in each direction at the most, as socket buffers bound it.
const BUFFER: usize = 64 * 1024;

/// One end of a connection.
pub(super) struct End {
    bytes: DuplexStream,
    gone: [Pin<Box<WaitForCancellationFutureOwned>>; 2],
}

/// Both ends of a connection between two hosts, given by what ends them.
pub(super) fn pair(a: &CancellationToken, b: &CancellationToken) -> (End, End) {
    let (one, other) = tokio::io::duplex(BUFFER);
    let end =
        |bytes| End { bytes, gone: [Box::pin(a.clone().cancelled_owned()), Box::pin(b.clone().cancelled_owned())] };
    (end(one), end(other))
}

impl End {
    fn broken(&mut self, context: &mut Context<'_>) -> bool {
        self.gone.iter_mut().any(|gone| gone.as_mut().poll(context).is_ready())
    }
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What has arrived is read even when the other host is gone by now.
        match Pin::new(&mut self.bytes).poll_read(context, buffer) {
            Poll::Pending if self.broken(context) => reset(),
            other => other,
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken(context) { reset() } else { Pin::new(&mut self.bytes).poll_write(context, buffer) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
