//! Cases of [`CredentialBroker`].

use std::sync::Arc;

use super::race;
use crate::{
    Caller, CredentialBroker, CredentialContext, Error, FailureKind, Install, Result, ServerSpec, UpstreamCredential,
};

/// A broker under test, with an install for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fixture {
    /// The broker.
    pub broker: Arc<dyn CredentialBroker>,
    /// The server of the installs.
    pub server: ServerSpec,
    /// An install whose credential is stored, of `caller` alone.
    pub install: Install,
    /// The owner of the install.
    pub caller: Caller,
    /// A caller whom the install may not serve.
    pub stranger: Caller,
    /// An install of `caller` whose credential is missing; `None` if there is no such thing.
    pub incomplete: Option<Install>,
}

impl Fixture {
    /// Creates a fixture without an incomplete install.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{
    ///     Caller, Owner, Subject, UserId, conformance::{broker::Fixture, sample}, memory::NoCredentials,
    /// };
    ///
    /// let user = |name| UserId::parse(name).expect("a user");
    /// let mut install = sample::install(1);
    /// install.owner = Owner::Personal(user("alice"));
    /// let caller = |name| Caller::new(Subject::User(user(name)), "token");
    /// let broker = Arc::new(NoCredentials);
    /// let fixture = Fixture::new(broker, sample::server("time"), install, caller("alice"), caller("bob"));
    /// ```
    pub fn new(
        broker: Arc<dyn CredentialBroker>,
        server: ServerSpec,
        install: Install,
        caller: Caller,
        stranger: Caller,
    ) -> Self {
        Self {
            broker,
            server,
            install,
            caller,
            stranger,
            incomplete: None,
        }
    }

    async fn ask(&self, caller: &Caller, install: &Install) -> Result<Arc<UpstreamCredential>> {
        let context = CredentialContext::new(caller, &self.server, install);
        self.broker.credential(&context).await
    }

    async fn credential(&self) -> Arc<UpstreamCredential> {
        let credential = self.ask(&self.caller, &self.install).await;
        credential.expect("the credential is stored")
    }
}

/// Equal requests get equal credentials.
pub async fn equal_requests_get_equal_credentials(fixture: Fixture) {
    let first = fixture.credential().await;
    for _ in 0..3 {
        let again = fixture.credential().await;
        assert!(
            again == first && again.scope == first.scope,
            "{again:?} after {first:?}"
        );
    }
}

/// Nobody gets the credential of another person.
pub async fn strangers_get_no_personal_credential(fixture: Fixture) {
    let own = fixture.credential().await;
    for _ in 0..2 {
        if let Ok(other) = fixture.ask(&fixture.stranger, &fixture.install).await {
            assert!(own.headers.is_empty() || other.headers != own.headers, "{other:?}");
        }
    }
}

/// A stranger's request does not change the owner's credential.
pub async fn strangers_change_nothing(fixture: Fixture) {
    let first = fixture.credential().await;
    let _ = fixture.ask(&fixture.stranger, &fixture.install).await;
    assert_eq!(fixture.credential().await, first);
}

/// After `forget`, the credential is made of what is stored, which is the same here.
pub async fn forgotten_credential_is_made_again(fixture: Fixture) {
    let first = fixture.credential().await;
    for caller in [None, Some(&fixture.caller), Some(&fixture.stranger)] {
        fixture.broker.forget(&fixture.install, caller);
        assert_eq!(fixture.credential().await.headers, first.headers);
    }
}

/// `forget` of an install that was never asked for does nothing.
pub async fn forget_of_unknown_install_is_harmless(fixture: Fixture) {
    fixture.broker.forget(&fixture.install, None);
    fixture.broker.forget(&fixture.install, Some(&fixture.stranger));
    fixture.credential().await;
}

/// Requests at the same time get the same credential.
pub async fn racing_requests_agree(fixture: Fixture) {
    let expected = fixture.credential().await;
    fixture.broker.forget(&fixture.install, None);
    let credentials = race((0..16).map(|number| {
        let fixture = fixture.clone();
        async move {
            if number % 4 == 0 {
                fixture.broker.forget(&fixture.install, None);
            }
            fixture.credential().await
        }
    }))
    .await;
    for credential in credentials {
        assert_eq!(credential.headers, expected.headers);
    }
}

/// No `Debug` shows a secret.
pub async fn secrets_do_not_show(fixture: Fixture) {
    let credential = fixture.credential().await;
    let shown = format!("{:?} {credential:?}", fixture.broker);
    for (_, secret) in &credential.headers {
        let bare = secret.reveal().rsplit(' ').next().unwrap_or_default();
        assert!(bare.is_empty() || !shown.contains(bare), "a secret shows");
    }
}

/// A missing credential is `NotReady` of kind `Credential`, and says what to do.
pub async fn missing_credential_says_what_to_do(fixture: Fixture) {
    let Some(install) = &fixture.incomplete else {
        return;
    };
    match fixture.ask(&fixture.caller, install).await {
        Err(Error::NotReady { failure, .. }) => {
            assert_eq!(failure.kind, FailureKind::Credential);
            assert!(failure.remedy.is_some() || failure.action.is_some(), "{failure:?}");
        }
        other => panic!("not ready, not {other:?}"),
    }
}
