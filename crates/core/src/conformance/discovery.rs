//! Cases of [`Discovery`].

use std::sync::Arc;

use serde_json::{Value, value::RawValue};

use super::race;
use crate::{Discovery, Endpoint, ServerSnapshot, UpstreamCredential};

/// A discovery under test, with a server for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fixture {
    /// The discovery.
    pub discovery: Arc<dyn Discovery>,
    /// The server's endpoint.
    pub endpoint: Endpoint,
    /// The credential for the server.
    pub credential: UpstreamCredential,
    /// The names of the server's tools whose definitions are usable, in its order. To test that bad definitions are left
    /// out, the server lists some more.
    pub tools: Vec<String>,
}

impl Fixture {
    /// Creates a fixture for a server that needs no credential.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{
    ///     Endpoint, HttpEndpoint, conformance::{discovery::Fixture, sample}, memory::MemoryDiscovery,
    /// };
    ///
    /// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL")));
    /// let discovery = Arc::new(MemoryDiscovery::new(vec![sample::tool(sample::ODD_TOOL)]));
    /// let fixture = Fixture::new(discovery, endpoint, ["now"]);
    /// ```
    pub fn new<N: Into<String>>(
        discovery: Arc<dyn Discovery>,
        endpoint: Endpoint,
        tools: impl IntoIterator<Item = N>,
    ) -> Self {
        Self {
            discovery,
            endpoint,
            credential: UpstreamCredential::none(),
            tools: tools.into_iter().map(Into::into).collect(),
        }
    }

    async fn snapshot(&self) -> ServerSnapshot {
        let snapshot = self.discovery.snapshot(&self.endpoint, &self.credential).await;
        snapshot.expect("the server answers")
    }
}

/// All usable tools are there, in the server's order.
pub async fn tools_are_in_order(fixture: Fixture) {
    let snapshot = fixture.snapshot().await;
    let names: Vec<_> = snapshot.tools.iter().map(|tool| tool.name().as_str()).collect();
    assert_eq!(names, fixture.tools);
}

/// Asking for tools alone gives those of the snapshot.
pub async fn tools_are_those_of_the_snapshot(fixture: Fixture) {
    let tools = fixture.discovery.tools(&fixture.endpoint, &fixture.credential).await;
    assert_eq!(tools.expect("the server answers"), fixture.snapshot().await.tools);
}

/// Asking again gives the same.
pub async fn asking_again_gives_the_same(fixture: Fixture) {
    let first = fixture.snapshot().await;
    for _ in 0..3 {
        assert_eq!(fixture.snapshot().await, first);
    }
}

/// Asking at the same time gives the same.
pub async fn racing_questions_agree(fixture: Fixture) {
    let expected = fixture.snapshot().await;
    let snapshots = race((0..4).map(|_| {
        let fixture = fixture.clone();
        async move { fixture.snapshot().await }
    }))
    .await;
    assert!(snapshots.iter().all(|snapshot| *snapshot == expected));
}

/// Each definition is an object with the member that names it.
pub async fn definitions_are_usable(fixture: Fixture) {
    let snapshot = fixture.snapshot().await;
    let named = |items: &[Box<RawValue>], member: &str| {
        for item in items {
            let object: Value = serde_json::from_str(item.get()).expect("JSON");
            let name = object.get(member).and_then(Value::as_str);
            assert!(name.is_some_and(|name| !name.is_empty()), "{item} has no {member}");
        }
    };
    named(&snapshot.prompts, "name");
    named(&snapshot.resources, "uri");
    named(&snapshot.templates, "uriTemplate");
}
