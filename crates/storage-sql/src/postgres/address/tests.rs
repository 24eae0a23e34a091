use super::*;

fn problem(url: &str) -> String {
    match parse(url, TlsRule::VerifyFull) {
        Ok(_) => "none".into(),
        Err(error) => error.to_string(),
    }
}

fn mode(url: &str, rule: TlsRule) -> String {
    match parse(url, rule) {
        Ok(address) => format!("{:?}", address.options.get_ssl_mode()),
        Err(_) => "refused".into(),
    }
}

#[test]
fn ignored_parameters_are_refused() {
    for name in [
        "channel_binding",
        "connect_timeout",
        "options",
        "target_session_attrs",
        "SSLMODE",
    ] {
        let problem = problem(&format!("postgres://u:hunter2@localhost/d?{name}=require"));
        assert!(problem.contains(name) && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn incomplete_urls_are_refused() {
    let cases = [
        ("postgres:///d?user=u&password=hunter2", "no host"),
        ("postgres://h/d", "no user"),
        ("postgres://u:hunter2@h", "no database"),
        ("postgres://u:hunter2@h/d#x", "%23"),
        ("postgres://u:hunter2@h:port/d", "is no URL"),
        ("postgres://u:hunter2%zz@h/d", "hexadecimal"),
        ("postgres://u:hunter2@h/d?sslmode=maybe", "unknown sslmode"),
        ("postgres://u:hunter2@h/d?host=a,b", "several hosts"),
    ];
    for (url, says) in cases {
        let problem = problem(url);
        assert!(
            problem.contains(says) && !problem.contains("hunter2"),
            "{says}: {problem}"
        );
    }
}

#[test]
fn remote_server_is_verified() {
    for (url, wanted) in [
        ("postgres://u@db.example.com/d", "VerifyFull"),
        ("postgres://u@db.example.com/d?sslmode=verify-full", "VerifyFull"),
        ("postgres://u@db.example.com/d?sslmode=require", "refused"),
        ("postgres://u@db.example.com/d?sslmode=verify-ca", "refused"),
        ("postgres://u@db.example.com/d?sslmode=disable", "refused"),
        ("postgres://u@10.0.0.1/d?sslmode=prefer", "refused"),
        ("postgres://u@127.0.0.2/d", "Prefer"),
        ("postgres://u@[::1]/d?sslmode=disable", "Disable"),
        ("postgres://u@localhost/d?sslmode=require", "Require"),
        ("postgres://u@%2Frun%2Fpostgresql/d", "Prefer"),
        ("postgres://u@x/d?host=/run/postgresql", "Prefer"),
        (
            "postgres://u@localhost/d?host=db.example.com&sslmode=disable",
            "refused",
        ),
    ] {
        assert_eq!(mode(url, TlsRule::VerifyFull), wanted, "{url}");
    }
    let url = "postgres://u@db.example.com/d?sslmode=require";
    assert_eq!(mode(url, TlsRule::AsUrlSays), "Require");
}

#[test]
fn place_shows_no_user() {
    let address = parse("postgres://alice:hunter2@localhost:6000/d", TlsRule::VerifyFull).expect("a URL");
    assert_eq!(address.place, "postgres://localhost:6000/d");
}
