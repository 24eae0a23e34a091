//! The conformance suite of `Runtime`.

use std::sync::Arc;

use portolan_core::{
    Owner, RunSpec, ServerName, Source, Transport, UserId, conformance::runtime::Fixture, memory::MemoryCredentials,
};
use portolan_process::{ProcessConfig, ProcessRuntime};

use crate::support::program;

pub(crate) fn spec(args: &[&str]) -> RunSpec {
    let source = Source::Command {
        program: program(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        transport: Transport::Stdio,
    };
    let owner = Owner::Personal(UserId::parse("alice").unwrap());
    RunSpec::new(ServerName::parse("fixture").unwrap(), owner, source)
}

fn fresh() -> Fixture {
    let config = ProcessConfig::new(env!("CARGO_TARGET_TMPDIR"));
    let runtime = ProcessRuntime::new(config, Arc::new(MemoryCredentials::new()));
    let mut failing = spec(&[]);
    failing.source = Source::Command {
        program: "not-installed-anywhere".into(),
        args: Vec::new(),
        transport: Transport::Stdio,
    };
    Fixture::new(Arc::new(runtime), spec(&[]), spec(&["--era", "legacy"]), failing)
}

portolan_core::conformance::runtime_suite!(|| fresh());
