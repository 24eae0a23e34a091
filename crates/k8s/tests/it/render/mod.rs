//! What a run spec becomes.

mod carriers;
mod digest;
mod images;
mod network;
mod objects;
mod options;
mod reach;
mod secrecy;
mod standard;
mod support;
mod yaml_fill;
mod yaml_placeholders;
mod yaml_refused;
mod yaml_text;
