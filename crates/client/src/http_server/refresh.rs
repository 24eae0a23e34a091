//! Sends a request again with another credential if the server refuses the first.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use portolan_core::{CredentialRefusal, Result, UpstreamCredential};

use crate::{http_server::HttpServer, http1::body::ResponseBody};

/// How often one request is sent again.
const RENEWALS: usize = 4;
/// The number of challenges that are read, and the size of each in bytes.
const CHALLENGES: usize = 8;
const CHALLENGE_BYTES: usize = 4096;

impl HttpServer {
    /// Sends a request, and sends it again with the replacement if `credential` is refused. The server has not processed a
    /// refused request, so that is safe.
    pub(crate) async fn send_renewing(
        &self,
        mut request: Box<Request<Bytes>>,
        credential: &UpstreamCredential,
    ) -> Result<Response<ResponseBody>> {
        let mut renewed: Option<Arc<UpstreamCredential>> = None;
        for _ in 0..RENEWALS {
            let refused = renewed.as_deref().unwrap_or(credential);
            let Some(renewal) = &refused.renewal else { break };
            let response = self.send_once(request.clone()).await?;
            let status = response.status();
            if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
                return Ok(response);
            }
            let refusal = CredentialRefusal::new(
                self.endpoint.url.clone(),
                status.as_u16(),
                challenges(response.headers()),
            );
            let Some(next) = renewal.renew(&refusal).await? else {
                return Ok(response);
            };
            self.replace(request.headers_mut(), refused, &next);
            renewed = Some(next);
        }
        self.send_once(request).await
    }

    /// Removes the refused credential.
    fn replace(&self, headers: &mut HeaderMap, refused: &UpstreamCredential, next: &UpstreamCredential) {
        for (name, _) in &refused.headers {
            match self.headers.said(name) {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        crate::credential_headers::credential(headers, self.endpoint.token.as_ref(), next);
    }
}

fn challenges(headers: &HeaderMap) -> Vec<Box<str>> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().take(CHALLENGES);
    values
        .filter_map(|value| value.to_str().ok())
        .filter(|value| value.len() <= CHALLENGE_BYTES)
        .map(Box::from)
        .collect()
}
