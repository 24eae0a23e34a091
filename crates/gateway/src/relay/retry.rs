//! Sends a request to its server, and again if the server rejected it before processing.

use std::time::Duration;

use bytes::Bytes;
use portolan_client::{Reply, Tools, client_capabilities, tasks};
use portolan_core::{Error, FailureKind, Naming, Result};
use portolan_wire::era::Era;

use super::Relay;
use crate::{
    relay_request::RelayRequest,
    routing::{Named, exposed_tools},
    task_ids::TaskIds,
};

impl Relay {
    /// Sends a request, and returns the reply. Two errors mean that the server has not processed it; after each the
    /// request is sent once more: with other headers (-32020), or as a task (-32021).
    pub(super) async fn send(&self, request: &RelayRequest) -> Result<Reply> {
        let mut sent = request.server.call(&request.upstream()).await;
        if matches!(sent, Ok(Reply::HeaderMismatch(_)))
            && let Some(again) = Box::pin(self.send_with_new_headers(request)).await
        {
            sent = again;
        }
        if matches!(sent, Ok(Reply::TaskRequired(_))) && self.polls_tasks_for(request.era()) {
            sent = Box::pin(send_as_task(request)).await;
        }
        if let Err(Error::NotReady { failure, .. }) = &sent
            && failure.kind == FailureKind::Credential
        {
            self.resolver.forget_credential(&request.context, &request.install);
        }
        sent
    }

    /// Returns whether the gateway polls the task of a modern server for this client without tasks. A client of the
    /// same era gets the error instead, unless the configuration says otherwise.
    fn polls_tasks_for(&self, client: Era) -> bool {
        client == Era::Legacy || self.config.drive_tasks
    }

    /// Sends the request with the headers of the tool's current definition, which has changed since it was listed;
    /// `None` if the tool is no longer listed.
    async fn send_with_new_headers(&self, request: &RelayRequest) -> Option<Result<Reply>> {
        let tool = request.tool()?;
        let upstream = &request.server;
        let listed = upstream
            .list_within::<Tools>(&request.credential, Duration::ZERO)
            .await
            .ok()?;
        let tools = exposed_tools(&upstream.spec().name, &listed);
        let at = tools.position(Naming::Plain, tool.own())?;
        let mut again = request.upstream();
        again.mirrored = &tools.get(at).headers;
        Some(upstream.call(&again).await)
    }
}

/// Sends a call that its server runs only as a task: the gateway declares support for tasks in place of the client.
async fn send_as_task(request: &RelayRequest) -> Result<Reply> {
    let mut again = request.upstream();
    let declared: Bytes = tasks::declare(&client_capabilities(&again));
    let polled = TaskIds::polled();
    again.declared = Some(&declared);
    again.tasks = Some(&polled);
    request.server.call(&again).await
}
