//! Tests of the import and the export against samples and generated files.

mod bounds;
mod cases;
mod guide;
mod installs;
mod mutated;
mod round_trip;
mod samples;
