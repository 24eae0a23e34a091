//! The task of one deployment: it tells how it is, and brings the cluster to what is wanted.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{LogParams, Patch, PatchParams};
use portolan_core::{Failure, FailureKind, InstallName};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    annotations,
    apply::{self, Need},
    deployment_state::{Cell, Wish},
    endpoint::Road,
    error::Fault,
    garbage_collect,
    managed_fields::operator,
    name::Unit,
    plan::{Means, Plan},
    reset, scale_to_zero,
    status::Crash,
};

/// How many last lines of a crash are told.
const WORDS: usize = 10;

/// How often a namespace that cannot be listed is looked at.
const INCOMPLETE: Duration = Duration::from_secs(1);

/// What is to be done next.
enum Step {
    /// Write what differs.
    Reconcile,
    /// Write who uses a shared deployment.
    Sign(Vec<InstallName>),
    /// Read what a crashed run said last.
    Listen(Crash),
    /// Send it to sleep, or tell the other replicas of the host that it was used.
    Rest(scale_to_zero::Due),
}

/// Keeps a deployment as it is wanted. Ends when it is dropped.
pub(crate) async fn keep(cell: Arc<Cell>) {
    let mut work: Option<BoxFuture<'static, ()>> = None;
    loop {
        let look_again = cell.publish();
        let complete = cell.target.is_complete();
        let (step, wait) = if complete {
            next(&cell)
        } else {
            (None, Some(INCOMPLETE))
        };
        if let Some(step) = step.filter(|_| work.is_none()) {
            work = Some(take(cell.clone(), step).boxed());
        }
        let pause = look_again.into_iter().chain(wait).min();
        tokio::select! {
            Some(()) = OptionFuture::from(work.as_mut()) => work = None,
            () = cell.changed.notified() => {}
            () = cell.target.completed(), if !complete => {}
            Some(()) = OptionFuture::from(pause.map(sleep)) => {}
        }
    }
}

/// What is to be done, or when to look again.
fn next(cell: &Cell) -> (Option<Step>, Option<Duration>) {
    let state = cell.state();
    if state.removing || state.users.is_empty() {
        return (None, None);
    }
    let now = Instant::now();
    let retry = state
        .retry_at
        .map(|at| at.saturating_duration_since(now))
        .filter(|wait| !wait.is_zero());
    if retry.is_none() && is_wanting(cell, &state) {
        return (Some(Step::Reconcile), None);
    }
    if let Some(crash) = &state.crash {
        return (Some(Step::Listen(crash.clone())), retry);
    }
    let unsigned = unsigned(cell, &state);
    if retry.is_none() && !unsigned.is_empty() {
        return (Some(Step::Sign(unsigned)), None);
    }
    let (due, wait) = scale_to_zero::due(cell, &state);
    (due.map(Step::Rest), retry.into_iter().chain(wait).min())
}

/// Whether something has to be rendered or written.
fn is_wanting(cell: &Cell, state: &crate::deployment_state::State) -> bool {
    let Some(plan) = state.plan.as_ref().filter(|_| state.planned == state.revision) else {
        return true;
    };
    let view = cell.target.view();
    let resets = view
        .deployments
        .get(&plan.deployment)
        .is_some_and(|live| reset::is_asked(live));
    let need = Need::of(&view, plan, &cell.target.manager, &state.accepted);
    state.restart.is_some() || resets || !(need.wait || need.is_nothing())
}

/// Users of a shared deployment who are not written on it.
fn unsigned(cell: &Cell, state: &crate::deployment_state::State) -> Vec<InstallName> {
    if !matches!(cell.unit, Unit::Shared(_)) {
        return Vec::new();
    }
    let view = cell.target.view();
    let live = state
        .plan
        .as_ref()
        .and_then(|plan| view.deployments.get(&plan.deployment));
    let signed = live.map(|live| annotations::installs(&live.metadata));
    signed.map_or_else(Vec::new, |signed| {
        state
            .users
            .keys()
            .filter(|name| !signed.contains(name))
            .copied()
            .collect()
    })
}

async fn take(cell: Arc<Cell>, step: Step) {
    match step {
        Step::Reconcile => attempt(&cell, reconcile(&cell)).await,
        Step::Sign(users) => attempt(&cell, sign(&cell, &users)).await,
        Step::Listen(crash) => listen(&cell, crash).await,
        Step::Rest(due) => scale_to_zero::take(&cell, due).await,
    }
}

/// Notes how it went, and when to try again.
async fn attempt(cell: &Cell, work: impl Future<Output = Result<(), Failure>>) {
    let revision = cell.state().revision;
    let outcome = {
        let _hands = cell.hands.lock().await;
        work.await
    };
    let mut state = cell.state();
    match outcome {
        Ok(()) => {
            state.trouble = None;
            state.retry_at = None;
            state.pace.begin_anew();
        }
        Err(failure) => {
            tracing::warn!(unit = %cell.unit, %failure, "cannot bring the cluster to what is wanted");
            if state.revision == revision {
                state.trouble = Some(failure);
                let wait = state.pace.wait();
                state.retry_at = Some(Instant::now() + wait);
            }
        }
    }
}

