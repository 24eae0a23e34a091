//! What a runtime is asked to run.

use portolan_core::{
    Delivery, FieldKey, Install, Owner, Result, ServerSpec, Source, conformance::sample, orchestrator::run_spec,
};

use super::world::field;

fn arguments(args: &[&str]) -> Result<Vec<String>> {
    let mut server = ServerSpec::command("s", "serve", args.iter().copied())?;
    let mut secret = field("secret", Delivery::Env { name: "SECRET".into() });
    secret.secret = true;
    let mut with_default = field("with_default", Delivery::Argument);
    with_default.default = Some("d".into());
    server = server
        .field(field("a", Delivery::Argument))
        .field(field("b", Delivery::Argument))
        .field(secret);
    server = server.field(with_default).field(field("none", Delivery::Argument));
    let mut install = Install::new(
        sample::install_name(1),
        server.name.clone(),
        Owner::Org,
        sample::time(0),
    );
    for (key, value) in [("a", "1"), ("b", "${user_config.a}")] {
        install.answers.insert(FieldKey::parse(key)?, value.into());
    }
    match run_spec(&server, &install)?.source {
        Source::Command { args, .. } => Ok(args),
        other => panic!("a command, not {other:?}"),
    }
}

#[test]
fn placeholders_are_filled_once() {
    let table: [(&[&str], &[&str]); 7] = [
        (&["plain", "$HOME", "${x}"], &["plain", "$HOME", "${x}"]),
        (&["--a=${user_config.a}"], &["--a=1"]),
        (
            &["${user_config.a}${user_config.a}-${user_config.with_default}"],
            &["11-d"],
        ),
        (&["${user_config.b}"], &["${user_config.a}"]),
        (&["--flag", "${user_config.none}", "end"], &["--flag", "end"]),
        (&["--flag=${user_config.none}"], &["--flag="]),
        (&["a b; rm -rf /"], &["a b; rm -rf /"]),
    ];
    for (given, expected) in table {
        assert_eq!(arguments(given).expect("arguments"), expected, "{given:?}");
    }
}

#[test]
fn bad_placeholders_are_errors() {
    for (arg, problem) in [
        ("${user_config.unknown}", "stands for no field of this server"),
        ("${user_config.}", "stands for no field of this server"),
        ("${user_config.secret}", "is a secret"),
        ("x${user_config.a", "has no end"),
    ] {
        let error = arguments(&[arg]).expect_err(arg).to_string();
        assert!(error.contains(problem), "{arg}: {error}");
    }
}

#[test]
fn missing_required_answer_is_an_error() {
    let mut required = field("key", Delivery::Env { name: "KEY".into() });
    required.required = true;
    let server = sample::server("s").field(required);
    let install = Install::new(
        sample::install_name(1),
        server.name.clone(),
        Owner::Org,
        sample::time(0),
    );
    let error = run_spec(&server, &install).expect_err("no answer");
    assert_eq!(
        error.to_string(),
        "key: is required and has no answer; install again and give it"
    );
}

#[test]
fn remote_server_is_refused() {
    let server = ServerSpec::remote("s", "https://api.example.com").expect("a server");
    let install = Install::new(
        sample::install_name(1),
        server.name.clone(),
        Owner::Org,
        sample::time(0),
    );
    run_spec(&server, &install).expect_err("it runs elsewhere");
}
