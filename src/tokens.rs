//! Static tokens of a platform: shown once, kept as digests.

use portolan_core::{
    GatewayName, Key, Owner, Page, Precondition, Record, RecordKind, Result, Secret, Subject, TokenDigest, TokenGrant,
};
use portolan_gateway::StaticTokens;

use crate::Platform;

impl Platform {
    /// Issues a token that opens one gateway for an owner. It is shown this once, and stored hashed.
    ///
    /// ```
    /// use portolan::{Owner, Platform};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> portolan::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("portolan-tokens-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).expect("a directory");
    /// # let platform = Platform::local(directory.join("portolan.db")).await?;
    /// let gateway = platform.gateway("default").await?;
    /// let token = platform.issue_token(&gateway, Owner::Org).await?;
    /// assert!(token.reveal().starts_with("ptl_"));
    /// # std::fs::remove_dir_all(&directory).expect("removed");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An error of the registry, or of the machine's source of randomness.
    pub async fn issue_token(&self, gateway: &GatewayName, owner: Owner) -> Result<Secret> {
        self.issue(gateway, owner, None).await
    }

    /// Issues a token under a label, and revokes the tokens with this label that the same owner has for the same gateway.
    ///
    /// Tokens of other owners, and those that open other gateways too, are left alone.
    ///
    /// # Errors
    ///
    /// An error of the registry, or of the machine's source of randomness. The new token is lost then; older ones may be
    /// revoked already.
    pub async fn rotate_token(&self, gateway: &GatewayName, owner: Owner, label: &str) -> Result<Secret> {
        let older = self.labelled(gateway, &owner, label).await?;
        let token = self.issue(gateway, owner, Some(label.to_owned())).await?;
        for grant in older {
            self.revoke_token(&grant.digest).await?;
        }
        Ok(token)
    }

    /// Issues a token under a label, unless the same owner has one with this label for the same gateway: `None` then,
    /// because a token is shown only once.
    ///
    /// For start-up code that hands a token out once and keeps it valid afterwards.
    ///
    /// # Errors
    ///
    /// An error of the registry, or of the machine's source of randomness.
    pub async fn ensure_token(&self, gateway: &GatewayName, owner: Owner, label: &str) -> Result<Option<Secret>> {
        if self.labelled(gateway, &owner, label).await?.is_empty() {
            return self.issue(gateway, owner, Some(label.to_owned())).await.map(Some);
        }
        Ok(None)
    }

    /// Returns the grants of all tokens that were issued and not revoked, by digest.
    ///
    /// # Errors
    ///
    /// An error of the registry.
    pub async fn tokens(&self) -> Result<Vec<TokenGrant>> {
        let mut grants = Vec::new();
        let mut page = Page::first();
        loop {
            let records = self.registry().list(RecordKind::Token, page).await?;
            let Some(last) = records.last() else { return Ok(grants) };
            page = Page::after(last.value.key());
            grants.extend(records.into_iter().filter_map(|record| match record.value {
                Record::Token(grant) => Some(grant),
                _ => None,
            }));
        }
    }

    /// Revokes a token, on all replicas within one second. Revoking what is not there succeeds.
    ///
    /// # Errors
    ///
    /// An error of the registry.
    pub async fn revoke_token(&self, digest: &TokenDigest) -> Result<()> {
        self.registry()
            .remove(&Key::Token(digest.clone()), Precondition::None)
            .await
    }

    /// Returns the grants with this label that this owner has for this gateway alone.
    async fn labelled(&self, gateway: &GatewayName, owner: &Owner, label: &str) -> Result<Vec<TokenGrant>> {
        let subject = Subject::from(owner);
        let mut grants = self.tokens().await?;
        grants.retain(|grant| {
            grant.label.as_deref() == Some(label)
                && grant.subject == subject
                && grant.gateways.as_deref() == Some(std::slice::from_ref(gateway))
        });
        Ok(grants)
    }

    async fn issue(&self, gateway: &GatewayName, owner: Owner, label: Option<String>) -> Result<Secret> {
        let (token, digest) = StaticTokens::mint()?;
        let mut grant = TokenGrant::new(digest, (&owner).into(), self.clock().now());
        grant.gateways = Some(vec![gateway.clone()]);
        grant.label = label;
        self.registry().put(grant.into(), Precondition::Absent).await?;
        Ok(token)
    }
}
