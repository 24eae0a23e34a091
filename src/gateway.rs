//! Changes to one gateway of a platform.

use std::{fmt, future::IntoFuture, pin::Pin, sync::Arc};

use portolan_core::{
    Assignment, GatewayName, GatewaySpec, Install, Key, Labels, Naming, RegistryExt, ResourceNaming, Result, Selection,
};

use crate::Platform;

type Change = Arc<dyn Fn(&mut GatewaySpec) + Send + Sync>;

/// A gateway of a platform with the changes that shall be made to it, which are made together when it is awaited: one write
/// to the registry, one publication. A gateway that is not there is made.
///
/// ```
/// use portolan::{Naming, Platform, Selection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> portolan::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("portolan-gateway-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).expect("a directory");
/// # let platform = Platform::local(directory.join("portolan.db")).await?;
/// let name = platform.gateway("default").naming(Naming::Plain).select(Selection::All).await?;
/// assert_eq!(name.as_str(), "default");
/// # std::fs::remove_dir_all(&directory).expect("removed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is changed until it is awaited"]
pub struct GatewayHandle {
    platform: Platform,
    name: String,
    changes: Vec<Change>,
}

impl Platform {
    /// Returns the gateway of this name, to be made or changed. It need not be there yet.
    pub fn gateway(&self, name: impl Into<String>) -> GatewayHandle {
        GatewayHandle {
            platform: self.clone(),
            name: name.into(),
            changes: Vec::new(),
        }
    }
}

impl GatewayHandle {
    /// Serves all tools of an install, beside what is served already.
    pub fn serve_all_of(self, install: &Install) -> Self {
        let assignment = Assignment::pinned(install);
        self.change(move |gateway| match &mut gateway.selection {
            Selection::Assigned(assigned) => {
                assigned.retain(|other| other.server != assignment.server || other.install.is_none());
                assigned.push(assignment.clone());
            }
            other => *other = Selection::Assigned(vec![assignment.clone()]),
        })
    }

    /// Sets where its tools come from.
    pub fn select(self, selection: Selection) -> Self {
        self.change(move |gateway| gateway.selection = selection.clone())
    }

    /// Sets how its tools are named.
    pub fn naming(self, naming: Naming) -> Self {
        self.change(move |gateway| gateway.naming = naming)
    }

    /// Sets how its resources are named.
    pub fn resource_naming(self, resource_naming: ResourceNaming) -> Self {
        self.change(move |gateway| gateway.resource_naming = resource_naming)
    }

    /// Sets its labels, and selects the servers that share one of them.
    pub fn by_labels(self, labels: Labels) -> Self {
        self.change(move |gateway| {
            gateway.labels = labels.clone();
            gateway.selection = Selection::ByLabels;
        })
    }

    /// Changes anything of its record. `change` runs again if somebody else changes the gateway at the same time.
    pub fn change(mut self, change: impl Fn(&mut GatewaySpec) + Send + Sync + 'static) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Makes the changes and publishes the gateway. Awaiting the handle does the same.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) for a name that is none;
    /// [`Error::Conflict`](portolan_core::Error::Conflict) if others change the gateway all the time; an error of the
    /// registry, or of the gateway that refuses what it shall serve.
    pub async fn apply(self) -> Result<GatewayName> {
        let name = GatewayName::parse(&self.name)?;
        let key = Key::Gateway(name.clone());
        let changed = self.platform.registry().update::<GatewaySpec, _>(&key, |found| {
            let mut gateway = found.clone().unwrap_or_else(|| GatewaySpec::new(name.clone()));
            for change in &self.changes {
                change(&mut gateway);
            }
            Ok((found.as_ref() != Some(&gateway)).then_some(gateway))
        });
        changed.await?;
        self.platform.orchestrator().publish(&name).await?;
        Ok(name)
    }
}

impl IntoFuture for GatewayHandle {
    type Output = Result<GatewayName>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.apply())
    }
}

impl fmt::Debug for GatewayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayHandle")
            .field("name", &self.name)
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}
