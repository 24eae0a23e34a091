//! The client by itself, against servers of both eras, over HTTP and over channels.

mod channel;
mod connect;
mod notifications;
mod requests;
mod scopes;
mod sessions;
mod support;
