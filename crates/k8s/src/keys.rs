//! Keys in a Kubernetes Secret.

mod config;
mod key_set;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::{ObjectMeta, PostParams};
use portolan_core::{Backoff, DataKey, Error, KeyId, KeyProvider, Result, WrappedKey};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, sleep},
};

pub use config::KubeKeysConfig;

use self::key_set::{KeySet, NewKey, id_prefix, wipe};
use crate::{
    api_client::{ApiClient, MAX_CONCURRENT_CALLS},
    connect::{Connect, KubeClients},
    error::ApiError,
    events,
};

/// The file with the permissions of the keys.
const RULES_FILE: &str = "deploy/keys.yaml";

/// The type of a Secret that was created here.
const TYPE: &str = "portolan.dev/keys";

/// The least time between two reads for keys that are not known.
const REREAD_SPACING: Duration = Duration::from_millis(200);

/// The longest time between two reads.
const MAX_INTERVAL: Duration = Duration::from_secs(86_400);

/// A [`KeyProvider`] whose keys are in one Kubernetes Secret, for stores that are elsewhere, such as a database.
///
/// Each entry of the Secret is a version of the key: its name is a number from 1, its value 32 random bytes, or 64 hexadecimal
/// digits. The greatest number wraps, all unwrap; at most 64. Where there is no Secret, one is created with a new key; of several
/// replicas that start at once, all get the same. **Back the Secret up apart from the database**: without it nothing opens.
///
/// - **Rotation.** [`rotate`](Self::rotate) adds a version; so does an entry that you add with `kubectl`. Let the store wrap again
///   what earlier versions wrapped before you take those away.
/// - **Reads.** The keys are held in memory and read again in the background once they are older than
///   [`reread_interval`](KubeKeysConfig::reread_interval). A version that is not known is looked up at once, so replicas follow
///   each other's rotations. If the API server is away, the known keys go on to serve.
/// - A data key is wrapped by AES-256-GCM-SIV under a key that is derived from the version's bytes, with the id of the version
///   and the context as associated data.
///
/// Requires the Role of `deploy/keys.yaml`: `get` on one Secret; `create` on `secrets` to create it, `update` to rotate.
///
/// ```no_run
/// # async fn example() -> portolan_core::Result<()> {
/// use portolan_core::{DataKey, KeyProvider};
/// use portolan_k8s::{Connect, KubeKeys, KubeKeysConfig};
///
/// let config = KubeKeysConfig::in_namespace("mcp-credentials");
/// let keys = KubeKeys::connect(Connect::Infer, config).await?;
///
/// let wrapped = keys.wrap(&DataKey::new([7; 32]), "secret github/token").await?;
/// keys.rotate().await?;
/// assert_eq!(keys.unwrap(&wrapped, "secret github/token").await?, DataKey::new([7; 32]));
/// # Ok(())
/// # }
/// ```
pub struct KubeKeys(Arc<Inner>);

struct Inner {
    client: ApiClient,
    config: KubeKeysConfig,
    known: RwLock<Known>,
    /// Held while the Secret is read, with the time at which the last read began.
    reading: Mutex<Option<Instant>>,
}

/// The keys as they were read last.
#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    /// When they are read again.
    stale_at: Instant,
}

impl KubeKeys {
    /// Finds a cluster and reads the keys there, or creates a first one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Unavailable`] also if no cluster is configured.
    pub async fn connect(connect: Connect, config: KubeKeysConfig) -> Result<Self> {
        Self::open(KubeClients::connect(connect).await?, config).await
    }

