//! The bridge as a program, over real sockets.

mod client;
mod ending;
mod failures;
mod legacy;
mod modern;
mod process;
