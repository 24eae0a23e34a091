//! Cases of [`Runtime`], as far as it can be seen through the trait.
//!
//! Each runtime's own tests cover that processes end with the runtime and that endpoints answer.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::time::timeout;
use url::Url;

use super::race;
use crate::{Error, InstallName, RunSpec, Runtime, Source, Status, StatusEvent, SystemClock};

/// A runtime under test, with specifications for it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fixture {
    /// The runtime, without deployments.
    pub runtime: Arc<dyn Runtime>,
    /// A specification that becomes ready.
    pub ready: RunSpec,
    /// Another one that becomes ready.
    pub other: RunSpec,
    /// A specification that is accepted and fails, whatever the wait.
    pub failing: RunSpec,
    /// The longest wait for a status. Default: 20 seconds.
    pub patience: Duration,
}

impl Fixture {
    /// Creates a fixture.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{
    ///     Endpoint, HttpEndpoint, Owner, RunSpec, SystemClock,
    ///     conformance::{runtime::Fixture, sample},
    ///     memory::MemoryRuntime,
    /// };
    ///
    /// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL")));
    /// let runtime = Arc::new(MemoryRuntime::new(endpoint, Arc::new(SystemClock)));
    /// let spec = |name| {
    ///     let server = sample::server(name);
    ///     RunSpec::new(server.name, Owner::Org, server.source)
    /// };
    /// let fixture = Fixture::new(runtime, spec("time"), spec("other"), spec("broken"));
    /// ```
    pub fn new(runtime: Arc<dyn Runtime>, ready: RunSpec, other: RunSpec, failing: RunSpec) -> Self {
        Self {
            runtime,
            ready,
            other,
            failing,
            patience: Duration::from_secs(20),
        }
    }
}

/// A fresh runtime has no deployments.
pub async fn nothing_runs_at_first(fixture: Fixture) {
    assert_eq!(fixture.list().await, []);
}

/// After `ensure`, `watch` yields ready, and then there is an endpoint.
pub async fn ensured_becomes_ready(fixture: Fixture) {
    let name = fixture.ready_install().await;
    fixture.runtime.endpoint(&name).await.expect("an endpoint");
    assert_eq!(fixture.list().await, [name]);
    fixture.clean(&[name]).await;
}

/// A deployment that cannot run is accepted, and `watch` yields its failure.
pub async fn a_failure_comes_from_watch(fixture: Fixture) {
    let name = new_name();
    fixture.ensure(&name, &fixture.failing).await;
    let status = fixture.settled(&name).await;
    assert!(matches!(status, Status::Failed { .. }), "{status}");
    fixture.clean(&[name]).await;
}

/// A remote source is invalid, and nothing is recorded.
pub async fn a_remote_source_is_refused(fixture: Fixture) {
    let mut spec = fixture.ready.clone();
    let url = Url::parse("https://api.example.com/mcp").expect("a URL");
    spec.source = Source::Remote { url };
    let refused = fixture.runtime.ensure(&new_name(), &spec).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(fixture.list().await, []);
}

/// Two equal specs are one deployment, which keeps running.
pub async fn ensuring_again_disturbs_nothing(fixture: Fixture) {
    let name = fixture.ready_install().await;
    let mut events = fixture.runtime.watch();
    let before = fixture.event(&mut events, &name).await;
    for _ in 0..3 {
        fixture.ensure(&name, &fixture.ready).await;
        fixture.runtime.endpoint(&name).await.expect("still there");
    }
    let disturbance = timeout(Duration::from_millis(500), fixture.event(&mut events, &name)).await;
    assert!(disturbance.is_err(), "after {before:?} came {disturbance:?}");
    assert_eq!(fixture.list().await, [name]);
    fixture.clean(&[name]).await;
}

/// Another spec replaces the deployment of the name; there are never two.
pub async fn another_spec_replaces_the_deployment(fixture: Fixture) {
    let name = fixture.ready_install().await;
    fixture.ensure(&name, &fixture.other).await;
    assert_eq!(fixture.list().await, [name]);
    assert_eq!(fixture.settled(&name).await, Status::Ready);
    fixture.ensure(&name, &fixture.failing).await;
    let status = fixture.settled(&name).await;
    assert!(
        matches!(status, Status::Failed { .. }),
        "{status} is not about the new spec"
    );
    assert_eq!(fixture.list().await, [name]);
    fixture.clean(&[name]).await;
}

