//! The edge: checks the host and origin of a request, authenticates the caller, and reads the body.

mod auth;
mod intake;
mod origin;

pub(crate) use self::{
    auth::Authentication,
    intake::{accepts, check_id, check_types, drain, names_session, read},
    origin::check as check_origin,
};
