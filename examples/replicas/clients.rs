//! MCP clients of one era that call a tool through the balancer.

use std::{fmt, sync::Arc};

use portolan::{ProtocolEra, Secret, ServerSpec, UpstreamCredential, wire::era::Era};
use portolan_client::{Client, ClientConfig, UpstreamServer};
use serde_json::json;

use crate::Result;

/// So many call at once.
const AT_ONCE: usize = 4;

pub(crate) struct Clients {
    server: Arc<UpstreamServer>,
    credential: Arc<UpstreamCredential>,
}

/// How many calls were answered, and how many were not.
#[derive(Default)]
pub(crate) struct Calls {
    answered: usize,
    pub(crate) failed: usize,
}

impl Clients {
    pub(crate) async fn connect(url: &str, token: &str, era: Era) -> Result<Self> {
        let client = Client::new(ClientConfig::default().with_name("replicas"));
        let mut spec = ServerSpec::remote("gateway", url)?;
        spec.era = match era {
            Era::Legacy => ProtocolEra::Legacy,
            Era::Modern => ProtocolEra::Modern,
        };
        let endpoint = portolan::core::HttpEndpoint::new(url.parse()?);
        let server = Arc::new(UpstreamServer::remote(&client, spec.into(), endpoint));
        let header = (http::header::AUTHORIZATION, Secret::new(format!("Bearer {token}")));
        let credential = Arc::new(UpstreamCredential::none().with_header(header.0, header.1));
        server.connect(&credential).await?;
        Ok(Self { server, credential })
    }

    /// Calls the tool so many times in all.
    pub(crate) async fn call(&self, calls: usize) -> Calls {
        let callers = (0..AT_ONCE).map(|_| self.call_in_turn(calls / AT_ONCE));
        let all = futures_util::future::join_all(callers).await;
        all.into_iter().fold(Calls::default(), |sum, calls| Calls {
            answered: sum.answered + calls.answered,
            failed: sum.failed + calls.failed,
        })
    }

    async fn call_in_turn(&self, calls: usize) -> Calls {
        let mut sum = Calls::default();
        for _ in 0..calls {
            let arguments = json!({ "name": "Ada" });
            match self
                .server
                .call_tool("everything__greet", arguments, &self.credential)
                .await
            {
                Ok(result) if !result.is_error() => sum.answered += 1,
                Ok(result) => {
                    eprintln!("  a call failed: {}", result.text());
                    sum.failed += 1;
                }
                Err(error) => {
                    eprintln!("  a call failed: {error}");
                    sum.failed += 1;
                }
            }
        }
        sum
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered and {} failed", self.answered, self.failed)
    }
}
