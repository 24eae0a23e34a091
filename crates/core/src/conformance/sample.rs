//! Sample values for cases.

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    CredentialKey, GatewayName, GatewaySpec, Install, InstallName, Labels, Owner, Record, ResourceNaming, ServerName,
    ServerSpec, Subject, TeamId, TokenDigest, TokenGrant, Tool,
};

/// Returns the time `second` seconds after 2023-11-14T22:13:20Z.
pub fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time within this era")
}

/// Returns a server.
pub fn server(name: &str) -> ServerSpec {
    ServerSpec::command(name, "uvx", ["mcp-server-time"]).expect("a server name")
}

/// Returns a server with a description, which distinguishes versions of it.
pub fn described(name: &str, description: impl Into<String>) -> ServerSpec {
    let mut server = server(name);
    server.description = Some(description.into());
    server
}

/// Returns a server name.
pub fn server_name(name: &str) -> ServerName {
    ServerName::parse(name).expect("a server name")
}

/// Returns the name of the install with this number.
pub fn install_name(number: u128) -> InstallName {
    InstallName::from(Uuid::from_u128(number))
}

/// Returns an install with the tool of [`ODD_TOOL`].
pub fn install(number: u128) -> Install {
    let owner = Owner::Team(TeamId::parse("web ☕ 'team' \\ \"q\"").expect("a team"));
    let mut install = Install::new(install_name(number), server_name("time"), owner, time(0));
    install.tools = vec![tool(ODD_TOOL)].into();
    install
}

/// A tool definition for tests that raw JSON is kept byte for byte: spaces, order, escapes, number formats, an unknown
/// member.
pub const ODD_TOOL: &str = "{ \"x-future\":{\"n\":1.50e3,\"big\":12345678901234567890.0}, \"name\":\"now\",\n  \"description\":\"caf\\u00e9 ☕ \\/\" }";

/// Returns a tool with this definition.
pub fn tool(definition: &str) -> Tool {
    let raw = RawValue::from_string(definition.into()).expect("JSON");
    Tool::parse(raw).expect("a tool definition")
}

/// Returns a gateway with labels.
pub fn gateway(name: &str) -> GatewaySpec {
    let mut gateway = GatewaySpec::new(gateway_name(name));
    gateway.resource_naming = ResourceNaming::Prefix;
    gateway.labels = Labels::new([("team", "web"), ("stage", "prod")]).expect("labels");
    gateway
}

/// Returns a gateway name.
pub fn gateway_name(name: &str) -> GatewayName {
    GatewayName::parse(name).expect("a gateway name")
}

/// Returns a token grant.
pub fn token(number: u8) -> TokenGrant {
    let mut grant = TokenGrant::new(TokenDigest::new([number; 32]), Subject::Org, time(0));
    grant.expires = Some(time(3600));
    grant
}

/// Returns one record of each kind.
pub fn one_of_each() -> Vec<Record> {
    vec![
        server("time").into(),
        install(1).into(),
        gateway("default").into(),
        token(1).into(),
    ]
}

/// Returns a credential key.
pub fn credential_key(path: &str) -> CredentialKey {
    CredentialKey::parse(path).expect("a credential key")
}
