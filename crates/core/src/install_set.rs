//! The installs of a server, found by name and by caller.

use std::{fmt, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{Caller, Install, InstallName, Owner, Subject, TeamId, UserId};

/// The installs of one server that may serve its calls: immutable, cheap to clone, found by name and by caller.
///
/// A changed set shares with the earlier one what stays, so adding or removing an install costs the same however many there
/// are (the logarithm of their number), and readers keep what they have. Finding the install of a caller looks up its own,
/// then those of its teams in their order, then the organisation's.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{Caller, Install, InstallName, InstallSet, Owner, ServerName, Subject, SystemClock, UserId, Clock};
///
/// let alice = UserId::parse("alice")?;
/// let of = |owner| Install::new(InstallName::new(&SystemClock), ServerName::parse("docs").expect("a name"), owner, SystemClock.now());
/// let (own, org) = (Arc::new(of(Owner::Personal(alice.clone()))), Arc::new(of(Owner::Org)));
/// let set = InstallSet::from_iter([own.clone(), org.clone()]);
/// assert_eq!(set.nearest(&Caller::new(Subject::User(alice), "token")), Some(&own));
/// assert_eq!(set.nearest(&Caller::new(Subject::Org, "token")), Some(&org));
/// assert_eq!(set.without(&own.name).len(), 1);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct InstallSet(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    by_name: RedBlackTreeMapSync<InstallName, Arc<Install>>,
    personal: HashTrieMapSync<UserId, Owned>,
    teams: HashTrieMapSync<TeamId, Owned>,
    org: Option<Owned>,
}

/// The installs of one owner: one, unless a publication was made by hand.
#[derive(Clone)]
enum Owned {
    One(Arc<Install>),
    /// Several, sorted by name.
    Several(Vec<Arc<Install>>),
}

impl InstallSet {
    /// Returns the number of installs.
    pub fn len(&self) -> usize {
        self.0.by_name.size()
    }

    /// Returns `true` if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.by_name.is_empty()
    }

    /// Returns the install of this name.
    pub fn get(&self, name: &InstallName) -> Option<&Arc<Install>> {
        self.0.by_name.get(name)
    }

    /// Returns all installs, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Install>> {
        self.0.by_name.values()
    }

    /// Returns the install that serves `caller`: its own, then those of its teams in their order, then the organisation's;
    /// of two of one owner the first by name.
    pub fn nearest(&self, caller: &Caller) -> Option<&Arc<Install>> {
        let own = match &caller.subject {
            Subject::User(user) => self.0.personal.get(user).or_else(|| {
                let mut teams = caller.teams.iter();
                teams.find_map(|team| self.0.teams.get(team))
            }),
            Subject::Team(team) => self.0.teams.get(team),
            _ => None,
        };
        own.or(self.0.org.as_ref()).and_then(Owned::first)
    }

    /// Returns the install of this name if it may serve `caller`.
    pub fn reached(&self, name: &InstallName, caller: &Caller) -> Option<&Arc<Install>> {
        self.get(name).filter(|install| caller.may_use(&install.owner))
    }

    /// Returns `true` if all installs are the organisation's, so that all callers have the same one.
    pub fn is_of_org(&self) -> bool {
        self.0.personal.is_empty() && self.0.teams.is_empty()
    }

    /// Returns the set with `install`, in place of one of its name.
    #[must_use]
    pub fn with(&self, install: Arc<Install>) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.remove(&install.name);
        inner.insert(install);
        Self(Arc::new(inner))
    }

    /// Returns the set without the install of this name.
    #[must_use]
    pub fn without(&self, name: &InstallName) -> Self {
        let mut inner = Inner::clone(&self.0);
        match inner.remove(name) {
            true => Self(Arc::new(inner)),
            false => self.clone(),
        }
    }

    /// Returns `true` if both are one set in memory. Equal sets need not be.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Inner {
    fn insert(&mut self, install: Arc<Install>) {
        match &install.owner {
            Owner::Personal(user) => {
                let owned = Owned::with(self.personal.get(user), install.clone());
                self.personal.insert_mut(user.clone(), owned);
            }
            Owner::Team(team) => {
                let owned = Owned::with(self.teams.get(team), install.clone());
                self.teams.insert_mut(team.clone(), owned);
            }
            Owner::Org => self.org = Some(Owned::with(self.org.as_ref(), install.clone())),
        }
        self.by_name.insert_mut(install.name, install);
    }

    fn remove(&mut self, name: &InstallName) -> bool {
        let Some(install) = self.by_name.get(name).cloned() else {
            return false;
        };
        self.by_name.remove_mut(name);
        match &install.owner {
            Owner::Personal(user) => match self.personal.get(user).and_then(|owned| owned.without(name)) {
                Some(left) => self.personal.insert_mut(user.clone(), left),
                None => drop(self.personal.remove_mut(user)),
            },
            Owner::Team(team) => match self.teams.get(team).and_then(|owned| owned.without(name)) {
                Some(left) => self.teams.insert_mut(team.clone(), left),
                None => drop(self.teams.remove_mut(team)),
            },
            Owner::Org => self.org = self.org.as_ref().and_then(|owned| owned.without(name)),
        }
        true
    }
}

