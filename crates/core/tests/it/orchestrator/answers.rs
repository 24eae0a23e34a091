//! Which answers are refused, with which words; and that nothing is written then.

use portolan_core::{Answers, Delivery, Error, FieldKind, Precondition, Registry, ServerSpec, conformance::sample};

use super::{
    World,
    world::{field, owner},
};
use portolan_core::orchestrator::InstallRequest;

fn server() -> ServerSpec {
    let mut url = field("url", Delivery::Env { name: "URL".into() });
    url.kind = FieldKind::Url;
    let mut count = field("count", Delivery::Env { name: "COUNT".into() });
    count.kind = FieldKind::Number;
    let mut debug = field("debug", Delivery::Env { name: "DEBUG".into() });
    debug.kind = FieldKind::Boolean;
    let mut region = field("region", Delivery::Argument);
    region.required = true;
    let mut key = field("key", Delivery::Env { name: "KEY".into() });
    (key.required, key.secret) = (true, true);
    sample::server("asking")
        .field(url)
        .field(count)
        .field(debug)
        .field(region)
        .field(key)
}

fn good() -> Answers {
    Answers::new().set("region", "eu").secret("key", "s3cr3t")
}

#[tokio::test]
async fn bad_answers_write_nothing() {
    let long = "x".repeat(70_000);
    let table: [(Answers, &str); 13] = [
        (Answers::new().secret("key", "k"), "region: is required"),
        (Answers::new().set("region", "eu"), "key: is required"),
        (good().set("region", ""), "region: is required, so it must not be empty"),
        (good().secret("key", ""), "key: is required, so it must not be empty"),
        (good().set("count", "many"), "count: needs a number"),
        (good().set("debug", "yes"), "debug: needs true or false"),
        (good().set("url", "example.com"), "url: needs an absolute URL"),
        (good().set("region", "e\0u"), "region: needs text without NUL"),
        (good().set("region", long), "region: has 70000 bytes; at most 65536 fit"),
        (
            Answers::new().set("region", "eu").set("key", "s3cr3t"),
            "key: is a secret; give it with Answers::secret",
        ),
        (
            Answers::new().secret("region", "eu").secret("key", "k"),
            "region: is no secret; give it with Answers::set",
        ),
        (
            good().set("regoin", "us"),
            "regoin: is not asked for; this server asks for url, count, debug, region, key",
        ),
        (
            Answers::new().set("count", "many").set("other", "1"),
            "answers: other is not asked for; this server asks for url, count, debug, region, key; \
             count needs a number; region is required; key is required",
        ),
    ];
    let world = World::new().await;
    world.put(server()).await;
    let before = world.portrait().await;
    for (answers, problem) in table {
        let request = InstallRequest::new(server().name, owner()).answers(answers);
        let error = world.orchestrator().install(request).await.expect_err(problem);
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert_eq!(error.to_string(), problem);
        assert_eq!(world.portrait().await, before, "{problem}: nothing was written");
    }
    let request = InstallRequest::new(server().name, owner()).answers(good());
    world.orchestrator().install(request).await.expect("good answers");
}

#[tokio::test]
async fn errors_show_no_secret() {
    let world = World::new().await;
    let mut server = sample::server("asking");
    let mut key = field("key", Delivery::Env { name: "KEY".into() });
    (key.secret, key.kind) = (true, FieldKind::Number);
    server.fields.push(key);
    world.put(server.clone()).await;
    let answers = Answers::new().secret("key", "hunter2");
    let request = InstallRequest::new(server.name, owner()).answers(answers);
    let error = world.orchestrator().install(request).await.expect_err("no number");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn header_answer_must_fit_a_header() {
    let world = World::new().await;
    let mut server = ServerSpec::remote("remote", "https://api.example.com/mcp").expect("a server");
    server
        .fields
        .push(portolan_core::Field::bearer("token").expect("a field"));
    world
        .registry
        .put(server.clone().into(), Precondition::None)
        .await
        .expect("put");
    let answers = Answers::new().secret("token", "line\nbreak");
    let request = InstallRequest::new(server.name, owner()).answers(answers);
    let error = world.orchestrator().install(request).await.expect_err("a line break");
    assert_eq!(
        error.to_string(),
        "token: has characters that no header may have, such as a line break"
    );
}
