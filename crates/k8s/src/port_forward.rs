//! A local port that forwards to a deployment through the API server.
//!
//! It forwards requests, not connections: when a pod is replaced, a request in progress ends at the old pod, and the next one
//! on the same connection goes to the new pod. A request is sent again only if no byte of it was sent before.

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

/// How many connections one port accepts at once.
const MAX_CONNECTIONS: usize = 512;

/// How many idle connections to pods are kept.
const MAX_IDLE: usize = 64;

/// How long opening a port-forward may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A local port that forwards to a deployment. Dropping it closes all connections.
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
    /// The pods that can be called. All requests go to the first one while it exists, because a legacy session lives in one
    /// pod.
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
    ///
    /// # Errors
    ///
    /// `Connection` if the system has no free port.
    pub(crate) async fn open(namespace: Arc<Namespace>) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failure = |error| {
            Failure::new(
                FailureKind::Connection,
                format!("cannot open a port on 127.0.0.1: {error}"),
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

    /// Sets the pods and the port to forward to. The present pod stays first.
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
        let exists = |uid: &String| pods.iter().any(|pod| pod.uid == *uid);
        state.idle.retain(|(uid, sender)| exists(uid) && !sender.is_closed());
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
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, target.clone()));
                }
                // Mostly out of file descriptors, which is temporary.
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection to a forwarded port failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, target: Arc<ForwardTarget>) {
    // Otherwise small messages wait for the acknowledgement of the previous one.
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
        // A pod may be gone at each attempt, before anything was sent.
        for _ in 0..4 {
            let (uid, mut sender) = match self.sender().await {
                Ok(sender) => sender,
                Err(why) => return bad_gateway(&why),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(uid, sender);
                    return response.map(BodyExt::boxed);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return bad_gateway(&format!("the pod ended before it responded: {}", error.into_error())),
                },
            }
        }
        bad_gateway("connections to pods break before a request is sent")
    }

    /// Returns an idle connection to the first pod, or opens one to the first pod that accepts it.
    async fn sender(&self) -> Result<(String, SendRequest<Incoming>), String> {
        let (pods, port) = {
            let mut state = self.lock();
            let first = state.pods.first().map(|pod| pod.uid.clone());
            let free = state
                .idle
                .iter()
                .position(|(uid, sender)| first.as_ref() == Some(uid) && sender.is_ready());
            if let Some(free) = free.and_then(|index| state.idle.remove(index)) {
                return Ok(free);
            }
            (state.pods.clone(), state.port)
        };
        let mut why = "no pod is ready".to_owned();
        for pod in pods {
            match timeout(OPEN_TIMEOUT, self.open(&pod, port)).await {
                Ok(Ok(sender)) => return Ok((pod.uid, sender)),
                Ok(Err(error)) => why = error,
                Err(_) => why = format!("pod {} did not accept a connection in time", pod.name),
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
        let stream = forwarder
            .take_stream(port)
            .ok_or_else(|| why(&"the API server opened no stream"))?;
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

    /// Keeps a connection for the next request. It becomes idle once the present response was read.
    fn keep(&self, uid: String, sender: SendRequest<Incoming>) {
        let mut state = self.lock();
        if state.pods.iter().any(|pod| pod.uid == uid) && !sender.is_closed() {
            state.idle.retain(|(_, sender)| !sender.is_closed());
            if state.idle.len() >= MAX_IDLE {
                state.idle.pop_front();
            }
            state.idle.push_back((uid, sender));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ForwardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bad_gateway(why: &str) -> Response<Body> {
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
