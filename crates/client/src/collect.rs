//! Reads a body whole, within a limit.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

/// Why a body could not be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The body is larger than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// The connection broke off before the end.
    #[error("the body broke off")]
    Broken,
}

/// Collects a body of at most `limit` bytes. A body that arrives in one piece is not copied.
///
/// # Errors
///
/// [`CollectError::TooLarge`] past the limit, [`CollectError::Broken`] when the body fails.
pub async fn body<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| CollectError::Broken)?.into_data() else {
            continue;
        };
        if first.len().max(rest.len()) + data.len() > limit {
            return Err(CollectError::TooLarge);
        }
        if rest.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve((first.len() + data.len()).max(16 * 1024));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// A media type without its parameters.
pub fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}
