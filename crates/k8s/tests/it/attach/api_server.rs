//! A mock API server with one pod and Leases, which hands attached connections to the test.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan_k8s::attach::{AttachChannel, AttachConfig, Ownership, PodRun};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request, Response},
};

use super::stdio::Stdio;

/// The running server.
pub(super) struct Api {
    url: String,
    pub(super) state: Arc<Mutex<State>>,
    attached: mpsc::Receiver<WebSocketStream<TcpStream>>,
}

pub(super) struct State {
    /// The version of the attach protocol.
    pub(super) protocol: &'static str,
    /// The number of starts of the container.
    pub(super) starts: u32,
    /// The status code that attaching is refused with.
    pub(super) refuses: Option<u16>,
    /// Whether it leaves all requests but attaching unanswered.
    pub(super) is_mute: bool,
    pub(super) leases: HashMap<String, Value>,
    version: u64,
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            protocol: "v5.channel.k8s.io",
            starts: 1,
            refuses: None,
            is_mute: false,
            leases: HashMap::new(),
            version: 1,
        }));
        let (sender, attached) = mpsc::channel(8);
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), sender.clone()));
            }
        });
        Self { url, state, attached }
    }

    pub(super) fn client(&self) -> kube::Client {
        let mut config = kube::Config::new(self.url.parse().unwrap());
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    /// Creates a channel to the present run of the container.
    pub(super) fn channel(&self, change: impl FnOnce(&mut AttachConfig)) -> Arc<AttachChannel> {
        let mut config = AttachConfig::default()
            .with_container("mcp-server")
            .with_probe_patience(Duration::from_millis(200));
        change(&mut config);
        let channel = AttachChannel::new("test", self.client(), "ns", config);
        channel.set_run(self.run());
        channel
    }

    /// Returns the present run of the container.
    pub(super) fn run(&self) -> Option<PodRun> {
        let pod = serde_json::from_value(pod(self.state.lock().unwrap().starts)).unwrap();
        PodRun::of(&pod, "mcp-server")
    }

    /// Waits for the next attached connection.
    pub(super) async fn attached(&mut self) -> Stdio {
        let socket = timeout(Duration::from_secs(10), self.attached.recv())
            .await
            .expect("a connection is attached");
        Stdio::new(socket.unwrap())
    }
}

pub(super) fn owner(holder: &str) -> Ownership {
    Ownership::new("mcp-test", holder).with_times(Duration::from_millis(1500), Duration::from_millis(100))
}

fn pod(starts: u32) -> Value {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let status = json!({
        "name": "mcp-server", "image": "x", "imageID": "x", "ready": true, "restartCount": starts,
        "containerID": format!("containerd://{starts}"), "state": running,
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u"},
        "status": {"containerStatuses": [status]},
    })
}

async fn serve(
    mut stream: TcpStream,
    state: Arc<Mutex<State>>,
    attached: mpsc::Sender<WebSocketStream<TcpStream>>,
) -> Option<()> {
    let mut head = [0; 4096];
    let seen = stream.peek(&mut head).await.ok()?;
    let is_attach = String::from_utf8_lossy(&head[..seen]).contains("/pods/p/attach?");
    let (protocol, refuses, is_mute) = {
        let state = state.lock().unwrap();
        (state.protocol, state.refuses, state.is_mute)
    };
    if is_attach && refuses.is_none() {
        #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let agree = |_: &Request, mut response: Response| {
            let headers = response.headers_mut();
            headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
            Ok::<_, ErrorResponse>(response)
        };
        let socket = accept_hdr_async(stream, agree).await.ok()?;
        return attached.send(socket).await.ok();
    }
    if is_mute {
        std::future::pending::<()>().await;
    }
    let (line, body) = read(&mut stream).await?;
    let (code, answer) = match refuses.filter(|_| is_attach) {
        Some(code) => (code, refusal(code)),
        None => state.lock().unwrap().answer(&line, &body),
    };
    let text = answer.to_string();
    let head = format!(
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(format!("{head}{text}").as_bytes()).await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            let line = head.lines().next()?.to_owned();
            return Some((line, serde_json::from_str(body).unwrap_or_default()));
        }
    }
}

fn refusal(code: u16) -> Value {
    let message = "pods \"p\" is forbidden: User \"system:serviceaccount:ns:gw\" cannot create resource \"pods/attach\" in API group \"\" in the namespace \"ns\"";
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Forbidden",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

impl State {
    fn answer(&mut self, line: &str, body: &Value) -> (u16, Value) {
        let mut words = line.split(' ');
        let (verb, path) = (words.next().unwrap(), words.next().unwrap());
        let path = path.split('?').next().unwrap();
        if path == "/api/v1/namespaces/ns/pods/p" {
            return (200, pod(self.starts));
        }
        let leases = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
        let Some(name) = path.strip_prefix(leases) else {
            return (404, refusal(404));
        };
        let name = match name.strip_prefix('/') {
            Some(name) => name.to_owned(),
            None => body["metadata"]["name"].as_str().unwrap().to_owned(),
        };
        let present = self
            .leases
            .get(&name)
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (verb, present) {
            ("GET" | "PUT" | "DELETE", None) => (404, refusal(404)),
            ("GET", Some(_)) => (200, self.leases[&name].clone()),
            ("POST", Some(_)) => (409, refusal(409)),
            ("PUT", Some(version)) if version != body["metadata"]["resourceVersion"] => (409, refusal(409)),
            ("DELETE", Some(version)) if version != body["preconditions"]["resourceVersion"] => (409, refusal(409)),
            ("DELETE", Some(_)) => (200, self.leases.remove(&name).unwrap()),
            _ => {
                self.version += 1;
                let mut lease = body.clone();
                lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.leases.insert(name, lease.clone());
                (200, lease)
            }
        }
    }
}
