//! Samples that the cases work on.

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    CredentialKey, GatewayName, GatewaySpec, Install, InstallName, Labels, Owner, Record, ResourceNaming, ServerName,
    ServerSpec, Subject, TeamId, TokenDigest, TokenGrant, Tool,
};

/// A moment, so many seconds after one that is long gone.
pub fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time within this era")
}

/// A server.
pub fn server(name: &str) -> ServerSpec {
    ServerSpec::command(name, "uvx", ["mcp-server-time"]).expect("a server name")
}

/// A server with a description, to tell versions of it apart.
pub fn described(name: &str, description: impl Into<String>) -> ServerSpec {
    let mut server = server(name);
    server.description = Some(description.into());
    server
}

/// A server name.
pub fn server_name(name: &str) -> ServerName {
    ServerName::parse(name).expect("a server name")
}

/// The name of the install with this number.
pub fn install_name(number: u128) -> InstallName {
    InstallName::from(Uuid::from_u128(number))
}

/// An install with a tool whose definition is as odd as JSON allows.
pub fn install(number: u128) -> Install {
    let owner = Owner::Team(TeamId::parse("web ☕ 'team' \\ \"q\"").expect("a team"));
    let mut install = Install::new(install_name(number), server_name("time"), owner, time(0));
    install.tools = vec![tool(ODD_TOOL)];
    install
}

/// A definition that shows whether raw JSON is kept byte for byte: spaces, order, escapes, number formats, a field that
/// nobody knows.
pub const ODD_TOOL: &str = "{ \"x-future\":{\"n\":1.50e3,\"big\":12345678901234567890.0}, \"name\":\"now\",\n  \"description\":\"caf\\u00e9 ☕ \\/\" }";

/// A tool of this definition.
pub fn tool(definition: &str) -> Tool {
    let raw = RawValue::from_string(definition.into()).expect("JSON");
    Tool::parse(raw).expect("a tool definition")
}

/// A gateway with labels.
pub fn gateway(name: &str) -> GatewaySpec {
    let mut gateway = GatewaySpec::new(gateway_name(name));
    gateway.resource_naming = ResourceNaming::Prefix;
    gateway.labels = Labels::new([("team", "web"), ("stage", "prod")]).expect("labels");
    gateway
}

/// A gateway name.
pub fn gateway_name(name: &str) -> GatewayName {
    GatewayName::parse(name).expect("a gateway name")
}

/// A token grant.
pub fn token(number: u8) -> TokenGrant {
    let mut grant = TokenGrant::new(TokenDigest::new([number; 32]), Subject::Org, time(0));
    grant.expires = Some(time(3600));
    grant
}

/// One record of each kind.
pub fn one_of_each() -> Vec<Record> {
    vec![
        server("time").into(),
        install(1).into(),
        gateway("default").into(),
        token(1).into(),
    ]
}

/// A credential key.
pub fn credential_key(path: &str) -> CredentialKey {
    CredentialKey::parse(path).expect("a credential key")
}
