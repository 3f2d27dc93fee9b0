//! Connections: how many there may be, how long each may take, and which must go when there is no room.
//! Nothing that a client does, or does not do, takes more than one of a bounded number of places.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tower::ServiceExt;

use super::access::Peer;
use super::held::Held;
use super::pace::{Pace, Paced};

/// What clients may take of us.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at a time.
    pub connections: usize,
    /// Of these, from one user over the socket, unless it is root.
    pub of_one_user: usize,
    /// How long a request's head may take to arrive, and how long a connection may do nothing.
    pub head: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Headers of a request.
    pub headers: usize,
    /// How long one request and its answer may take altogether.
    pub exchange: Duration,
    /// How fast an answer must be read.
    pub pace: Pace,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 128,
            of_one_user: 32,
            head: Duration::from_secs(10),
            head_bytes: 16 << 10,
            headers: 64,
            exchange: Duration::from_mins(15),
            pace: Pace {
                bytes: 64 << 10,
                each: Duration::from_secs(10),
            },
        }
    }
}

/// A connection's place.
pub struct Place {
    peer: Peer,
    /// Requests that are being answered: none or one.
    answering: AtomicUsize,
    /// When that last changed.
    since: Mutex<Instant>,
    /// Told to go.
    out: Notify,
}

impl Place {
    /// A request has come; until the guard is dropped its answer is on the way.
    fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Answering(Arc::clone(self))
    }

    fn touch(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.answering.load(Ordering::Relaxed) == 0
    }
}

/// While it lives, its connection is not idle.
pub struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.touch();
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All connections.
#[derive(Clone)]
pub struct Connections {
    bounds: Bounds,
    router: Router,
    places: Arc<Mutex<Vec<Arc<Place>>>>,
    /// Becomes true when the daemon ends.
    ending: watch::Receiver<bool>,
}

impl Connections {
    /// None yet. They end when `ending` becomes true.
    pub fn new(bounds: Bounds, router: Router, ending: watch::Receiver<bool>) -> Self {
        Self {
            bounds,
            router,
            places: Arc::default(),
            ending,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// A place for one more, if there is one: whoever has been idle longest must go for it. Only when all are
    /// being answered, or this user has its share of them, there is none.
    fn place(&self, peer: Peer) -> Option<Arc<Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = |place: &&Arc<Place>| place.peer == peer;
        let crowded = match peer {
            Peer::Tcp | Peer::Unix { uid: 0 } => false,
            Peer::Unix { .. } => places.iter().filter(of_user).count() >= self.bounds.of_one_user,
        };
        if crowded || places.len() >= self.bounds.connections {
            let idle = places.iter().enumerate();
            let (longest, _) = idle
                .filter(|(_, place)| place.is_idle() && (!crowded || place.peer == peer))
                .min_by_key(|(_, place)| place.since())?;
            places.swap_remove(longest).out.notify_one();
        }
        let place = Arc::new(Place {
            peer,
            answering: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
            out: Notify::new(),
        });
        places.push(Arc::clone(&place));
        Some(place)
    }

    fn leave(&self, place: &Arc<Place>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|other| !Arc::ptr_eq(other, place));
    }

    /// Answers what comes on this connection, until it ends or must go. At once if there is no place for it.
    pub async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
        let Some(place) = self.place(peer) else {
            tracing::debug!(?peer, "a connection was refused: there are too many");
            return;
        };
        self.answer(io, &place).await;
        self.leave(&place);
    }

    async fn answer(&self, io: impl AsyncRead + AsyncWrite + Unpin, place: &Arc<Place>) {
        let Bounds {
            connections: _,
            of_one_user: _,
            head,
            head_bytes,
            headers,
            exchange,
            pace,
        } = self.bounds;
        let service = service_fn(|request: Request<Incoming>| {
            let answering = place.answering();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(place.peer);
            let router = self.router.clone();
            async move {
                let response = match router.oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                Ok::<_, Infallible>(response.map(|body| Held::new(body, answering)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(head_bytes)
            .max_headers(headers)
            .serve_connection(TokioIo::new(Paced::new(io, pace)), service);
        let mut connection = pin!(connection);
        let mut ending = self.ending.clone();
        let mut is_ending = false;
        loop {
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(peer = ?place.peer, %error, "a connection ended early");
                    }
                    return;
                }
                () = place.out.notified() => return,
                () = overdue(place, exchange) => return,
                _ = ending.wait_for(|ending| *ending), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Returns when one answer has taken longer than this.
async fn overdue(place: &Place, longest: Duration) {
    loop {
        let end = place.since() + longest;
        tokio::time::sleep_until(end).await;
        if !place.is_idle() && place.since() + longest <= Instant::now() {
            return;
        }
        if place.is_idle() {
            tokio::time::sleep(longest / 16).await;
        }
    }
}

/// Waits until there is no connection, at most so long.
pub async fn gone(connections: &Connections, longest: Duration) {
    let none = async {
        while connections.len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(longest, none).await;
}

/// Accepts until `ending`; `accept` gives a connection and who is at its other end.
pub async fn accept<T, F>(connections: Connections, mut accept: impl FnMut() -> F)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = std::io::Result<(T, Peer)>>,
{
    let mut ending = connections.ending.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => return,
        };
        match accepted {
            Ok((io, peer)) => {
                tokio::spawn(connections.clone().serve(io, peer));
            }
            Err(error) => {
                // the client has gone again; or there are no file descriptors, which takes time to change
                tracing::debug!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
