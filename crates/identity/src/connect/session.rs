//! Who is signed in to the host in a browser.

use std::fmt::Debug;

use async_trait::async_trait;
use http::request::Parts;
use portolan_core::{Caller, Owner, Result, Subject};
use url::Url;

/// Tells who is signed in to the host in a browser, and what they may connect.
///
/// # Contract
///
/// - `signed_in` looks at the request alone, mostly at a cookie of the host, and is not fooled by what the browser's user
///   can set. A person is a caller whose subject is [`Subject::User`]; others are refused.
/// - `may_manage` is `false` for installs that do not serve the caller.
///
/// ```
/// use http::request::Parts;
/// use portolan_core::{Caller, Result, Subject, UserId};
/// use portolan_identity::BrowserSession;
///
/// /// A proxy in front of the host has signed the user in, and says who it is.
/// #[derive(Debug)]
/// struct ProxyHeader;
///
/// #[async_trait::async_trait]
/// impl BrowserSession for ProxyHeader {
///     async fn signed_in(&self, request: &Parts) -> Result<Option<Caller>> {
///         let name = request.headers.get("x-forwarded-user").and_then(|name| name.to_str().ok());
///         name.map(|name| Ok(Caller::new(Subject::User(UserId::parse(name)?), "proxy"))).transpose()
///     }
/// }
/// ```
#[async_trait]
pub trait BrowserSession: Debug + Send + Sync {
    /// Returns who sent the request; `None` if nobody is signed in.
    ///
    /// # Errors
    ///
    /// Those of the host's session store: the browser is told to try again.
    async fn signed_in(&self, request: &Parts) -> Result<Option<Caller>>;

    /// Returns the page on which to sign in and then return to `return_to`. Default: none is linked.
    fn login_url(&self, return_to: &Url) -> Option<Url> {
        let _ = return_to;
        None
    }

    /// Returns `true` if the caller may connect and disconnect installs of `owner`. Default: their own. The connection of a
    /// shared install is used by everybody whom it serves, so a host decides who may make it.
    fn may_manage(&self, caller: &Caller, owner: &Owner) -> bool {
        matches!((owner, &caller.subject), (Owner::Personal(user), Subject::User(me)) if user == me)
    }
}
