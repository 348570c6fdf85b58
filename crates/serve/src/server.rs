//! The endpoints over HTTP/1.1: what answers behind API Gateway, on a socket of its own, for a load balancer, a container
//! or a laptop.
//!
//! `/healthz` says that the process answers; `/readyz` that it can answer with data: the definitions are read, the store
//! takes a connection, and nobody has told the server to stop.

use crate::{Serve, answer, compress, problem::Problem};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// The largest request body that is read, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// How many bytes a request's line and headers may have.
const HEAD_LIMIT: usize = 64 * 1024;
/// How long a caller may take to send the line and the headers; a connection that idles is closed after as long.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long a caller may take to send the body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// How many callers may be connected; those behind them wait in the listener's own queue.
const CALLERS: usize = 4096;
/// How long requests that are being answered have when the server is told to stop. Load balancers and container
/// platforms commonly kill after 30 seconds.
const DRAIN: Duration = Duration::from_secs(25);
/// How long the server goes on accepting when it is told to stop: whoever sends it requests learns it from `/readyz`.
const NOTICE: Duration = Duration::from_millis(200);

/// How often each thread looks up at least. To set a timer that is due before all others costs two system calls, which
/// is a good part of a request; with one that is always due sooner, no request's own ever is.
const TICK: Duration = Duration::from_secs(1);

/// How far the server is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It answers.
    Open,
    /// It still accepts, and says that it will not for long.
    Closing,
    /// It finishes what it began.
    Closed,
}

/// Answers requests on `listener` until `stop` comes about; then those that are under way are answered, and no others.
///
/// Each core has a thread of its own, with its share of the connections to the store: a request and its query stay on
/// one thread, and nobody has to be woken on another.
pub async fn run(
    listener: TcpListener,
    serve: Serve,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (phase, told) = watch::channel(Phase::Open);
    let callers = Arc::new(Semaphore::new(CALLERS));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers: Vec<Worker> = serve
        .share(cores)
        .into_iter()
        .map(|serve| Worker::start(serve, told.clone()))
        .collect::<io::Result<_>>()?;
    let notice = async {
        stop.await;
        phase.send_replace(Phase::Closing);
        tokio::time::sleep(NOTICE).await;
        phase.send_replace(Phase::Closed);
    };
    tokio::pin!(notice);
    for worker in workers.iter().cycle() {
        let accepted = tokio::select! {
            () = &mut notice => break,
            accepted = accept(&listener, &callers) => accepted,
        };
        match accepted {
            Ok(caller) => worker.take(caller),
            // Too many open files, mostly: it passes.
            Err(error) => {
                tracing::error!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    for worker in workers {
        worker.end().await;
    }
    Ok(())
}

/// A caller's connection, and its place among those that there may be.
struct Caller {
    stream: std::net::TcpStream,
    _place: OwnedSemaphorePermit,
}

/// A thread that answers.
struct Worker {
    callers: mpsc::UnboundedSender<Caller>,
    ended: oneshot::Receiver<()>,
}

impl Worker {
    fn start(serve: Serve, told: watch::Receiver<Phase>) -> io::Result<Self> {
        let (callers, waiting) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("serve".to_owned())
            .spawn(move || {
                runtime.block_on(work(Arc::new(serve), waiting, told));
                end.send(()).ok();
            })?;
        Ok(Self { callers, ended })
    }

    fn take(&self, caller: Caller) {
        // A worker that is gone closes the caller's connection.
        self.callers.send(caller).ok();
    }

    async fn end(self) {
        drop(self.callers);
        self.ended.await.ok();
    }
}

/// Answers callers until no more are coming and those that came have gone.
async fn work(
    serve: Arc<Serve>,
    mut waiting: mpsc::UnboundedReceiver<Caller>,
    told: watch::Receiver<Phase>,
) {
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            caller = waiting.recv() => match caller {
                Some(caller) => connections.spawn(connection(caller, serve.clone(), told.clone())),
                None => break,
            },
            Some(_) = connections.join_next() => continue,
            _ = tick.tick() => continue,
        };
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests were still being answered when the server stopped");
    }
}

async fn accept(listener: &TcpListener, callers: &Arc<Semaphore>) -> io::Result<Caller> {
    let place = callers.clone().acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Caller {
        stream: stream.into_std()?,
        _place: place,
    })
}

async fn connection(caller: Caller, serve: Arc<Serve>, mut told: watch::Receiver<Phase>) {
    let stream = match TcpStream::from_std(caller.stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::error!(%error, "a connection was not taken"),
    };
    let phase = told.clone();
    let service = service_fn(move |request| {
        let (serve, phase) = (serve.clone(), *phase.borrow());
        async move { Ok::<_, Infallible>(respond(&serve, phase, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = closed(&mut told) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's connection ended");
    }
}

/// Comes about when no further request is to be answered.
async fn closed(told: &mut watch::Receiver<Phase>) {
    // The sender lives as long as the server does; without it, the server has ended.
    told.wait_for(|phase| *phase == Phase::Closed).await.ok();
}

async fn respond(serve: &Serve, phase: Phase, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let response = match request.uri().path() {
        "/healthz" => answer::health(StatusCode::OK, "ok"),
        "/readyz" if phase != Phase::Open => {
            answer::health(StatusCode::SERVICE_UNAVAILABLE, "stopping")
        }
        "/readyz" => match serve.ready().await {
            Ok(()) => answer::health(StatusCode::OK, "ok"),
            Err(problem) => answer::problem(&problem),
        },
        _ => match collect(request).await {
            Ok(request) => {
                let packs = compress::accepts_gzip(request.headers());
                compress::pack(serve.handle(request).await, packs)
            }
            Err(problem) => answer::problem(&problem),
        },
    };
    response.map(Full::new)
}

/// The request with its whole body.
async fn collect(request: Request<Incoming>) -> Result<Request<Bytes>, Problem> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, Bytes::new()));
    }
    let read = Limited::new(body, BODY_LIMIT).collect();
    match tokio::time::timeout(BODY_PATIENCE, read).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.to_bytes())),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::body_too_large(BODY_LIMIT))
        }
        Ok(Err(_)) | Err(_) => Err(Problem::body_unreadable()),
    }
}