    /// Reads the keys in the cluster of `clients`, or creates a first one.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] of [`KubeKeysConfig::check`].
    /// - [`Error::Unavailable`] if the API server does not answer.
    /// - [`Error::Backend`] if a permission is missing, an entry is not a key, or the Secret is missing and is not to be created.
    pub async fn open(clients: impl Into<KubeClients>, config: KubeKeysConfig) -> Result<Self> {
        config.check()?;
        let home = clients.into().home;
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS));
        let namespace = config.namespace.clone();
        let client = ApiClient::new(home.client, namespace, home.cluster_name, config.deadline, permits)
            .with_rules_file(RULES_FILE);
        let keys = read_or_create(&client, &config).await?;
        let known = RwLock::new(Known::new(keys, &config));
        Ok(Self(Arc::new(Inner {
            client,
            config,
            known,
            reading: Mutex::default(),
        })))
    }

    /// Adds a version with a new random key, which wraps from now on, and returns its id. If another program adds one at the same
    /// time, there is one new version.
    ///
    /// # Errors
    ///
    /// - [`Error::Exhausted`] if there are 64 versions: take away the oldest that nothing needs.
    /// - [`Error::Unavailable`] if the API server does not answer. A version may have been added.
    /// - [`Error::Backend`] if a permission is missing, or the Secret is.
    pub async fn rotate(&self) -> Result<KeyId> {
        let inner = &self.0;
        let (api, secret) = (inner.client.api::<KubeSecret>(), &inner.config.secret);
        let new = NewKey::random()?;
        let mut before = None;
        let end = Instant::now() + inner.config.deadline;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
        loop {
            let mut object = find(&inner.client, &inner.config)
                .await?
                .ok_or_else(|| gone(&inner.config))?;
            let keys = inner.remember(&object)?;
            let current = keys.current()?;
            // An unanswered write was applied, or another program was faster.
            if new.is_in(&object) || before.get_or_insert_with(|| current.clone()) != &current {
                wipe(object);
                return Ok(current);
            }
            new.add_to(&mut object)?;
            object.metadata.managed_fields = None;
            let params = PostParams::default();
            let written = inner.client.call_once(api.replace(secret, &params, &object)).await;
            wipe(object);
            let error = match written {
                Ok(object) => {
                    let keys = inner.remember(&object)?;
                    wipe(object);
                    return keys.current();
                }
                Err(error) => error,
            };
            let wait = backoff.next_delay();
            let is_final = !matches!(error, ApiError::Conflict(_)) && !error.is_transient();
            if is_final || Instant::now() + wait >= end {
                return Err(error.into_error("add a version of the key"));
            }
            sleep(wait).await;
        }
    }
}

#[async_trait]
impl KeyProvider for KubeKeys {
    async fn current(&self) -> Result<KeyId> {
        self.fresh_keys().current()
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        self.fresh_keys().wrap(data_key, context)
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        let (inner, id) = (&self.0, &wrapped.key);
        let mut keys = self.fresh_keys();
        // Another program may have added it since. Ids of other providers are not looked for.
        if !keys.has(id) && id.as_str().starts_with(&id_prefix(&inner.config.secret)) {
            keys = inner.reread(Instant::now()).await?;
        }
        let place = || format!("the Secret {:?} in {:?}", inner.config.secret, inner.config.namespace);
        let problem = if keys.has(id) {
            format!("was not wrapped by {id} for {context:?}, or was changed")
        } else {
            format!(
                "was wrapped by {id}, which {} does not have; put that version back",
                place()
            )
        };
        let opened = keys.unwrap(wrapped, context);
        opened.ok_or_else(|| Error::invalid("wrapped key", problem))
    }
}

impl KubeKeys {
    /// Returns the known keys, and reads them again in the background if they are stale.
    fn fresh_keys(&self) -> Arc<KeySet> {
        let known = self.0.known();
        let now = Instant::now();
        if now >= known.stale_at {
            let inner = self.0.clone();
            // The next one that finds them stale does not start another read.
            inner.set_known(Known::new(known.keys.clone(), &inner.config));
            tokio::spawn(async move {
                if let Err(error) = inner.reread(now).await {
                    let config = &inner.config;
                    events::keys_not_read(&config.namespace, &config.secret, &error.report().to_string());
                }
            });
        }
        known.keys
    }
}

