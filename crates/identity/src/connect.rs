//! Pages on which people connect installs: sign in to providers, fill in fields, see and end connections.

mod browser;
mod html;
mod pages;
mod session;

pub use self::{
    pages::{ConnectConfig, ConnectPages},
    session::BrowserSession,
};
