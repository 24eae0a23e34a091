//! Cases of [`Authenticator`].

use std::sync::Arc;

use http::{HeaderMap, Request, request::Parts};

use super::race;
use crate::{AuthError, Authenticator, Caller, GatewayName};

/// An authenticator under test, with requests for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fixture {
    /// The authenticator.
    pub authenticator: Arc<dyn Authenticator>,
    /// The gateway that the requests are for.
    pub gateway: GatewayName,
    /// The headers of a request with a valid credential.
    pub valid: HeaderMap,
    /// The headers of a request with a credential of the same kind that is refused.
    pub refused: HeaderMap,
}

impl Fixture {
    /// Creates a fixture.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
    /// use portolan_core::{GatewayName, conformance::authenticator::Fixture, memory::MemoryTokens};
    ///
    /// let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
    /// let gateway = GatewayName::parse("default")?;
    /// let tokens = Arc::new(MemoryTokens::new([]));
    /// let fixture = Fixture::new(tokens, gateway, headers("Bearer good"), headers("Bearer bad"));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(
        authenticator: Arc<dyn Authenticator>,
        gateway: GatewayName,
        valid: HeaderMap,
        refused: HeaderMap,
    ) -> Self {
        Self {
            authenticator,
            gateway,
            valid,
            refused,
        }
    }

    async fn ask(&self, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, AuthError> {
        self.authenticator
            .authenticate(&self.gateway, &self.request(headers))
            .await
    }

    async fn caller(&self) -> Arc<Caller> {
        let caller = self.ask(&self.valid).await.expect("the credential is valid");
        caller.expect("the credential is of this kind")
    }

    fn request(&self, headers: &HeaderMap) -> Parts {
        let mut request = Request::post(format!("/mcp/{}", self.gateway))
            .body(())
            .expect("a request");
        *request.headers_mut() = headers.clone();
        request.into_parts().0
    }

    /// The values of all headers, without a scheme before them.
    fn secrets(&self) -> Vec<String> {
        let values = self.valid.values().chain(self.refused.values());
        let text = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        text.map(|text| text.rsplit(' ').next().unwrap_or_default().to_owned())
            .collect()
    }
}

/// A request without a credential is left to the next authenticator.
pub async fn request_without_credential_is_passed_on(fixture: Fixture) {
    let answer = fixture.ask(&HeaderMap::new()).await;
    assert!(matches!(answer, Ok(None)), "{answer:?}");
}

/// A valid credential gives a caller who may enter the gateway.
pub async fn valid_credential_gives_a_caller(fixture: Fixture) {
    assert!(fixture.caller().await.may_enter(&fixture.gateway));
}

/// A refused credential is an error, and no other authenticator is asked.
pub async fn refused_credential_is_an_error(fixture: Fixture) {
    let answer = fixture.ask(&fixture.refused).await;
    let error = answer.expect_err("the credential is refused");
    assert!(!matches!(error, AuthError::Unavailable(_)), "{error:?}");
}

/// Equal requests give equal callers.
pub async fn equal_requests_give_equal_callers(fixture: Fixture) {
    let first = fixture.caller().await;
    for _ in 0..3 {
        assert_eq!(fixture.caller().await, first);
    }
}

/// A refused credential does not change the answer for a valid one.
pub async fn refusal_leaves_valid_credential(fixture: Fixture) {
    let first = fixture.caller().await;
    fixture.ask(&fixture.refused).await.expect_err("it is refused");
    assert_eq!(fixture.caller().await, first);
}

/// Requests at the same time get their own answers.
pub async fn racing_requests_keep_their_answers(fixture: Fixture) {
    let expected = fixture.caller().await;
    let answers = race((0..32).map(|number| {
        let fixture = fixture.clone();
        async move {
            let headers = if number % 2 == 0 {
                &fixture.valid
            } else {
                &fixture.refused
            };
            (number % 2 == 0, fixture.ask(headers).await)
        }
    }))
    .await;
    for (valid, answer) in answers {
        match answer {
            Ok(Some(caller)) if valid => assert_eq!(caller, expected),
            Err(_) if !valid => {}
            other => panic!("valid is {valid}, but the answer is {other:?}"),
        }
    }
}

/// Neither `Debug` nor an error shows a part of a credential.
pub async fn credentials_do_not_show(fixture: Fixture) {
    let caller = fixture.caller().await;
    let error = fixture.ask(&fixture.refused).await.expect_err("it is refused");
    let shown = format!("{:?} {caller:?} {error:?} {error}", fixture.authenticator);
    for secret in fixture.secrets() {
        assert!(!shown.contains(&secret), "a credential shows");
    }
}

/// A challenge can be a header, also one with the error of a refusal.
#[expect(clippy::unused_async, reason = "all cases are futures, for the suites")]
pub async fn challenge_is_a_header_value(fixture: Fixture) {
    if let Some(challenge) = fixture.authenticator.challenge(&fixture.gateway) {
        assert_eq!(challenge.header_value(), challenge.to_string());
        let refused = challenge.for_error(&AuthError::Invalid);
        assert!(refused.to_string().contains("error=\"invalid_token\""), "{refused}");
    }
}
