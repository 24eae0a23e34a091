//! Changes of servers that are installed: what each install needs to take the change on.

use crate::{
    Error, Install, InstallName, InstallState, Owner, Precondition, RegistryExt, Result, ServerName, ServerSpec, Source,
};

use super::{Orchestrator, run_spec};

/// How often an update looks again when others are faster.
const ATTEMPTS: usize = 16;

/// The outcome of [`Orchestrator::update_server`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerUpdate {
    /// The server.
    pub server: ServerName,
    /// What happened to its entry.
    pub outcome: UpdateOutcome,
    /// The installs that go on as before until they are installed again.
    pub reinstall: Vec<Reinstall>,
}

/// What an update did to the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateOutcome {
    /// There was no such server; now there is.
    Created,
    /// The entry was another one and was replaced.
    Changed,
    /// The entry was the same already.
    Unchanged,
}

/// An install that has to be installed again to take a change on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reinstall {
    /// The install.
    pub install: InstallName,
    /// Whose it is.
    pub owner: Owner,
    /// Why, each as one clause: `field "token" is required and has no answer`.
    pub reasons: Vec<String>,
}

impl Orchestrator {
    /// Puts a server into the catalogue unless there is one of this name, and returns whether it did.
    ///
    /// An entry that is there stays as it is, also where it differs: somebody may have changed it since.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the spec contradicts itself, or the runtime could run it for nobody; an error of the
    /// registry.
    pub async fn ensure_server(&self, server: ServerSpec) -> Result<bool> {
        server.check()?;
        match self.parts.registry.server(&server.name).await {
            Ok(found) => {
                if found.value != server {
                    tracing::info!(server = %server.name, "the catalogue has another entry of this server, which stays");
                }
                Ok(false)
            }
            Err(Error::NotFound { .. }) => match self.put_server(server, Precondition::Absent).await {
                Err(Error::Conflict { .. }) => Ok(false),
                put => put.map(|_| true),
            },
            Err(error) => Err(error),
        }
    }

    /// Replaces a server in the catalogue, or puts it there, and returns which installs have to be installed again to take
    /// the change on, and why.
    ///
    /// Gateways show a changed title, label or header at once. What runs goes on as it was started until
    /// [`install`](Self::install) is called for it again, or until the next [`repair`](Self::repair).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the spec contradicts itself, or the runtime could run it for nobody; [`Error::Conflict`] if
    /// others change the server all the time; an error of the registry.
    pub async fn update_server(&self, server: ServerSpec) -> Result<ServerUpdate> {
        let name = server.name.clone();
        for _ in 0..ATTEMPTS {
            let (old, when) = match self.parts.registry.server(&name).await {
                Ok(found) => (Some(found.value), Precondition::Version(found.version)),
                Err(Error::NotFound { .. }) => (None, Precondition::Absent),
                Err(error) => return Err(error),
            };
            let outcome = match &old {
                Some(old) if *old == server => UpdateOutcome::Unchanged,
                Some(_) => UpdateOutcome::Changed,
                None => UpdateOutcome::Created,
            };
            if outcome != UpdateOutcome::Unchanged {
                match self.put_server(server.clone(), when).await {
                    Err(Error::Conflict { .. }) => continue,
                    put => drop(put?),
                }
            }
            let reinstall = match (outcome, &old) {
                (UpdateOutcome::Changed, Some(old)) if !server.runs_like(old) => {
                    self.to_reinstall(old, &server).await?
                }
                _ => Vec::new(),
            };
            return Ok(ServerUpdate {
                server: name,
                outcome,
                reinstall,
            });
        }
        Err(Error::conflict("server", name))
    }

    async fn to_reinstall(&self, old: &ServerSpec, new: &ServerSpec) -> Result<Vec<Reinstall>> {
        let mut found = Vec::new();
        for install in self.installs_of(&new.name, None).await? {
            let install = install.value;
            let is_asked = !matches!(install.state, InstallState::Reserved | InstallState::Removing);
            if install.is_deleted() || !is_asked {
                continue;
            }
            let reasons = reasons(old, new, &install);
            if !reasons.is_empty() {
                found.push(Reinstall {
                    install: install.name,
                    owner: install.owner,
                    reasons,
                });
            }
        }
        Ok(found)
    }
}

/// Why `install` of `old` is not what `new` asks for.
fn reasons(old: &ServerSpec, new: &ServerSpec, install: &Install) -> Vec<String> {
    let mut reasons = Vec::new();
    for field in &new.fields {
        let key = &field.key;
        let (plain, secret) = (install.answers.contains_key(key), install.secrets.contains_key(key));
        let answered = if field.secret { secret } else { plain };
        if field.secret && plain {
            reasons.push(format!("field {:?} is a secret now", key.as_str()));
        } else if !field.secret && secret {
            reasons.push(format!("field {:?} is no secret any more", key.as_str()));
        } else if field.required && field.default.is_none() && !answered {
            reasons.push(format!("field {:?} is required and has no answer", key.as_str()));
        }
    }
    for key in install.answers.keys().chain(install.secrets.keys()) {
        if new.field_named(key).is_none() {
            reasons.push(format!("field {:?} is not asked for any more", key.as_str()));
        }
    }
    match (&old.source, &new.source) {
        (Source::Remote { url: old }, Source::Remote { url: new }) if old == new => {}
        (_, Source::Remote { .. }) => reasons.push("its URL has changed, and its tools may have".into()),
        (Source::Remote { .. }, _) => reasons.push("it is self-hosted now and does not run yet".into()),
        _ => reasons.extend(run_differently(old, new, install)),
    }
    reasons
}

/// What of a running install differs from what would be started now.
fn run_differently(old: &ServerSpec, new: &ServerSpec, install: &Install) -> Vec<String> {
    // A placeholder or a required answer that is missing: a reason above, or one that `install` will name.
    let (Ok(old), Ok(new)) = (run_spec(old, install), run_spec(new, install)) else {
        return Vec::new();
    };
    let spoken_to = |spec: &crate::RunSpec| (spec.era, spec.sharing, spec.server_requests);
    let differences = [
        (old.source != new.source, "its program, image or arguments have changed"),
        (
            old.env != new.env || old.files != new.files,
            "its environment variables or files have changed",
        ),
        (
            spoken_to(&old) != spoken_to(&new),
            "its era, sharing or server requests have changed",
        ),
        (old.kubernetes != new.kubernetes, "its Kubernetes options have changed"),
    ];
    let changed = differences.into_iter().filter(|(differs, _)| *differs);
    changed.map(|(_, reason)| reason.to_owned()).collect()
}
