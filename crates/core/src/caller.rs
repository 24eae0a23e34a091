//! The authenticated principal of a request.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Claims, GatewayName, Owner, Role, Scope, Secret, TeamId, UserId};

/// The authenticated principal of one request.
///
/// `Debug` shows neither [`token`](Self::token) nor the values of [`claims`](Self::claims).
///
/// ```
/// use portolan_core::{Caller, Scope, Subject, TeamId, UserId};
///
/// let alice = Caller::new(Subject::User(UserId::parse("alice")?), "jwt")
///     .with_teams([TeamId::parse("web")?])
///     .with_scopes([Scope::parse("mcp:tools")?])
///     .with_issuer("https://id.example.com");
/// assert!(alice.has_scopes(&[Scope::parse("mcp:tools")?]));
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The principal.
    pub subject: Subject,
    /// The teams of a user, in the order in which their installs are tried. Empty for other subjects.
    pub teams: Vec<TeamId>,
    /// The roles that the identity provider or the host gives the caller, for policies.
    pub roles: Vec<Role>,
    /// The OAuth scopes of the caller's token (RFC 6749 3.3). Empty for tokens without scopes.
    pub scopes: Vec<Scope>,
    /// The claims of the caller's token that the authenticator passes on.
    pub claims: Claims,
    /// The gateways that the caller's token admits to; `None` admits to all.
    pub gateways: Option<Vec<GatewayName>>,
    /// The authentication method, for records: `token`, `jwt`, …
    pub method: Cow<'static, str>,
    /// The issuer of the token: the `iss` claim (RFC 7519 4.1.1), compared as text.
    pub issuer: Option<Box<str>>,
    /// The time at which the token expires. Long streams end then.
    pub expires: Option<Timestamp>,
    /// An identifier of the token for records, never the token: the `jti` claim (RFC 7519 4.1.7), or a digest.
    pub token_id: Option<Box<str>>,
    /// The token that came with the request, where a server is sent it on (passthrough, exchange).
    pub token: Option<Secret>,
}

/// The kind and the name of a principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    /// Creates a caller without teams, roles and scopes whose token admits to every gateway.
    ///
    /// ```
    /// use portolan_core::{Caller, Subject};
    ///
    /// let caller = Caller::new(Subject::Org, "token");
    /// assert!(caller.teams.is_empty() && caller.gateways.is_none());
    /// ```
    pub fn new(subject: Subject, method: impl Into<Cow<'static, str>>) -> Self {
        Self {
            subject,
            teams: Vec::new(),
            roles: Vec::new(),
            scopes: Vec::new(),
            claims: Claims::default(),
            gateways: None,
            method: method.into(),
            issuer: None,
            expires: None,
            token_id: None,
            token: None,
        }
    }

    /// Sets the teams.
    #[must_use]
    pub fn with_teams(mut self, teams: impl IntoIterator<Item = TeamId>) -> Self {
        self.teams = teams.into_iter().collect();
        self
    }

    /// Sets the roles.
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.roles = roles.into_iter().collect();
        self
    }

    /// Sets the scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets the claims.
    #[must_use]
    pub fn with_claims(mut self, claims: Claims) -> Self {
        self.claims = claims;
        self
    }

    /// Admits the caller to these gateways alone.
    #[must_use]
    pub fn with_gateways(mut self, gateways: impl IntoIterator<Item = GatewayName>) -> Self {
        self.gateways = Some(gateways.into_iter().collect());
        self
    }

    /// Sets the issuer of the token.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the time at which the token expires.
    #[must_use]
    pub fn with_expires(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }

    /// Sets the identifier of the token.
    #[must_use]
    pub fn with_token_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.token_id = Some(id.into());
        self
    }

    /// Sets the token itself.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Returns `true` if the caller's token admits to `gateway`.
    pub fn may_enter(&self, gateway: &GatewayName) -> bool {
        self.gateways.as_ref().is_none_or(|open| open.contains(gateway))
    }

    /// Returns `true` if an install of `owner` may serve this caller.
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

    /// Returns `true` if the token has all of `scopes`.
    pub fn has_scopes(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }

    /// Returns `true` if the token has expired at `now`.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
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

    /// Each subject that three names make, in each set of teams.
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
        let teams = |set: usize| (0..3).filter(move |n| set & (1 << n) != 0).map(move |n| team(names[n]));
        let callers = subjects
            .into_iter()
            .flat_map(|subject| (0..8).map(move |set| Caller::new(subject.clone(), "test").with_teams(teams(set))));
        callers.collect()
    }

    #[test]
    fn personal_install_serves_only_its_person() {
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
    fn team_install_serves_members_and_team_tokens() {
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
    fn org_install_serves_everybody() {
        assert!(callers().iter().all(|caller| caller.may_use(&Owner::Org)));
    }

    #[test]
    fn owner_may_use_own_install() {
        for owner in [Owner::Org, Owner::Team(team("web")), Owner::Personal(user("alice"))] {
            assert!(Caller::new((&owner).into(), "install").may_use(&owner), "{owner}");
        }
    }

    #[test]
    fn gateway_list_limits_entry() {
        let gateway = |name| GatewayName::parse(name).expect("a gateway");
        let mut caller = Caller::new(Subject::Org, "token");
        assert!(caller.may_enter(&gateway("a")));
        caller.gateways = Some(vec![gateway("a")]);
        assert!(caller.may_enter(&gateway("a")) && !caller.may_enter(&gateway("b")));
        caller.gateways = Some(Vec::new());
        assert!(!caller.may_enter(&gateway("a")));
    }

    #[test]
    fn debug_hides_token_and_claims() {
        let claims = Claims::try_from(serde_json::json!({"email": "alice@example.com"})).expect("claims");
        let caller = Caller::new(Subject::Org, "jwt")
            .with_token(Secret::new("hunter2"))
            .with_claims(claims);
        let shown = format!("{caller:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("alice@"), "{shown}");
    }

    #[test]
    fn token_expires_at_its_end() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let caller = Caller::new(Subject::Org, "jwt");
        assert!(!caller.is_expired_at(at(10)));
        let caller = caller.with_expires(at(10));
        assert!(!caller.is_expired_at(at(9)) && caller.is_expired_at(at(10)));
    }
}
