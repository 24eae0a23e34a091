//! `x-mcp-header`: the arguments of a tool that are repeated in headers (SEP-2243).

use bytes::Bytes;
use http::HeaderName;
use serde_json::{Map, Value};

use super::PARAM_PREFIX;

const ANNOTATION: &str = "x-mcp-header";

/// Schemas nested deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// One argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The whole header name, `mcp-param-…`.
    pub name: HeaderName,
    /// The keys that lead from the arguments to the value.
    pub path: Box<[Box<str>]>,
}

/// Why a tool's annotations are invalid. An HTTP client has to drop such a tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// The schema is not a JSON object.
    #[error("the input schema is not a JSON object")]
    Schema,
    /// The schema is nested too deep.
    #[error("the input schema is nested too deep")]
    TooDeep,
    /// The annotation is no token of RFC 9110, or empty.
    #[error("x-mcp-header {0:?} is not a header name")]
    Name(Box<str>),
    /// Two annotations are equal, apart from case.
    #[error("x-mcp-header {0:?} occurs twice")]
    Duplicate(Box<str>),
    /// The annotated property is not an integer, string or boolean.
    #[error("x-mcp-header {0:?} is not on an integer, string or boolean")]
    Type(Box<str>),
    /// The annotation is not on a property reached from the root through `properties` alone.
    #[error("an x-mcp-header is not reached through properties alone")]
    Unreachable,
}

/// Finds the annotations in a tool's raw input schema, and checks all of them.
///
/// # Errors
///
/// [`AnnotationError`] for an invalid annotation, or a schema that cannot be searched.
pub fn param_headers(schema: &Bytes) -> Result<Vec<ParamHeader>, AnnotationError> {
    // Most schemas have none, and parsing them is dear. Any escape may spell the keyword.
    let plain = memchr::memmem::find(schema, ANNOTATION.as_bytes()).is_none();
    if plain && memchr::memmem::find(schema, br"\u").is_none() {
        return Ok(Vec::new());
    }
    let Ok(Value::Object(root)) = serde_json::from_slice(schema) else {
        return Err(AnnotationError::Schema);
    };
    let mut walk = Walk::default();
    walk.schema(&root, true, 0)?;
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    path: Vec<Box<str>>,
    found: Vec<ParamHeader>,
}

impl Walk {
    fn schema(&mut self, schema: &Map<String, Value>, reachable: bool, depth: usize) -> Result<(), AnnotationError> {
        if depth > MAX_DEPTH {
            return Err(AnnotationError::TooDeep);
        }
        if let Some(annotation) = schema.get(ANNOTATION) {
            if !reachable || self.path.is_empty() {
                return Err(AnnotationError::Unreachable);
            }
            self.take(annotation, schema.get("type"))?;
        }
        for (keyword, value) in schema {
            match keyword.as_str() {
                "properties" => self.map(value, reachable, depth)?,
                "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                    self.map(value, false, depth)?;
                }
                // Data, not schemas: whatever looks like an annotation there is none.
                "const" | "default" | "enum" | "examples" | "required" => {}
                _ => self.nested(value, depth)?,
            }
        }
        Ok(())
    }

    /// Schemas under freely chosen names.
    fn map(&mut self, value: &Value, reachable: bool, depth: usize) -> Result<(), AnnotationError> {
        let Value::Object(schemas) = value else {
            return Ok(());
        };
        for (name, schema) in schemas {
            if let Value::Object(schema) = schema {
                self.path.push(name.as_str().into());
                self.schema(schema, reachable, depth + 1)?;
                self.path.pop();
            }
        }
        Ok(())
    }

    /// The value of any other keyword: a schema, a list of schemas, or neither.
    fn nested(&mut self, value: &Value, depth: usize) -> Result<(), AnnotationError> {
        match value {
            Value::Object(schema) => self.schema(schema, false, depth + 1),
            Value::Array(schemas) => schemas.iter().try_for_each(|schema| match schema {
                Value::Object(schema) => self.schema(schema, false, depth + 1),
                _ => Ok(()),
            }),
            _ => Ok(()),
        }
    }

    fn take(&mut self, annotation: &Value, kind: Option<&Value>) -> Result<(), AnnotationError> {
        let text = match annotation {
            Value::String(text) => text.as_str(),
            _ => return Err(AnnotationError::Name(annotation.to_string().into())),
        };
        let name = HeaderName::try_from(format!("{PARAM_PREFIX}{text}"));
        let Some(name) = name.ok().filter(|_| !text.is_empty()) else {
            return Err(AnnotationError::Name(text.into()));
        };
        if !matches!(kind.and_then(Value::as_str), Some("integer" | "string" | "boolean")) {
            return Err(AnnotationError::Type(text.into()));
        }
        if self.found.iter().any(|other| other.name == name) {
            return Err(AnnotationError::Duplicate(text.into()));
        }
        self.found.push(ParamHeader {
            name,
            path: self.path.as_slice().into(),
        });
        Ok(())
    }
}
