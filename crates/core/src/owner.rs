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
