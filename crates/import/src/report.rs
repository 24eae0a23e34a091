//! The result form.

use serde::Serializer;
use serde_json::{Value, json};

use crate::{Error, Format, Import};

pub(crate) fn format<S: Serializer>(format: &Format, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(format.as_str())
}

/// Returns the result form of an import, or of its error. It holds no secret.
///
/// ```
/// use portolan_import::{Format, import, report};
///
/// let report = report(Format::Claude, &import(Format::Claude, "{"));
/// assert_eq!(report, serde_json::json!({"format": "claude", "error": "syntax:1"}));
/// ```
pub fn report(format: Format, result: &Result<Import, Error>) -> Value {
    match result {
        Ok(import) => serde_json::to_value(import).unwrap_or_else(|error| json!({"error": error.to_string()})),
        Err(error) => json!({"format": format.as_str(), "error": error.code()}),
    }
}
