//! The bridge as a program, over real sockets.

mod client;
mod failures;
mod ending;
mod legacy;
mod modern;
mod started;
