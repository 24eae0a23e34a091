//! Owners of installs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{TeamId, UserId};

/// The owner of an install.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A person. The install serves nobody else.
    Personal(UserId),
    /// A team. The install serves its members and its tokens.
    Team(TeamId),
    /// The organisation. The install serves everybody.
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