/// A spec that can run replaces a failed deployment.
pub async fn ensuring_mends_a_failed_deployment(fixture: Fixture) {
    let name = new_name();
    fixture.ensure(&name, &fixture.failing).await;
    fixture
        .until(&name, |status| matches!(status, Status::Failed { .. }))
        .await;
    fixture.ensure(&name, &fixture.ready).await;
    fixture.until(&name, |status| *status == Status::Ready).await;
    fixture.runtime.endpoint(&name).await.expect("an endpoint");
    fixture.clean(&[name]).await;
}

/// Racing `ensure`s of one spec are one deployment.
pub async fn racing_ensures_are_one_deployment(fixture: Fixture) {
    let name = new_name();
    let results = race((0..8).map(|_| {
        let (runtime, spec) = (fixture.runtime.clone(), fixture.ready.clone());
        async move { runtime.ensure(&name, &spec).await }
    }))
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(fixture.settled(&name).await, Status::Ready);
    assert_eq!(fixture.list().await, [name]);
    fixture.clean(&[name]).await;
}

/// When `remove` returns, `list` and `endpoint` no longer know the deployment.
pub async fn removed_is_known_no_longer(fixture: Fixture) {
    let name = fixture.ready_install().await;
    fixture.clean(&[name]).await;
    assert_eq!(fixture.list().await, []);
    fixture.assert_unknown(&name).await;
}

/// Removing an unknown deployment succeeds.
pub async fn removing_twice_succeeds(fixture: Fixture) {
    fixture.clean(&[new_name()]).await;
    let name = fixture.ready_install().await;
    fixture.clean(&[name, name]).await;
}

/// Removing one deployment leaves the others.
pub async fn removing_one_leaves_the_others(fixture: Fixture) {
    let (stays, goes) = (fixture.ready_install().await, fixture.ready_install().await);
    fixture.clean(&[goes]).await;
    fixture.runtime.endpoint(&stays).await.expect("still there");
    assert_eq!(fixture.list().await, [stays]);
    fixture.clean(&[stays]).await;
}

/// A removed deployment can be ensured again.
pub async fn removed_can_be_ensured_again(fixture: Fixture) {
    let name = fixture.ready_install().await;
    fixture.clean(&[name]).await;
    fixture.ensure(&name, &fixture.ready).await;
    fixture.until(&name, |status| *status == Status::Ready).await;
    fixture.runtime.endpoint(&name).await.expect("an endpoint");
    fixture.clean(&[name]).await;
}

/// Deployments are listed before they are ready, and also when they failed.
pub async fn list_is_sorted_whatever_the_status(fixture: Fixture) {
    let mut names: Vec<_> = (0..3).map(|_| new_name()).collect();
    names.sort_unstable();
    for name in names.iter().rev() {
        fixture.ensure(name, &fixture.failing).await;
    }
    assert_eq!(fixture.list().await, names, "before they settle");
    for name in &names {
        fixture.settled(name).await;
    }
    assert_eq!(fixture.list().await, names, "when they have failed");
    fixture.clean(&names).await;
}

/// The endpoint of an unknown deployment is `NotFound`.
pub async fn endpoint_of_the_unknown_is_not_found(fixture: Fixture) {
    fixture.assert_unknown(&new_name()).await;
}

/// The endpoint of a failed deployment is `NotReady` with the failure that `watch` yielded.
pub async fn endpoint_of_the_failed_says_why(fixture: Fixture) {
    let name = new_name();
    fixture.ensure(&name, &fixture.failing).await;
    let Status::Failed { failure: told } = fixture.settled(&name).await else {
        panic!("the failing spec fails");
    };
    let error = fixture.runtime.endpoint(&name).await.expect_err("cannot be used");
    match error {
        Error::NotReady { failure, .. } => assert_eq!(failure.kind, told.kind),
        other => panic!("not ready, not {other:?}"),
    }
    fixture.clean(&[name]).await;
}

/// It is asked on every call, so it never waits: for what is ready, what is not, and what is unknown.
pub async fn endpoint_answers_from_memory(fixture: Fixture) {
    let (ready, unsettled) = (fixture.ready_install().await, new_name());
    fixture.ensure(&unsettled, &fixture.other).await;
    for name in [ready, unsettled, new_name()] {
        let answer = fixture.runtime.endpoint(&name).now_or_never();
        assert!(answer.is_some(), "endpoint waits");
    }
    fixture.clean(&[ready, unsettled]).await;
}

