//! The smallest MCP client: enough to call our own endpoint over a real connection.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use portolan::{Error, Result};
use serde_json::{Value, json};

/// A client of the modern era: every request stands for itself.
pub(crate) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
    next_id: u64,
}

impl Client {
    /// Asks the endpoint what it is.
    pub(crate) async fn connect(url: &str, token: &str) -> Result<Self> {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        let mut client = Self {
            http,
            url: url.into(),
            token: token.into(),
            next_id: 1,
        };
        client.request("server/discover", None, json!({})).await?;
        Ok(client)
    }

    /// The tools that it offers.
    pub(crate) async fn tools(&mut self) -> Result<Vec<Value>> {
        let result = self.request("tools/list", None, json!({})).await?;
        Ok(result["tools"].as_array().cloned().unwrap_or_default())
    }

    /// Calls a tool and gives the text of its answer.
    pub(crate) async fn call(&mut self, tool: &str, arguments: &Value) -> Result<String> {
        let params = json!({"name": tool, "arguments": arguments});
        let result = self.request("tools/call", Some(tool), params).await?;
        let blocks = result["content"].as_array().cloned().unwrap_or_default();
        let text: Vec<_> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        if result["isError"] == true {
            return Err(Error::invalid(tool, text.join("\n")));
        }
        Ok(if text.is_empty() {
            result.to_string()
        } else {
            text.join("\n")
        })
    }

    async fn request(&mut self, method: &str, name: Option<&str>, mut params: Value) -> Result<Value> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "quickstart", "version": env!("CARGO_PKG_VERSION")},
        });
        self.next_id += 1;
        let body = json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params});
        let mut request = Request::post(&self.url)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        let request = request.body(Full::from(body.to_string())).map_err(broken)?;
        let response = self.http.request(request).await.map_err(broken)?;
        let status = response.status();
        let text = response.into_body().collect().await.map_err(broken)?.to_bytes();
        let message = last_message(&text).ok_or_else(|| broken(format!("HTTP {status} without a JSON-RPC message")))?;
        match message.get("error") {
            Some(error) => Err(Error::invalid(method, error["message"].as_str().unwrap_or("refused"))),
            None => Ok(message["result"].clone()),
        }
    }
}

/// A JSON body, or the last event of a stream.
fn last_message(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok().or_else(|| {
        let text = std::str::from_utf8(text).ok()?;
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back()?;
        serde_json::from_str(data).ok()
    })
}

fn broken(fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unavailable("the endpoint", fault)
}