/// Renders what is wanted, and writes what differs.
async fn reconcile(cell: &Cell) -> Result<(), Failure> {
    let Some(plan) = plan(cell).await? else { return Ok(()) };
    open_road(cell, &plan).await?;
    reset::go_on(cell, &plan).await?;
    let (need, mut accepted, restarts) = {
        let state = cell.state();
        let view = cell.target.view();
        let mut need = Need::of(&view, &plan, &cell.target.manager, &state.accepted);
        need.deployment |= state.restart.is_some();
        (need, state.accepted.clone(), state.restart)
    };
    if need.wait || need.is_nothing() {
        return Ok(());
    }
    if cell.state().removing {
        return Ok(());
    }
    apply::write(&cell.target, &plan, &need, &mut accepted).await?;
    {
        let mut state = cell.state();
        state.accepted = accepted;
        if state.restart == restarts {
            state.restart = None;
        }
    }
    if need.deployment {
        garbage_collect::leftovers(cell, &plan)
            .await
            .map_err(|fault| fault.failure())?;
    }
    Ok(())
}

/// The plan of the present wish, made if there is none.
async fn plan(cell: &Cell) -> Result<Option<Arc<Plan>>, Failure> {
    let (wish, revision, restart): (Option<Wish>, _, _) = {
        let state = cell.state();
        let fresh = state.planned == state.revision && state.restart.is_none();
        if let Some(plan) = state.plan.as_ref().filter(|_| fresh) {
            return Ok(Some(plan.clone()));
        }
        (state.wish.clone(), state.revision, state.restart)
    };
    let Some(wish) = wish else { return Ok(None) };
    let (ground, target) = (&cell.ground, &cell.target);
    let name = cell.unit.deployment(&wish.spec.server);
    let secrets = ground.secrets(&wish.spec).await?;
    let token = ground.token(target, &name).await.map_err(|fault| fault.failure())?;
    let scheduling = ground.scheduling(target).await;
    let live = target.view().deployments.get(&name).cloned();
    let means = Means {
        config: &ground.config,
        environment: &wish.environment,
        scheduling: &scheduling,
    };
    let made = Plan::make(
        means,
        (&wish.name, &wish.spec),
        &secrets,
        &token,
        live.as_deref(),
        restart,
    );
    let plan = Arc::new(made.map_err(failure_of)?);
    for warning in &plan.rendered.warnings {
        tracing::warn!(unit = %cell.unit, warning, "something in the server's spec was passed over");
    }
    let mut state = cell.state();
    if state.revision == revision {
        state.planned = revision;
    }
    state.plan = Some(plan.clone());
    Ok(Some(plan))
}

fn failure_of(error: portolan_core::Error) -> Failure {
    match error {
        portolan_core::Error::NotReady { failure, .. } => failure,
        other => Failure::new(FailureKind::Config, other.to_string()),
    }
}

/// Makes the road to the deployment, where there is none that fits.
async fn open_road(cell: &Cell, plan: &Plan) -> Result<(), Failure> {
    if cell.state().road.fits(plan) {
        return Ok(());
    }
    let road = Road::open(cell, plan).await?;
    cell.state().road = road;
    Ok(())
}

/// Writes users onto a shared deployment: each its own annotation, so that replicas of the host do not overwrite each
/// other.
async fn sign(cell: &Cell, users: &[InstallName]) -> Result<(), Failure> {
    let Some(live) = cell.live() else { return Ok(()) };
    let marks: Map<String, Value> = users.iter().map(|user| (annotations::user(user), json!(""))).collect();
    let signed = patch(cell, &live, &json!({ "metadata": { "annotations": marks } })).await;
    signed.map_err(|fault| fault.failure())
}

/// Changes marks of the Deployment, as the operating field manager.
pub(crate) async fn patch(cell: &Cell, live: &Deployment, change: &Value) -> Result<(), Fault> {
    let name = live.metadata.name.as_deref().unwrap_or_default();
    let api = cell.target.cluster.api::<Deployment>();
    let params = PatchParams {
        field_manager: Some(operator(&cell.target.manager)),
        ..PatchParams::default()
    };
    let change = Patch::Merge(change);
    let patched = cell.target.cluster.call(|| api.patch(name, &params, &change)).await?;
    cell.target.view().deployments.put(patched);
    Ok(())
}

/// Reads what a crashed run said last, without the secrets that it was given.
async fn listen(cell: &Cell, crash: Crash) {
    let api = cell.target.cluster.api::<Pod>();
    let params = LogParams {
        container: Some(crash.container.clone()),
        previous: crash.previous,
        tail_lines: i64::try_from(WORDS).ok(),
        limit_bytes: Some(16 * 1024),
        ..LogParams::default()
    };
    let read = timeout(Duration::from_secs(4), api.logs(&crash.pod, &params)).await;
    let text = read.ok().and_then(Result::ok).unwrap_or_default();
    let mut state = cell.state();
    let plan = state.plan.clone();
    let line = |line: &str| {
        plan.as_ref()
            .map_or_else(String::new, |plan| plan.redacted(line.trim_end()))
    };
    let lines = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    state.words = Some((crash, lines));
}
