//! Calls of a server that is reached by streamable HTTP, of either era.

pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod listening;
pub(crate) mod prepare;
pub(crate) mod refused;
pub(crate) mod resume;
