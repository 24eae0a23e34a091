use crate::{Delivery, Error, Field, FieldKey, FieldKind, ServerSpec, Source, Transport};

fn field(key: &str, delivery: Delivery) -> Field {
    Field::new(FieldKey::parse(key).expect("a key"), delivery)
}

fn env(name: &str) -> Delivery {
    Delivery::Env { name: name.into() }
}

fn file(name: &str) -> Delivery {
    Delivery::File { name: name.into() }
}

fn header(name: &str, prefix: &str) -> Delivery {
    Delivery::Header {
        name: name.into(),
        prefix: prefix.into(),
    }
}

fn stdio() -> ServerSpec {
    ServerSpec::command("s", "serve", [""; 0]).expect("a server")
}

fn http() -> ServerSpec {
    let mut server = stdio();
    server.source = Source::Image {
        image: "acme/s:1".into(),
        program: None,
        args: Vec::new(),
        transport: Transport::Http {
            port: 8080,
            path: "/mcp".into(),
        },
    };
    server
}

fn remote() -> ServerSpec {
    ServerSpec::remote("s", "https://api.example.com/mcp").expect("a server")
}

fn refusal(server: &ServerSpec) -> Option<String> {
    match server.check() {
        Ok(()) => None,
        Err(Error::Invalid { field, problem }) => Some(format!("{field}: {problem}")),
        Err(other) => panic!("invalid, not {other:?}"),
    }
}

#[test]
fn delivery_must_fit_the_source() {
    let table = [
        (stdio(), env("A"), true),
        (stdio(), file("a.txt"), true),
        (stdio(), Delivery::Argument, true),
        (stdio(), header("X-Key", ""), false),
        (http(), env("A"), true),
        (http(), header("X-Key", "Bearer "), true),
        (remote(), header("Authorization", "Bearer "), true),
        (remote(), env("A"), false),
        (remote(), file("a.txt"), false),
        (remote(), Delivery::Argument, false),
    ];
    for (server, delivery, fits) in table {
        let server = server.field(field("key", delivery));
        assert_eq!(refusal(&server).is_none(), fits, "{server:?}");
    }
}

#[test]
fn unsafe_names_are_refused() {
    for name in ["", "A=B", "A\0"] {
        assert!(
            refusal(&stdio().field(field("key", env(name)))).is_some(),
            "variable {name:?}"
        );
    }
    for name in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0"] {
        assert!(
            refusal(&stdio().field(field("key", file(name)))).is_some(),
            "file {name:?}"
        );
    }
    for name in [
        "",
        "a b",
        "X\nY",
        "Host",
        "Content-Length",
        "mcp-session-id",
        "Mcp-Method",
        "Proxy-Authorization",
    ] {
        assert!(
            refusal(&remote().field(field("key", header(name, "")))).is_some(),
            "header {name:?}"
        );
    }
    assert!(refusal(&remote().field(field("key", header("X-Key", "a\r\nb")))).is_some());
}

#[test]
fn headers_are_checked() {
    for (name, value, fits) in [
        ("X-Tenant", "acme", true),
        ("X-Tenant", "a\nb", false),
        ("Transfer-Encoding", "chunked", false),
        ("MCP-Protocol-Version", "1", false),
        ("not a name", "x", false),
    ] {
        let mut server = remote();
        server.headers.insert(name.into(), value.into());
        assert_eq!(refusal(&server).is_none(), fits, "{name}: {value:?}");
    }
}

#[test]
fn secret_has_no_default_and_no_argument() {
    let mut secret = field("key", env("KEY"));
    (secret.secret, secret.default) = (true, Some("hunter2".into()));
    let problem = refusal(&stdio().field(secret)).expect("a default");
    assert_eq!(problem, "key: is a secret, so it must not have a default");
    let mut secret = field("key", Delivery::Argument);
    secret.secret = true;
    assert!(refusal(&stdio().field(secret)).is_some());
}

#[test]
fn default_fits_kind_and_keys_are_unique() {
    let mut number = field("n", env("N"));
    (number.kind, number.default) = (FieldKind::Number, Some("many".into()));
    assert_eq!(refusal(&stdio().field(number)).as_deref(), Some("n: needs a number"));
    let twice = stdio().field(field("k", env("A"))).field(field("k", env("B")));
    assert_eq!(refusal(&twice).as_deref(), Some("k: is asked for twice"));
}

#[test]
fn url_is_http_without_password() {
    for bad in [
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user:pw@example.com",
        "https://user@example.com",
        "mailto:a@b",
    ] {
        assert!(ServerSpec::remote("s", bad).is_err(), "{bad}");
    }
    assert!(ServerSpec::command("s", " ", [""; 0]).is_err() && ServerSpec::image("s", "").is_err());
}
