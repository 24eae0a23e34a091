//! Tests of the identity crate.

mod bed;
mod connect;
mod discovery;
mod egress;
mod machine;
mod odd_answers;
mod provider;
mod refresh;
mod strangers;
