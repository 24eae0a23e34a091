//! A server behind TLS: served when the machine trusts its certificate, and never without.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rcgen::{CertifiedKey, KeyPair};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::client::{Client, Era};
use crate::gateway::{Gateway, Naming};
use crate::server::{Target, everything_over_http};

/// Where certificates that a process trusts are read from in the place of those of the machine.
const TRUSTED: &str = "SSL_CERT_FILE";

/// Speaks TLS before the server at `behind`, for as long as the test lasts; gives its URL.
async fn secured(behind: &str, key: &CertifiedKey<KeyPair>) -> Result<String> {
    let behind: SocketAddr = behind
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/mcp"))
        .context("an address")?
        .parse()?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("https://localhost:{}/mcp", listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    Ok(url)
}

async fn through_tls(client: Client, era: Era) -> Result<()> {
    let (_server, url) = everything_over_http().await?;
    let direct = Target::Http {
        url: url.clone(),
        token: String::new(),
    };
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let trusted = NamedTempFile::new()?;
    std::fs::write(&trusted, key.cert.pem())?;
    let target = Target::Http {
        url: secured(&url, &key).await?,
        token: String::new(),
    };
    // Long both ways, so that neither goes through in one piece.
    let calls = json!([
        { "name": "echo", "arguments": { "message": "Grüße" } },
        { "name": "echo", "arguments": { "message": "x".repeat(90_000) } },
        { "name": "get-sum", "arguments": { "a": 1, "b": 2 } },
    ]);
    let expected = client.run(client.best_era(), &direct, &calls).await?;

    let trusting = [(TRUSTED, trusted.path())];
    let gateway = Gateway::start_among(Naming::Plain, &[("only", &target)], &[], &trusting).await?;
    let through = client.run(era, &gateway.target, &calls).await;
    gateway.explain(through.and_then(|through| {
        ensure!(through.results.len() == expected.results.len());
        for (through, direct) in through.results.iter().zip(&expected.results) {
            ensure!(
                through["result"]["content"] == direct["result"]["content"],
                "{through:#}"
            );
        }
        Ok(())
    }))?;

    // The machine's own certificates do not vouch for this one.
    let gateway = Gateway::start(Naming::Plain, &[("only", &target)]).await?;
    let refused = client.run(era, &gateway.target, &json!([])).await;
    let log = gateway.log();
    ensure!(log.contains("certificate"), "{refused:?}\n{log}");
    Ok(())
}

portolan_fixtures::matrix! {
    through_tls: {
        rmcp_legacy(Client::Rmcp, Era::Legacy),
        rmcp_modern(Client::Rmcp, Era::Modern),
        client2_modern(Client::Client2, Era::Modern),
    }
}
