//! Rendering of run specs.

mod carriers;
mod digest;
mod fixture;
mod images;
mod network;
mod objects;
mod options;
mod pod_security;
mod policy_eval;
mod secret_leaks;
mod yaml_fill;
mod yaml_placeholders;
mod yaml_refused;
mod yaml_text;
