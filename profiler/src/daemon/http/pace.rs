//! A connection whose other side must keep reading: one that is sent something and takes next to nothing of it
//! would hold a place, and what it was to get, for as long as it likes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How fast the other side must read while we have something to write.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes..
    pub bytes: usize,
    /// ..in each such time.
    pub each: Duration,
}

/// The connection. Writes fail with `TimedOut` when the other side is slower.
pub struct Paced<T> {
    io: T,
    pace: Pace,
    /// When the window ends, while there is something to be written that is not taken.
    window: Option<Pin<Box<Sleep>>>,
    /// What was taken in the window.
    taken: usize,
}

impl<T> Paced<T> {
    /// Of this connection.
    pub fn new(io: T, pace: Pace) -> Self {
        Self {
            io,
            pace,
            window: None,
            taken: 0,
        }
    }

    /// After an attempt to write: counts what was taken, or waits until the window ends.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = result {
            self.taken += result.as_ref().copied().unwrap_or(0);
            return Poll::Ready(result);
        }
        let Pace { bytes, each } = self.pace;
        let taken = &mut self.taken;
        let window = self.window.get_or_insert_with(|| {
            *taken = 0;
            Box::pin(sleep(each))
        });
        ready!(window.as_mut().poll(cx));
        if *taken < bytes {
            let words = "the client does not read what it is sent";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)));
        }
        *taken = 0;
        window.as_mut().reset(Instant::now() + each);
        // so that we are woken at its end
        let _ = window.as_mut().poll(cx);
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if result.is_ready() {
            // everything there was is taken
            self.window = None;
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PACE: Pace = Pace {
        bytes: 100,
        each: Duration::from_millis(60),
    };

    /// What becomes of writing a kilobyte to somebody who takes `each` bytes every 20 ms.
    async fn written_to(each: usize) -> io::Result<()> {
        let (ours, mut theirs) = duplex(10);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; each.max(1)];
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if each > 0 && theirs.read_exact(&mut buffer).await.is_err() {
                    break;
                }
            }
        });
        let mut paced = Paced::new(ours, PACE);
        let write = async {
            paced.write_all(&[7; 1000]).await?;
            paced.flush().await
        };
        let result = tokio::time::timeout(Duration::from_secs(5), write).await;
        reader.abort();
        result.expect("it is ended one way or the other")
    }

    #[tokio::test]
    async fn who_reads_is_served_and_who_does_not_is_not() {
        written_to(500).await.unwrap();
        for too_slow in [0, 1, 8] {
            let error = written_to(too_slow).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{too_slow}");
        }
    }
}