/// `status` agrees with `watch`, through a start, a failure and a removal.
pub async fn status_is_what_watch_told_last(fixture: Fixture) {
    let (ready, failing) = (fixture.ready_install().await, new_name());
    let status = fixture.runtime.status(&ready).await.expect("a status");
    assert_eq!((status.install, status.status), (ready, Status::Ready));
    fixture.ensure(&failing, &fixture.failing).await;
    fixture
        .until(&failing, |status| matches!(status, Status::Failed { .. }))
        .await;
    let status = fixture.runtime.status(&failing).await.expect("a status").status;
    assert!(matches!(status, Status::Failed { .. }), "{status}");
    fixture.clean(&[ready, failing]).await;
    for name in [ready, new_name()] {
        let status = fixture.runtime.status(&name).await;
        assert!(matches!(status, Err(Error::NotFound { .. })), "{status:?}");
    }
}

/// Who comes late is told at once how everything is.
pub async fn watch_begins_with_what_is(fixture: Fixture) {
    let mut names = [fixture.ready_install().await, fixture.ready_install().await];
    names.sort_unstable();
    let mut events = fixture.runtime.watch();
    let mut told = Vec::new();
    while told.len() < names.len() {
        let event = timeout(fixture.patience, events.next())
            .await
            .expect("in time")
            .expect("an event");
        if event.status == Status::Ready {
            told.push(event.install);
        }
    }
    told.sort_unstable();
    assert_eq!(told, names);
    fixture.clean(&names).await;
}

/// A removal is `Removed`, the last status of the deployment.
pub async fn watch_tells_a_removal(fixture: Fixture) {
    let name = fixture.ready_install().await;
    let mut events = fixture.runtime.watch();
    fixture.event(&mut events, &name).await;
    fixture.clean(&[name]).await;
    while fixture.event(&mut events, &name).await.status != Status::Removed {}
    let after = timeout(Duration::from_millis(300), fixture.event(&mut events, &name)).await;
    assert!(after.is_err(), "after the removal came {after:?}");
}

/// A reader that does not read meanwhile gets the last status.
pub async fn a_slow_watcher_sees_the_last_status(fixture: Fixture) {
    let mut slow = fixture.runtime.watch();
    let (stays, goes) = (fixture.ready_install().await, fixture.ready_install().await);
    fixture.clean(&[goes]).await;
    let (mut stays_is, mut goes_is) = (None, None);
    while stays_is != Some(Status::Ready) || goes_is != Some(Status::Removed) {
        let event = timeout(fixture.patience, slow.next())
            .await
            .expect("in time")
            .expect("an event");
        if event.install == stays {
            stays_is = Some(event.status);
        } else if event.install == goes {
            goes_is = Some(event.status);
        }
    }
    fixture.clean(&[stays]).await;
}

/// Watchers do not take events from each other.
pub async fn every_watcher_sees_all(fixture: Fixture) {
    let mut watchers = [
        fixture.runtime.watch(),
        fixture.runtime.watch(),
        fixture.runtime.watch(),
    ];
    let name = fixture.ready_install().await;
    for events in &mut watchers {
        while fixture.event(events, &name).await.status != Status::Ready {}
    }
    fixture.clean(&[name]).await;
}

impl Fixture {
    async fn ready_install(&self) -> InstallName {
        let name = new_name();
        self.ensure(&name, &self.ready).await;
        assert_eq!(self.settled(&name).await, Status::Ready);
        name
    }

    async fn ensure(&self, name: &InstallName, spec: &RunSpec) {
        self.runtime.ensure(name, spec).await.expect("ensure");
    }

    async fn list(&self) -> Vec<InstallName> {
        self.runtime.list().await.expect("list")
    }

    async fn clean(&self, names: &[InstallName]) {
        for name in names {
            self.runtime.remove(name).await.expect("remove");
        }
    }

    async fn settled(&self, name: &InstallName) -> Status {
        self.until(name, Status::is_settled).await
    }

    async fn until(&self, name: &InstallName, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut events = self.runtime.watch();
        loop {
            let event = self.event(&mut events, name).await;
            if wanted(&event.status) {
                return event.status;
            }
        }
    }

    async fn event(&self, events: &mut BoxStream<'static, StatusEvent>, name: &InstallName) -> StatusEvent {
        let next = async {
            loop {
                let event = events.next().await.expect("watch goes on");
                if event.install == *name {
                    return event;
                }
            }
        };
        timeout(self.patience, next).await.expect("a status in time")
    }

    async fn assert_unknown(&self, name: &InstallName) {
        let answer = self.runtime.endpoint(name).await;
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
}

fn new_name() -> InstallName {
    InstallName::new(&SystemClock)
}
