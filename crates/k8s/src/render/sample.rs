//! A sample install of a server, to check a server before it is installed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use portolan_core::{
    CredentialKey, FieldKind, Install, InstallName, Owner, Result, Secret, ServerSpec, orchestrator::run_spec,
};

use crate::config::KubeConfig;

use super::{RenderInput, Rendered, render, secret_keys};

/// Renders `server` for an install with a valid answer to each field.
pub(super) fn render_sample(server: &ServerSpec, config: &KubeConfig) -> Result<Rendered> {
    let name = InstallName::parse("00000000-0000-7000-8000-000000000000")?;
    let mut install = Install::new(name, server.name.clone(), Owner::Org, Timestamp::UNIX_EPOCH);
    for field in &server.fields {
        if field.secret {
            let key = CredentialKey::of_server(&server.name, &field.key);
            install.secrets.insert(field.key.clone(), key);
        } else {
            let answer = field.default.clone().unwrap_or_else(|| sample(field.kind).into());
            install.answers.insert(field.key.clone(), answer);
        }
    }
    let spec = run_spec(server, &install)?;
    let secrets: BTreeMap<_, _> = secret_keys(&spec)
        .into_iter()
        .map(|key| (key.clone(), Secret::new("sample")))
        .collect();
    let environment = config.environment(spec.kubernetes.environment.as_deref())?;
    let token = Secret::new("sample");
    render(&RenderInput::new(&name, &spec, config, environment, &token).with_secrets(&secrets))
}

fn sample(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Number => "1",
        FieldKind::Boolean => "true",
        FieldKind::Url => "https://example.com/",
        _ => "sample",
    }
}
