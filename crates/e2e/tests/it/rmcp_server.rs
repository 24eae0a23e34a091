//! A server built on `rmcp`, in this process: both eras at one address, over HTTP.
//!
//! Its tools, prompts and resources have the names of our fixture's, so that the same script does for both.
#![expect(deprecated, reason = "what is deprecated is still to be relayed")]

mod change;
mod content;
mod tool;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, GetPromptRequestParams,
    GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::change::World;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct RmcpServer {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl RmcpServer {
    pub(crate) async fn start() -> Result<Self> {
        let world = Arc::new(World::default());
        let service = StreamableHttpService::new(
            move || Ok(Conversation::new(world.clone())),
            Arc::<LocalSessionManager>::default(),
            // A web page of elsewhere is refused, as the specification wants; by default, rmcp looks at hosts alone.
            StreamableHttpServerConfig::default().enforce_origin_validation(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                let answer = service_fn(move |request| {
                    let service = service.clone();
                    async move { Ok::<_, Infallible>(service.handle(request).await) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
        Ok(Self { address, serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for RmcpServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The server towards one legacy session, or one modern request.
#[derive(Debug)]
struct Conversation {
    world: Arc<World>,
    told: change::Told,
}

impl Conversation {
    fn new(world: Arc<World>) -> Self {
        Self {
            world,
            told: change::Told::default(),
        }
    }
}

impl ServerHandler for Conversation {
    fn get_info(&self) -> ServerConfig {
        model(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "tools": { "listChanged": true },
                "prompts": { "listChanged": true },
                "resources": { "subscribe": true, "listChanged": true },
                "logging": {},
                "completions": {},
            },
            "serverInfo": { "name": "rmcp-server", "version": "1.0.0" },
            "instructions": "What rmcp offers.",
        }))
        .unwrap_or_default()
    }

    async fn list_tools(
        &self,
        params: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        page(params, json!({ "tools": tool::list(self.world.has_more("tools")) }))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools = tool::list(self.world.has_more("tools"));
        model(tools.into_iter().find(|tool| tool["name"] == name)?).ok()
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tool::call(self, params, context).await
    }

    async fn list_prompts(
        &self,
        params: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        page(
            params,
            json!({ "prompts": content::prompts(self.world.has_more("prompts")) }),
        )
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let prompt = content::prompt(&params.name, &json!(params.arguments))?;
        Ok(GetPromptResponse::Complete(result(prompt)?))
    }

    async fn list_resources(
        &self,
        params: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        page(
            params,
            json!({ "resources": content::resources(self.world.has_more("resources")) }),
        )
    }

    async fn list_resource_templates(
        &self,
        params: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        page(params, json!({ "resourceTemplates": content::templates() }))
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = content::resource(&params.uri)?;
        Ok(ReadResourceResponse::Complete(result(json!({ "contents": contents }))?))
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        result(content::completion(&json!(params)))
    }

    async fn set_level(&self, params: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.told.set_level(params.level);
        Ok(())
    }

    async fn subscribe(&self, params: SubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.told.subscribe(params.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.told.unsubscribe(&params.uri);
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        tokio::spawn(change::tell_session(
            self.world.changes(),
            self.told.clone(),
            context.peer,
        ));
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        change::tell_listener(self.world.changes(), &context).await;
        Ok(())
    }
}

/// The one page there is.
fn page<T: DeserializeOwned>(params: Option<PaginatedRequestParams>, list: Value) -> Result<T, ErrorData> {
    if params.is_some_and(|params| params.cursor.is_some()) {
        return Err(ErrorData::invalid_params("no such cursor", None));
    }
    result(list)
}

/// A result, which `rmcp` marks only if its builders are used.
fn result<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["resultType"] = "complete".into();
    model(value)
}

/// A model of `rmcp` out of JSON, which is shorter than its builders.
fn model<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}
