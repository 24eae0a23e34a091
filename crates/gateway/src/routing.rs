//! Which server a request goes to: what each gateway serves, under which names, to whom.

mod access;
mod alias;
mod collisions;
mod exposure;
mod owner;
mod passthrough;
mod request_context;
mod resolver;
mod routes;
pub(crate) mod uris;

pub(crate) use self::{
    access::Access,
    alias::renamed,
    exposure::{ExposedPrompt, ExposedTool, ExposedTools, NameIndex, Named, exposed_prompts, exposed_tools, is_of_object},
    request_context::RequestContext,
    resolver::{Place, Resolver, Target, TargetError, text},
    routes::{InstallRoute, PublishedGateway, RouteTable, ServerRoute},
};
