//! One call of a server: how it is sent, and what comes back.

pub(crate) mod beginning;
pub(crate) mod cancel_on_drop;
pub(crate) mod events;
pub(crate) mod in_flight;
pub(crate) mod reply;
pub(crate) mod stdio;
pub(crate) mod steps;
pub(crate) mod streamable_http;
pub(crate) mod timeout;
