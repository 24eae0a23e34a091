//! Static tokens of a platform: given out once, kept as digests.

use portolan_core::{
    GatewayName, Key, Owner, Page, Precondition, Record, RecordKind, Result, Secret, TokenDigest, TokenGrant,
};
use portolan_gateway::StaticTokens;

use crate::Platform;

impl Platform {
    /// Makes a token that opens one gateway for an owner. It is shown this once, and stored hashed.
    pub async fn issue_token(&self, gateway: &GatewayName, owner: Owner) -> Result<Secret> {
        self.issue(gateway, owner, None).await
    }

    /// The same, with what people call it. Tokens that had this label before open nothing any more.
    pub async fn rotate_token(&self, gateway: &GatewayName, owner: Owner, label: &str) -> Result<Secret> {
        let older = self.tokens().await?;
        let token = self.issue(gateway, owner, Some(label.to_owned())).await?;
        for grant in older.iter().filter(|grant| grant.label.as_deref() == Some(label)) {
            self.revoke_token(&grant.digest).await?;
        }
        Ok(token)
    }

    /// What was given out.
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

    /// Makes a token open nothing any more, on every replica within a second.
    pub async fn revoke_token(&self, digest: &TokenDigest) -> Result<()> {
        self.registry()
            .remove(&Key::Token(digest.clone()), Precondition::None)
            .await
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
