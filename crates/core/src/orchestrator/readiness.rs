//! From a recorded install to its tools: start, wait, ask. Nothing here writes to the registry.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    Caller, CredentialContext, Endpoint, Error, Failure, FailureKind, HttpEndpoint, Install, InstallState, RegistryExt,
    Result, RunSpec, Secret, ServerSnapshot, ServerSpec, Source, Status, UpstreamCredential, failure::seconds,
};

use super::{Orchestrator, Progress, run_spec};

/// A listener for progress.
pub(super) type Listener<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// The pause before the second attempt to reach a server; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The time at which a flow gives up, and how long that is, for its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    pub(super) fn after(after: Duration) -> Self {
        Self {
            at: Instant::now() + after,
            after,
        }
    }
}

impl Orchestrator {
    /// Starts the install and returns its tools.
    pub(super) async fn bring_up(
        &self,
        server: &ServerSpec,
        install: &Install,
        deadline: Deadline,
        progress: Listener<'_>,
    ) -> Result<ServerSnapshot> {
        self.start(server, install, deadline, progress).await?;
        progress(Progress::Discovering);
        self.discover(server, install, deadline).await
    }

    /// Asks the runtime for the install and waits until it runs. Does nothing for a remote server.
    pub(super) async fn start(
        &self,
        server: &ServerSpec,
        install: &Install,
        deadline: Deadline,
        progress: Listener<'_>,
    ) -> Result<()> {
        if !server.is_self_hosted() {
            return Ok(());
        }
        self.ensure(server, install).await?;
        self.wait_until_ready(server, install, deadline, progress).await
    }

    /// Asks the runtime for the install as it shall be now. A deployment that already is so is not disturbed.
    pub(super) async fn ensure(&self, server: &ServerSpec, install: &Install) -> Result<()> {
        let runtime = &self.parts.runtime;
        let spec = self.deployment(server, install).await?;
        if let Err(Error::NotReady { failure, .. }) = runtime.endpoint(&install.name).await
            && !failure.is_retryable()
        {
            // The runtime has given up. An equal spec would change nothing, so it would not try again either.
            runtime.remove(&install.name).await?;
        }
        runtime.ensure(&install.name, &spec).await
    }

    async fn deployment(&self, server: &ServerSpec, install: &Install) -> Result<RunSpec> {
        let mut spec = run_spec(server, install)?;
        spec.secret_versions = self.secret_versions(install).await?;
        Ok(spec)
    }

    async fn wait_until_ready(
        &self,
        server: &ServerSpec,
        install: &Install,
        deadline: Deadline,
        progress: Listener<'_>,
    ) -> Result<()> {
        let mut events = self.parts.runtime.watch();
        let mut last = None;
        loop {
            let Ok(event) = timeout_at(deadline.at, events.next()).await else {
                return Err(not_ready(install, too_late(deadline, last.as_ref())));
            };
            let Some(event) = event else {
                return Err(not_ready(
                    install,
                    Failure::new(FailureKind::Stopped, "the runtime has ended"),
                ));
            };
            if event.install != install.name {
                continue;
            }
            let status = event.status;
            progress(Progress::Starting { status: status.clone() });
            match &status {
                Status::Ready => return Ok(()),
                Status::Failed { failure } => return Err(not_ready(install, failure.clone())),
                Status::Removed => self.ensure_unless_removed(server, install).await?,
                Status::Asleep => self.wake(install).await?,
                Status::Pending { .. } | Status::Restarting { .. } | Status::Waking => {}
            }
            last = Some(status);
        }
    }

    /// Starts the install again if another flow removed it to restart it; fails if it is removed for good.
    async fn ensure_unless_removed(&self, server: &ServerSpec, install: &Install) -> Result<()> {
        match self.parts.registry.install(&install.name).await {
            Ok(found) if found.value.state != InstallState::Removing => self.ensure(server, install).await,
            Ok(_) | Err(Error::NotFound { .. }) => Err(not_ready(
                install,
                Failure::new(FailureKind::Stopped, "it was removed while it started"),
            )),
            Err(other) => Err(other),
        }
    }

    async fn wake(&self, install: &Install) -> Result<()> {
        match self.parts.runtime.scale() {
            Some(scale) => scale.wake(&install.name).await,
            None => Ok(()),
        }
    }

    /// Asks the server for its tools, again and again while the failure is retryable and there is time.
    pub(super) async fn discover(
        &self,
        server: &ServerSpec,
        install: &Install,
        deadline: Deadline,
    ) -> Result<ServerSnapshot> {
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt = timeout_at(deadline.at, self.ask_for_tools(server, install)).await;
            let error = match attempt {
                Ok(Ok(tools)) => return Ok(tools),
                Ok(Err(error)) => error,
                Err(_) => return Err(not_ready(install, too_late(deadline, None))),
            };
            if !error.is_retryable() || Instant::now() + pause >= deadline.at {
                return Err(error);
            }
            tracing::debug!(install = %install.name, error = %error, "asking for tools again");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(super) async fn ask_for_tools(&self, server: &ServerSpec, install: &Install) -> Result<ServerSnapshot> {
        let endpoint = match &server.source {
            Source::Remote { url } => {
                let mut endpoint = HttpEndpoint::new(url.clone());
                endpoint.era = server.era;
                Endpoint::Http(endpoint)
            }
            _ => self.parts.runtime.endpoint(&install.name).await?,
        };
        let caller = Caller::new((&install.owner).into(), "install");
        let credential = self
            .parts
            .broker
            .credential(&CredentialContext::new(&caller, server, install))
            .await?;
        let credential = with_headers(server, &credential);
        self.parts.discovery.tools_snapshot(&endpoint, &credential).await
    }
}

/// Adds the headers of `server` to `credential`, unless it sets them itself.
fn with_headers(server: &ServerSpec, credential: &UpstreamCredential) -> UpstreamCredential {
    let mut all = credential.clone();
    for (name, value) in &server.headers {
        let (Ok(name), Ok(_)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            continue;
        };
        if !all.headers.iter().any(|(set, _)| *set == name) {
            all.headers.push((name, Secret::new(value)));
        }
    }
    all
}

fn not_ready(install: &Install, failure: Failure) -> Error {
    Error::NotReady {
        what: "install",
        name: install.title(),
        failure,
    }
}

fn too_late(deadline: Deadline, last: Option<&Status>) -> Failure {
    let after = seconds(deadline.after);
    let message = match last {
        Some(status) => format!("not ready after {after}; the last that was heard of it: {status}"),
        None => format!("not ready after {after}; it does not answer"),
    };
    Failure::new(FailureKind::Timeout, message)
}