impl Inner {
    /// Reads the keys, unless a read that began after `since` did so already.
    async fn reread(&self, since: Instant) -> Result<Arc<KeySet>> {
        let mut last = self.reading.lock().await;
        if let Some(last) = *last {
            if last >= since {
                return Ok(self.known().keys);
            }
            tokio::time::sleep_until(last + REREAD_SPACING).await;
        }
        let begun = Instant::now();
        let object = find(&self.client, &self.config)
            .await?
            .ok_or_else(|| gone(&self.config))?;
        let keys = self.remember(&object);
        wipe(object);
        // Only of a read that succeeded: others try again.
        *last = Some(begun);
        keys
    }

    fn remember(&self, object: &KubeSecret) -> Result<Arc<KeySet>> {
        let keys = parse(&self.config, object)?;
        self.set_known(Known::new(keys.clone(), &self.config));
        Ok(keys)
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_known(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

impl Known {
    fn new(keys: Arc<KeySet>, config: &KubeKeysConfig) -> Self {
        let stale_at = Instant::now() + config.reread_interval.min(MAX_INTERVAL);
        Self { keys, stale_at }
    }
}

async fn read_or_create(client: &ApiClient, config: &KubeKeysConfig) -> Result<Arc<KeySet>> {
    let mut found = find(client, config).await?;
    if found.is_none() && config.create {
        create(client, config).await?;
        found = find(client, config).await?;
    }
    let object = found.ok_or_else(|| gone(config))?;
    let keys = parse(config, &object);
    wipe(object);
    keys
}

/// Creates the Secret with a new key, unless another program does.
async fn create(client: &ApiClient, config: &KubeKeysConfig) -> Result<()> {
    let mut object = KubeSecret {
        metadata: ObjectMeta {
            name: Some(config.secret.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.into()),
        ..KubeSecret::default()
    };
    NewKey::random()?.add_to(&mut object)?;
    let (api, params) = (client.api::<KubeSecret>(), PostParams::default());
    // A second create after an unanswered one finds the first.
    let created = client.call(|| api.create(&params, &object)).await.map(wipe);
    wipe(object);
    match created {
        Ok(()) | Err(ApiError::Conflict(_)) => Ok(()),
        Err(ApiError::NamespaceNotFound(name)) => {
            let why = format!(
                "the namespace {name:?} does not exist; create it: kubectl create namespace {name}, then apply {RULES_FILE}"
            );
            Err(Error::backend("Kubernetes", "create the keys", why))
        }
        Err(error) => Err(error.into_error("create the keys")),
    }
}

async fn find(client: &ApiClient, config: &KubeKeysConfig) -> Result<Option<KubeSecret>> {
    let api = client.api::<KubeSecret>();
    let found = client.call(|| api.get_opt(&config.secret)).await;
    found.map_err(|error| error.into_error("read the keys"))
}

fn parse(config: &KubeKeysConfig, object: &KubeSecret) -> Result<Arc<KeySet>> {
    let keys = KeySet::read(&config.secret, object).map_err(|why| {
        let why = format!(
            "the Secret {:?} in {:?} is not usable: {why}",
            config.secret, config.namespace
        );
        Error::backend("Kubernetes", "read the keys", why)
    })?;
    Ok(Arc::new(keys))
}

fn gone(config: &KubeKeysConfig) -> Error {
    let why = format!(
        "there is no Secret {:?} in {:?}; put it back from its backup: without its keys nothing opens that they wrapped",
        config.secret, config.namespace
    );
    Error::backend("Kubernetes", "read the keys", why)
}

impl fmt::Debug for KubeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeKeys")
            .field("client", &self.0.client)
            .field("secret", &self.0.config.secret)
            .field("keys", &self.0.known().keys)
            .finish()
    }
}
