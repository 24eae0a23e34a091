//! Connectors of the host, and TLS.

use std::{
    ffi::OsString,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portolan_client::{BoxError, Client, ClientConfig, Connect, Io, TcpConnect, UpstreamServer, Uri};
use portolan_fixtures::http::{HttpFixture, Options};
use rcgen::{CertifiedKey, KeyPair};
use rustls::{
    ClientConfig as TlsConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{none, server_at};

/// The variable that names the file with the certificates of the machine.
const MACHINE_ROOTS: &str = "SSL_CERT_FILE";
/// The variables that tell the second process of a test where the server is, and which file its root belongs in.
const CHILD_URL: &str = "PORTOLAN_TEST_URL";
const CHILD_ROOT: &str = "PORTOLAN_TEST_ROOT";

type Key = CertifiedKey<KeyPair>;

/// Connects to a fixed address, and counts.
#[derive(Debug)]
struct Redirecting {
    address: SocketAddr,
    connections: AtomicUsize,
}

#[async_trait::async_trait]
impl Connect for Redirecting {
    async fn connect(&self, _: &Uri) -> Result<Box<dyn Io>, BoxError> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(TcpStream::connect(self.address).await?))
    }
}

fn self_signed() -> Key {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
}

fn private_key(key: &Key) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into()
}

fn roots(key: &Key) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("a root");
    roots
}

/// Speaks TLS in front of `upstream` and returns the URL; clients need a certificate if `client` is given.
async fn secured(upstream: &HttpFixture, key: &Key, client: Option<&Key>) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = match client {
        Some(client) => {
            let provider = Arc::new(default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client)), provider);
            config.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
        None => config.with_no_client_auth(),
    };
    let config = config.with_single_cert(vec![key.cert.der().clone()], private_key(key));
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, behind) = (listener.local_addr().expect("an address").port(), upstream.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // An error is a client that does not trust the server, or the other way round.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut behind = TcpStream::connect(behind).await.expect("the fixture");
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    format!("https://localhost:{port}/mcp")
}

fn trusting(key: &Key, client: Option<&Key>) -> TlsConfig {
    let config = TlsConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots(key));
    match client {
        Some(client) => config
            .with_client_auth_cert(vec![client.cert.der().clone()], private_key(client))
            .expect("a client certificate"),
        None => config.with_no_client_auth(),
    }
}

fn server_with_tls(url: &str, tls: TlsConfig) -> Arc<UpstreamServer> {
    let connect = TcpConnect::new(Duration::from_secs(10)).with_tls(tls);
    let client = Client::with_connect(ClientConfig::default(), Arc::new(connect));
    UpstreamServer::at_url(&client, url).expect("a URL")
}

async fn is_called(server: &Arc<UpstreamServer>) -> bool {
    let result = server.call_tool("echo", json!({ "text": "hi" }), &none()).await;
    result.is_ok_and(|result| result.text() == "hi")
}

#[tokio::test]
async fn connector_of_the_host_is_used() {
    let upstream = HttpFixture::start(Options::default()).await.expect("a port");
    let connect = Arc::new(Redirecting {
        address: upstream.address(),
        connections: AtomicUsize::new(0),
    });
    let client = Client::with_connect(ClientConfig::default(), connect.clone());
    let server = UpstreamServer::at_url(&client, "http://localhost:1/mcp").expect("a URL");
    for _ in 0..3 {
        assert!(is_called(&server).await);
    }
    // The connection is kept between the calls.
    assert_eq!(connect.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn given_roots_are_trusted() {
    let upstream = HttpFixture::start(Options::default()).await.expect("a port");
    let key = self_signed();
    let url = secured(&upstream, &key, None).await;
    assert!(is_called(&server_with_tls(&url, trusting(&key, None))).await);
    assert!(!is_called(&server_with_tls(&url, trusting(&self_signed(), None))).await);
}

#[tokio::test]
async fn client_certificate_is_sent() {
    let upstream = HttpFixture::start(Options::default()).await.expect("a port");
    let (key, client) = (self_signed(), self_signed());
    let url = secured(&upstream, &key, Some(&client)).await;
    assert!(is_called(&server_with_tls(&url, trusting(&key, Some(&client)))).await);
    assert!(!is_called(&server_with_tls(&url, trusting(&key, None))).await);
}

/// The roots of the machine are named by the environment, which only a new process can be given: the test runs itself
/// once more, with a file that is not there yet.
#[tokio::test]
async fn tls_setup_failure_is_not_remembered() {
    if let Some(url) = variable(CHILD_URL) {
        return in_child(&url.to_string_lossy()).await;
    }
    let upstream = HttpFixture::start(Options::default()).await.expect("a port");
    let key = self_signed();
    let url = secured(&upstream, &key, None).await;
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root.pem");
    std::fs::write(&root, key.cert.pem()).expect("a file");
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child
        .args(["--exact", "connect::tls_setup_failure_is_not_remembered"])
        .env(CHILD_URL, url)
        .env(CHILD_ROOT, root)
        .env(MACHINE_ROOTS, dir.path().join("machine.pem"))
        .env_remove("SSL_CERT_DIR");
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .expect("no panic");
    let output = output.expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn in_child(url: &str) {
    let server = server_at(url);
    let failed = server.connect(&none()).await.expect_err("no roots");
    assert!(failed.to_string().contains("certificates of this machine"), "{failed}");
    let path = |name| variable(name).expect("a path");
    std::fs::copy(path(CHILD_ROOT), path(MACHINE_ROOTS)).expect("a file");
    assert!(is_called(&server).await);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the first process of the test sets these variables for the second"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
