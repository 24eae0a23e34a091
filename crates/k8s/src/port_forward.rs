//! A port of this machine that leads to a deployment, through the API server's port-forward.
//!
//! It forwards requests, not connections: when a pod is replaced, a request under way ends where it began, and the next
//! one on the same connection goes to the new pod. A request is sent a second time only if no byte of it was sent before.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http1::SendRequest, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::Pod;
use portolan_core::{Failure, FailureKind};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::namespace::Namespace;

/// How many connections one port takes at once.
const CONNECTIONS: usize = 512;

/// How many idle connections to pods are kept.
const IDLE: usize = 64;

/// How long a port-forward may take to open.
const OPEN: Duration = Duration::from_secs(10);

/// A port that leads to a deployment. Dropping it ends all connections.
pub(crate) struct PortForward {
    port: u16,
    target: Arc<ForwardTarget>,
    _task: AbortOnDropHandle<()>,
}

struct ForwardTarget {
    namespace: Arc<Namespace>,
    state: Mutex<ForwardState>,
}

#[derive(Default)]
struct ForwardState {
    port: u16,
    /// The pods that can be called. The first one is called, until it cannot be: a legacy session lives in one pod.
    pods: Vec<PodRef>,
    idle: VecDeque<(String, SendRequest<Incoming>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PodRef {
    name: String,
    uid: String,
}

type Body = BoxBody<Bytes, hyper::Error>;

impl PortForward {
    /// Opens a port on the loopback address.
    pub(crate) async fn open(namespace: Arc<Namespace>) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failure = |error| {
            Failure::new(
                FailureKind::Connection,
                format!("no port can be opened on 127.0.0.1: {error}"),
            )
        };
        let listener = TcpListener::bind(address).await.map_err(failure)?;
        let port = listener.local_addr().map_err(failure)?.port();
        let target = Arc::new(ForwardTarget {
            namespace,
            state: Mutex::default(),
        });
        let task = AbortOnDropHandle::new(tokio::spawn(accept(listener, target.clone())));
        Ok(Self {
            port,
            target,
            _task: task,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Leads to `port` of one of `pods` from now on.
    pub(crate) fn set_pods(&self, pods: &[Arc<Pod>], port: u16) {
        let mut pods: Vec<_> = pods.iter().filter_map(|pod| PodRef::of(pod)).collect();
        let mut state = self.target.lock();
        if let Some(first) = state
            .pods
            .first()
            .and_then(|first| pods.iter().position(|pod| pod == first))
        {
            pods[..=first].rotate_right(1);
        }
        let is_there = |uid: &String| pods.iter().any(|pod| pod.uid == *uid);
        state.idle.retain(|(uid, sender)| is_there(uid) && !sender.is_closed());
        (state.pods, state.port) = (pods, port);
    }
}

impl PodRef {
    fn of(pod: &Pod) -> Option<Self> {
        Some(Self {
            name: pod.metadata.name.clone()?,
            uid: pod.metadata.uid.clone()?,
        })
    }
}

async fn accept(listener: TcpListener, target: Arc<ForwardTarget>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, target.clone()));
                }
                // Out of file handles, mostly: it passes.
                Err(error) => {
                    tracing::warn!(%error, "a connection to a forwarded port was not taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, target: Arc<ForwardTarget>) {
    // Without it, small messages wait for the one before to be acknowledged.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let target = target.clone();
        async move { Ok::<_, Infallible>(target.forward(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a forwarded connection ended");
    }
}

impl ForwardTarget {
    async fn forward(&self, mut request: Request<Incoming>) -> Response<Body> {
        // As many tries as pods may have gone under our hands, each with nothing sent.
        for _ in 0..4 {
            let (uid, mut sender) = match self.sender().await {
                Ok(sender) => sender,
                Err(why) => return refusal(&why),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(uid, sender);
                    return response.map(BodyExt::boxed);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return refusal(&format!("the pod ended before it answered: {}", error.into_error())),
                },
            }
        }
        refusal("no connection to a pod lasts")
    }

    /// A connection that is free, to the first pod that there is.
    async fn sender(&self) -> Result<(String, SendRequest<Incoming>), String> {
        let (pods, port) = {
            let mut state = self.lock();
            let first = state.pods.first().map(|pod| pod.uid.clone());
            let free = state
                .idle
                .iter()
                .position(|(uid, sender)| first.as_ref() == Some(uid) && sender.is_ready());
            if let Some(free) = free.and_then(|place| state.idle.remove(place)) {
                return Ok(free);
            }
            (state.pods.clone(), state.port)
        };
        let mut why = "no pod is ready".to_owned();
        for pod in pods {
            match timeout(OPEN, self.open(&pod, port)).await {
                Ok(Ok(sender)) => return Ok((pod.uid, sender)),
                Ok(Err(error)) => why = error,
                Err(_) => why = format!("pod {} cannot be reached in time", pod.name),
            }
        }
        Err(why)
    }

    async fn open(&self, pod: &PodRef, port: u16) -> Result<SendRequest<Incoming>, String> {
        let why = |error: &dyn fmt::Display| format!("pod {} cannot be reached: {error}", pod.name);
        let pods = self.namespace.client.api::<Pod>();
        let mut forwarder = pods
            .portforward(&pod.name, &[port])
            .await
            .map_err(|error| why(&error))?;
        let stream = forwarder.take_stream(port).ok_or_else(|| why(&"no stream was given"))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| why(&error))?;
        tokio::spawn(async move {
            // It ends with its sender and with the pod.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a pod ended");
            }
            forwarder.abort();
        });
        Ok(sender)
    }

    /// Keeps a connection for the next request. It is free once the present answer has been read.
    fn keep(&self, uid: String, sender: SendRequest<Incoming>) {
        let mut state = self.lock();
        if state.pods.iter().any(|pod| pod.uid == uid) && !sender.is_closed() {
            state.idle.retain(|(_, sender)| !sender.is_closed());
            if state.idle.len() >= IDLE {
                state.idle.pop_front();
            }
            state.idle.push_back((uid, sender));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ForwardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(why: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(why.to_owned()))
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

impl fmt::Debug for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
