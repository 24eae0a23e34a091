//! Whose an install is, and who calls.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{GatewayName, Secret, TeamId, UserId};

/// Whose an install is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// One person's. It never serves anybody else, whatever path led to it.
    Personal(UserId),
    /// A team's: it serves the team's members and tokens.
    Team(TeamId),
    /// The whole organisation's.
    Org,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Personal(user) => write!(f, "user {user:?}", user = user.as_str()),
            Self::Team(team) => write!(f, "team {team:?}", team = team.as_str()),
            Self::Org => f.write_str("the organisation"),
        }
    }
}

/// The authenticated principal of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Who it is.
    pub subject: Subject,
    /// The teams of a user, in the order in which their installs are tried. Empty for other subjects.
    pub teams: Vec<TeamId>,
    /// The gateways that this caller's token opens; `None` opens all.
    pub gateways: Option<Vec<GatewayName>>,
    /// How the caller proved who it is, for records: `token`, `jwt`, …
    pub method: &'static str,
    /// The token that came with the request, where a server is to be sent it on (passthrough, exchange).
    pub token: Option<Secret>,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A person.
    User(UserId),
    /// A team's token.
    Team(TeamId),
    /// An organisation-wide token.
    Org,
    /// A service with credentials of its own.
    Client(UserId),
}

impl Caller {
    /// A caller who may use every gateway and is in no team.
    pub fn new(subject: Subject, method: &'static str) -> Self {
        Self {
            subject,
            teams: Vec::new(),
            gateways: None,
            method,
            token: None,
        }
    }

    /// Whether this caller's token opens `gateway`.
    pub fn may_enter(&self, gateway: &GatewayName) -> bool {
        self.gateways.as_ref().is_none_or(|open| open.contains(gateway))
    }

    /// Whether an install of `owner` may serve this caller at all.
    ///
    /// ```
    /// use portolan_core::{Caller, Owner, Subject, UserId};
    ///
    /// let alice = Caller::new(Subject::User(UserId::parse("alice")?), "token");
    /// assert!(alice.may_use(&Owner::Org));
    /// assert!(!alice.may_use(&Owner::Personal(UserId::parse("bob")?)));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn may_use(&self, owner: &Owner) -> bool {
        match (owner, &self.subject) {
            (Owner::Org, _) => true,
            (Owner::Personal(user), Subject::User(me)) => user == me,
            (Owner::Team(team), Subject::Team(mine)) => team == mine,
            (Owner::Team(team), Subject::User(_)) => self.teams.contains(team),
            _ => false,
        }
    }
}

impl From<&Owner> for Subject {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Personal(user) => Self::User(user.clone()),
            Owner::Team(team) => Self::Team(team.clone()),
            Owner::Org => Self::Org,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Team(team) => write!(f, "team:{team}"),
            Self::Org => f.write_str("org"),
            Self::Client(client) => write!(f, "client:{client}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a user")
    }

    fn team(name: &str) -> TeamId {
        TeamId::parse(name).expect("a team")
    }

    /// Every caller that a few names make: each subject, in each set of teams.
    fn callers() -> Vec<Caller> {
        let names = ["alice", "bob", "web"];
        let mut subjects = vec![Subject::Org];
        for name in names {
            subjects.extend([
                Subject::User(user(name)),
                Subject::Team(team(name)),
                Subject::Client(user(name)),
            ]);
        }
        let teams = |set: usize| {
            (0..3)
                .filter(move |n| set & (1 << n) != 0)
                .map(|n| team(names[n]))
                .collect()
        };
        let callers = subjects.into_iter().flat_map(|subject| {
            (0..8).map(move |set| {
                let mut caller = Caller::new(subject.clone(), "test");
                caller.teams = teams(set);
                caller
            })
        });
        callers.collect()
    }

    #[test]
    fn a_personal_install_serves_its_person_and_nobody_else() {
        for caller in callers() {
            for name in ["alice", "bob", "web"] {
                let is_me = caller.subject == Subject::User(user(name));
                assert_eq!(
                    caller.may_use(&Owner::Personal(user(name))),
                    is_me,
                    "{caller:?} and {name}"
                );
            }
        }
    }

    #[test]
    fn a_team_install_serves_members_and_the_teams_tokens_and_nobody_else() {
        for caller in callers() {
            for name in ["alice", "bob", "web"] {
                let is_user = matches!(caller.subject, Subject::User(_));
                let may =
                    caller.subject == Subject::Team(team(name)) || (is_user && caller.teams.contains(&team(name)));
                assert_eq!(caller.may_use(&Owner::Team(team(name))), may, "{caller:?} and {name}");
            }
        }
    }

    #[test]
    fn an_install_of_the_organisation_serves_everybody() {
        assert!(callers().iter().all(|caller| caller.may_use(&Owner::Org)));
    }

    #[test]
    fn an_owner_may_use_what_is_theirs() {
        for owner in [Owner::Org, Owner::Team(team("web")), Owner::Personal(user("alice"))] {
            assert!(Caller::new((&owner).into(), "install").may_use(&owner), "{owner}");
        }
    }

    #[test]
    fn a_token_for_some_gateways_opens_no_other() {
        let gateway = |name| GatewayName::parse(name).expect("a gateway");
        let mut caller = Caller::new(Subject::Org, "token");
        assert!(caller.may_enter(&gateway("a")));
        caller.gateways = Some(vec![gateway("a")]);
        assert!(caller.may_enter(&gateway("a")) && !caller.may_enter(&gateway("b")));
        caller.gateways = Some(Vec::new());
        assert!(!caller.may_enter(&gateway("a")));
    }
}
