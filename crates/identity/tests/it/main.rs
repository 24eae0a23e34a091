//! Tests of the identity crate.

mod egress;
