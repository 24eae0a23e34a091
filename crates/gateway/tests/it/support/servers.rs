//! Servers as thin scripts over the fixtures' scripted server.

pub(crate) mod forgetful;
pub(crate) mod notifying;
pub(crate) mod requesting;
pub(crate) mod resources;
pub(crate) mod streaming;
pub(crate) mod tasks;

pub(crate) use portolan_fixtures::scripted::{Reply, Request, ScriptedServer, legacy, modern};

/// Starts a server that replies as `script` says.
pub(crate) async fn scripted(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> ScriptedServer {
    ScriptedServer::start(script).await.expect("a port")
}

/// What a server of one era replies apart from calls: the tool `t`, no sessions.
pub(crate) fn common(is_modern: bool, request: &Request) -> Option<Reply> {
    match is_modern {
        true => modern(request),
        false => legacy(request),
    }
}
