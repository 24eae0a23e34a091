//! Pages on which people connect installs: sign in to providers, fill in fields, see and end connections.

mod browser;
mod config;
mod html;
mod pages;
mod session;

pub use self::{config::ConnectConfig, pages::ConnectPages, session::BrowserSession};
