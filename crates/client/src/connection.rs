//! How a server is reached, whichever transport and era it speaks.

mod internal_request;
pub(crate) mod wake;
