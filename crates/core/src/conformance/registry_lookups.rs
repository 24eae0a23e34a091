//! Cases of [`Registry`]: installs by server and owner, and the position in the feed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;

use super::sample;
use crate::{Install, Key, Owner, Page, Precondition, Registry, Revision, TeamId, UserId};

/// The registry under test.
pub type Backend = Arc<dyn Registry>;

/// `installs_of` finds the installs of one server and one owner, or of all owners, by name.
pub async fn installs_are_found_by_owner(registry: Backend) {
    let owners = owners();
    for (number, owner) in (1..).zip(owners.iter().chain(&owners)) {
        put(&registry, number, "time", owner).await;
        put(&registry, number + 100, "other", owner).await;
    }
    let all = owners.len();
    assert_eq!(
        found(&registry, "time", None, 500).await,
        Vec::from_iter(1..=2 * all as u128)
    );
    for (at, owner) in (1..).zip(&owners) {
        let of_owner = found(&registry, "time", Some(owner), 500).await;
        assert_eq!(of_owner, [at, at + all as u128], "{owner:?}");
    }
    assert_eq!(found(&registry, "never", None, 500).await, [0; 0]);
    let stranger = Owner::Personal(UserId::parse("stranger").expect("a user"));
    assert_eq!(found(&registry, "time", Some(&stranger), 500).await, [0; 0]);
}

/// The pages of `installs_of` make up what it finds.
pub async fn installs_of_server_come_in_pages(registry: Backend) {
    for number in 1..=7 {
        put(&registry, number, "time", &Owner::Org).await;
    }
    for limit in [1, 2, 3, 7, 8] {
        assert_eq!(
            found(&registry, "time", None, limit).await,
            [1, 2, 3, 4, 5, 6, 7],
            "by {limit}"
        );
        let of_org = found(&registry, "time", Some(&Owner::Org), limit).await;
        assert_eq!(of_org, [1, 2, 3, 4, 5, 6, 7], "by {limit}");
    }
}

/// `installs_of` sees each `put` and `remove` that returned, also one that gives an install to another owner.
pub async fn installs_of_server_follow_writes(registry: Backend) {
    let team = Owner::Team(TeamId::parse("web").expect("a team"));
    put(&registry, 1, "time", &Owner::Org).await;
    put(&registry, 1, "time", &team).await;
    assert_eq!(found(&registry, "time", Some(&Owner::Org), 500).await, [0; 0]);
    assert_eq!(found(&registry, "time", Some(&team), 500).await, [1]);
    put(&registry, 1, "other", &team).await;
    assert_eq!(found(&registry, "time", None, 500).await, [0; 0]);
    let key = Key::Install(sample::install_name(1));
    registry.remove(&key, Precondition::None).await.expect("remove");
    assert_eq!(found(&registry, "other", None, 500).await, [0; 0]);
}

/// A feed from `revision` has every change that begins after it.
pub async fn revision_precedes_later_changes(registry: Backend) {
    let empty = registry.revision().await.expect("revision");
    put(&registry, 1, "time", &Owner::Org).await;
    put(&registry, 2, "time", &Owner::Org).await;
    let between = registry.revision().await.expect("revision");
    assert!(empty <= between);
    put(&registry, 3, "time", &Owner::Org).await;
    assert!(has_change(&registry, empty, 1).await && has_change(&registry, between, 3).await);
}

async fn has_change(registry: &Backend, since: Revision, number: u128) -> bool {
    let wanted = Key::Install(sample::install_name(number));
    let mut feed = registry.changes(since);
    let found = async {
        while let Some(change) = feed.next().await {
            if change.expect("a change").key == wanted {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(Duration::from_secs(20), found)
        .await
        .unwrap_or(false)
}

fn owners() -> Vec<Owner> {
    let odd = ["alice", "a\"b", "a\\b", "ä ☕", "a/b", "org", "\u{2028}", "a'b", "{}"];
    let mut owners: Vec<_> = odd
        .iter()
        .flat_map(|name| {
            let user = Owner::Personal(UserId::parse(name).expect("a user"));
            [user, Owner::Team(TeamId::parse(name).expect("a team"))]
        })
        .collect();
    owners.push(Owner::Org);
    owners
}

async fn put(registry: &Backend, number: u128, server: &str, owner: &Owner) {
    let sample = sample::install(number);
    let mut install = Install::new(sample.name, sample::server_name(server), owner.clone(), sample.created);
    install.tools = sample.tools;
    registry.put(install.into(), Precondition::None).await.expect("put");
}

/// The numbers of the installs that are found, page by page.
async fn found(registry: &Backend, server: &str, owner: Option<&Owner>, limit: usize) -> Vec<u128> {
    let server = sample::server_name(server);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Page { after, limit };
        let page = registry.installs_of(&server, owner, page).await.expect("a page");
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return all };
        after = Some(Key::Install(last.value.name));
        all.extend(page.iter().map(|install| install.value.name.as_uuid().as_u128()));
    }
}
