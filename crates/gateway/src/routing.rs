//! Routing: the servers and names of each gateway, who may use them, and the credentials they are called with.

mod access;
mod alias;
mod collisions;
mod draft;
mod exposure;
mod owner;
mod passthrough;
mod request_context;
mod resolver;
mod routes;
mod target;
mod upstreams;
pub(crate) mod uris;

pub(crate) use self::{
    access::Access,
    alias::renamed,
    draft::Republished,
    exposure::{ExposedTool, ExposedTools, Named, exposed_prompts, exposed_tools, is_of_object},
    passthrough::select as passthrough_headers,
    request_context::{RequestContext, trace_id},
    resolver::Resolver,
    routes::{PublishedGateway, RouteTable, ServerRoute},
    target::{Denial, Place, Target, TargetError},
};
