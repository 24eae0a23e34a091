//! The target of a request, or the reason why there is none.

use std::sync::Arc;

use bytes::Bytes;
use portolan_client::{
    UpstreamServer,
    tasks::{self, TaskSupport},
};
use portolan_core::{Decision, Error, Install, InstallName, ServerName};
use portolan_wire::{error::ErrorObject, object};

use super::{
    exposure::{ExposedTool, ExposedTools, Named},
    routes::ServerRoute,
};

/// A server, and the install that serves this caller.
pub(crate) type Place<'a> = (&'a ServerRoute, &'a Arc<Install>);

/// The target of a request.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) route: &'a ServerRoute,
    pub(crate) install: &'a Arc<Install>,
    /// A member of params to replace by the server's value.
    pub(crate) rename: Option<(&'static str, Bytes)>,
    /// Further servers to try if this one does not have the item.
    others: Vec<Place<'a>>,
    what: What,
}

#[derive(Debug)]
enum What {
    Tool(Arc<ExposedTools>, usize),
    /// The name of a prompt, a URI, or a method.
    Named(Box<str>),
}

/// The reason why a request has no target.
#[derive(Debug)]
pub(crate) enum TargetError {
    /// No item has this name.
    Unknown(ErrorObject),
    /// The caller may not use the item.
    Denied(Box<Denial>),
    /// A server that may have the item is unreachable.
    Unreachable(Error),
}

/// A policy decision against a request.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) server: ServerName,
    pub(crate) install: InstallName,
    /// The server's own name of the tool or prompt, the URI of the resource, or the method.
    pub(crate) name: Box<str>,
    pub(crate) decision: Decision,
    /// The error for the client, which is the same as for an unknown item.
    pub(crate) error: ErrorObject,
}

impl Denial {
    pub(super) fn new((route, install): Place<'_>, name: &str, decision: Decision, error: ErrorObject) -> Box<Self> {
        Box::new(Self {
            server: route.server.name.clone(),
            install: install.name,
            name: name.into(),
            decision,
            error,
        })
    }
}

impl From<ErrorObject> for TargetError {
    fn from(error: ErrorObject) -> Self {
        Self::Unknown(error)
    }
}

impl From<Error> for TargetError {
    fn from(error: Error) -> Self {
        Self::Unreachable(error)
    }
}

impl<'a> Target<'a> {
    /// Returns the target of a resource or a method.
    pub(crate) fn at((route, install): Place<'a>, what: &str) -> Self {
        Self {
            route,
            install,
            rename: None,
            others: Vec::new(),
            what: What::Named(what.into()),
        }
    }

    /// Returns the first of the places, with the others to try after it.
    pub(super) fn first_of(mut places: Vec<Place<'a>>, what: &str) -> Option<Self> {
        if places.is_empty() {
            return None;
        }
        let first = places.remove(0);
        Some(Self {
            others: places,
            ..Self::at(first, what)
        })
    }

    /// Returns the tool at position `at` of a list, which the client calls `called`.
    pub(super) fn of_tool((route, install): Place<'a>, tools: Arc<ExposedTools>, at: usize, called: &str) -> Self {
        let own = tools.get(at).own();
        Self {
            route,
            install,
            rename: (own != called).then(|| ("name", object::quote(own))),
            others: Vec::new(),
            what: What::Tool(tools, at),
        }
    }

    /// Returns the prompt `own`, which the client calls `called`.
    pub(super) fn of_prompt(place: Place<'a>, own: &str, called: &str) -> Self {
        Self {
            rename: (own != called).then(|| ("name", object::quote(own))),
            ..Self::at(place, own)
        }
    }

    /// Replaces a member of params by the server's value.
    pub(crate) fn renaming(self, member: &'static str, value: Bytes) -> Self {
        Self {
            rename: Some((member, value)),
            ..self
        }
    }

    /// Returns the server of the install.
    pub(crate) fn upstream(&self) -> Arc<UpstreamServer> {
        self.route.upstream(self.install)
    }

    pub(crate) fn tool(&self) -> Option<&ExposedTool> {
        match &self.what {
            What::Tool(tools, at) => Some(tools.get(*at)),
            What::Named(_) => None,
        }
    }

    /// Returns the list of the tool, and its position.
    pub(crate) fn tool_entry(&self) -> Option<(Arc<ExposedTools>, usize)> {
        match &self.what {
            What::Tool(tools, at) => Some((tools.clone(), *at)),
            What::Named(_) => None,
        }
    }

    /// Returns whether the server runs this tool as a task.
    pub(crate) fn task_support(&self) -> TaskSupport {
        match self.tool() {
            Some(tool) if tool.task_support != TaskSupport::Forbidden => {
                let info = self.upstream().info();
                if tasks::are_offered(info.as_deref()) {
                    tool.task_support
                } else {
                    TaskSupport::Forbidden
                }
            }
            _ => TaskSupport::Forbidden,
        }
    }

    /// Returns the server's own name of the item.
    pub(crate) fn what(&self) -> &str {
        match &self.what {
            What::Tool(tools, at) => tools.get(*at).own(),
            What::Named(name) => name,
        }
    }

    /// Returns whether several servers may have the item.
    pub(crate) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Returns this target and the others, each alone, in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        let all = std::iter::once((self.route, self.install)).chain(self.others.iter().copied());
        all.map(|place| Self::at(place, self.what()))
    }
}
