//! Tokens that replace others.

use portolan::{GatewayName, Owner, Platform, Secret, TeamId, digest};

use crate::support::Place;

async fn opens(platform: &Platform, token: &Secret) -> bool {
    let digest = digest(token.reveal());
    platform
        .tokens()
        .await
        .expect("tokens")
        .iter()
        .any(|grant| grant.digest == digest)
}

#[tokio::test]
async fn rotation_revokes_the_older_token() {
    let place = Place::new();
    let platform = place.platform().await;
    let gateway = platform.gateway("default").await.expect("a gateway");
    let old = platform
        .rotate_token(&gateway, Owner::Org, "laptop")
        .await
        .expect("a token");
    let new = platform
        .rotate_token(&gateway, Owner::Org, "laptop")
        .await
        .expect("a token");
    assert_eq!(
        (opens(&platform, &old).await, opens(&platform, &new).await),
        (false, true)
    );
}

#[tokio::test]
async fn rotation_spares_other_owners_and_gateways() {
    let place = Place::new();
    let platform = place.platform().await;
    let gateway = platform.gateway("default").await.expect("a gateway");
    let other: GatewayName = platform.gateway("other").await.expect("a gateway");
    let team = Owner::Team(TeamId::parse("web").expect("a team"));
    let theirs = platform.rotate_token(&gateway, team, "laptop").await.expect("a token");
    let elsewhere = platform
        .rotate_token(&other, Owner::Org, "laptop")
        .await
        .expect("a token");
    platform
        .rotate_token(&gateway, Owner::Org, "laptop")
        .await
        .expect("a token");
    assert!(opens(&platform, &theirs).await, "another owner's");
    assert!(opens(&platform, &elsewhere).await, "of another gateway");
}

#[tokio::test]
async fn ensured_token_is_issued_once() {
    let place = Place::new();
    let platform = place.platform().await;
    let gateway = platform.gateway("default").await.expect("a gateway");
    let first = platform.ensure_token(&gateway, Owner::Org, "agents").await;
    let first = first.expect("a token").expect("the first one");
    let again = platform.ensure_token(&gateway, Owner::Org, "agents").await;
    assert!(again.expect("no error").is_none());
    assert!(opens(&platform, &first).await);
    let team = Owner::Team(TeamId::parse("web").expect("a team"));
    let theirs = platform.ensure_token(&gateway, team, "agents").await;
    assert!(theirs.expect("a token").is_some(), "another owner's");
}