impl Owned {
    fn with(known: Option<&Self>, install: Arc<Install>) -> Self {
        let Some(known) = known else {
            return Self::One(install);
        };
        let mut all: Vec<_> = known.all().to_vec();
        all.push(install);
        all.sort_by_key(|install| install.name);
        Self::Several(all)
    }

    /// Returns the others; `None` if there are none.
    fn without(&self, name: &InstallName) -> Option<Self> {
        let mut left: Vec<_> = self.all().iter().filter(|one| one.name != *name).cloned().collect();
        match left.len() {
            0 => None,
            1 => left.pop().map(Self::One),
            _ => Some(Self::Several(left)),
        }
    }

    fn all(&self) -> &[Arc<Install>] {
        match self {
            Self::One(install) => std::slice::from_ref(install),
            Self::Several(all) => all,
        }
    }

    fn first(&self) -> Option<&Arc<Install>> {
        self.all().first()
    }
}

impl FromIterator<Arc<Install>> for InstallSet {
    fn from_iter<I: IntoIterator<Item = Arc<Install>>>(installs: I) -> Self {
        let mut inner = Inner::default();
        for install in installs {
            inner.remove(&install.name);
            inner.insert(install);
        }
        Self(Arc::new(inner))
    }
}

impl From<Vec<Arc<Install>>> for InstallSet {
    fn from(installs: Vec<Arc<Install>>) -> Self {
        installs.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a InstallSet {
    type Item = &'a Arc<Install>;
    type IntoIter = Box<dyn Iterator<Item = &'a Arc<Install>> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl PartialEq for InstallSet {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for InstallSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::ServerName;

    fn install(number: u128, owner: Owner) -> Arc<Install> {
        let server = ServerName::parse("docs").expect("a name");
        let name = InstallName::from(Uuid::from_u128(number));
        Arc::new(Install::new(name, server, owner, Timestamp::UNIX_EPOCH))
    }

    fn numbers(set: &InstallSet) -> Vec<u128> {
        set.iter().map(|install| install.name.as_uuid().as_u128()).collect()
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a user")
    }

    fn team(name: &str) -> TeamId {
        TeamId::parse(name).expect("a team")
    }

    #[test]
    fn nearest_is_own_then_teams_then_org() {
        let own = install(5, Owner::Personal(user("alice")));
        let (web, ops, org) = (
            install(4, Owner::Team(team("web"))),
            install(3, Owner::Team(team("ops"))),
            install(2, Owner::Org),
        );
        let alice = Caller::new(Subject::User(user("alice")), "t").with_teams([team("web"), team("ops")]);
        let mut set = InstallSet::from(vec![own.clone(), web.clone(), ops.clone(), org.clone()]);
        for expected in [&own, &web, &ops, &org] {
            assert_eq!(set.nearest(&alice), Some(expected));
            set = set.without(&expected.name);
        }
        assert!(set.nearest(&alice).is_none() && set.is_empty());
    }

    #[test]
    fn personal_install_serves_nobody_else() {
        let set = InstallSet::from(vec![install(1, Owner::Personal(user("alice")))]);
        let name = InstallName::from(Uuid::from_u128(1));
        for subject in [
            Subject::User(user("bob")),
            Subject::Team(team("alice")),
            Subject::Client(user("alice")),
            Subject::Org,
        ] {
            let caller = Caller::new(subject, "t");
            assert!(set.nearest(&caller).is_none() && set.reached(&name, &caller).is_none());
        }
    }

    #[test]
    fn changes_leave_earlier_sets() {
        let first = InstallSet::from(vec![install(3, Owner::Org), install(1, Owner::Org)]);
        let more = first.with(install(2, Owner::Org));
        let less = more.without(&InstallName::from(Uuid::from_u128(1)));
        assert_eq!(
            (numbers(&first), numbers(&more), numbers(&less)),
            (vec![1, 3], vec![1, 2, 3], vec![2, 3])
        );
        assert!(
            first
                .without(&InstallName::from(Uuid::from_u128(9)))
                .is_shared_with(&first)
        );
        assert!(first == InstallSet::from(vec![install(1, Owner::Org), install(3, Owner::Org)]));
    }

    #[test]
    fn replaced_install_changes_owner() {
        let set = InstallSet::from(vec![install(1, Owner::Org)]).with(install(1, Owner::Personal(user("alice"))));
        assert!(set.nearest(&Caller::new(Subject::Org, "t")).is_none() && !set.is_of_org());
        assert!(set.nearest(&Caller::new(Subject::User(user("alice")), "t")).is_some());
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn first_by_name_of_one_owner() {
        let set = InstallSet::from(vec![
            install(7, Owner::Org),
            install(4, Owner::Org),
            install(9, Owner::Org),
        ]);
        let caller = Caller::new(Subject::Org, "t");
        assert_eq!(set.nearest(&caller), set.get(&InstallName::from(Uuid::from_u128(4))));
        let left = set.without(&InstallName::from(Uuid::from_u128(4)));
        assert_eq!(left.nearest(&caller), set.get(&InstallName::from(Uuid::from_u128(7))));
    }
}
