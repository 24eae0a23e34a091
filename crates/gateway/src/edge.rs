//! The edge: which hosts and origins are answered, who calls, and the body of a request.

mod auth;
mod intake;
mod origin;

pub use self::auth::{StaticTokens, digest};
pub(crate) use self::{
    auth::Authentication,
    intake::{accepts, check_id, check_types, names_session, read},
    origin::check as check_origin,
};
