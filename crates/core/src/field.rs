//! Fields: the values that servers need.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, FieldKey, Result};

/// A value that a server needs, asked for at install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// The key, unique among the fields of the server.
    pub key: FieldKey,
    /// The title in forms.
    #[serde(default)]
    pub title: Option<String>,
    /// The description in forms.
    #[serde(default)]
    pub description: Option<String>,
    /// The kind of text. Default: any.
    #[serde(default)]
    pub kind: FieldKind,
    /// `true` if an install needs it. Default: no.
    #[serde(default)]
    pub required: bool,
    /// `true` for a secret: stored in the credential store, never in the registry. Default: no.
    #[serde(default)]
    pub secret: bool,
    /// The value without an answer. Secrets have none.
    #[serde(default)]
    pub default: Option<String>,
    /// The way to the server.
    pub delivery: Delivery,
}

/// The kind of text in a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldKind {
    /// Any text.
    #[default]
    Text,
    /// A decimal number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An absolute URL.
    Url,
}

/// The way of a field's value to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// An environment variable, set at start.
    Env {
        /// The name.
        name: String,
    },
    /// A file that only the server can read, written at start: `/secrets/<name>` in a pod.
    File {
        /// The name, without directories.
        name: String,
    },
    /// The placeholder `${user_config.<key>}` in arguments. Not for secrets: process lists show arguments.
    Argument,
    /// A header of every request, for servers that are reached by HTTP.
    Header {
        /// The name.
        name: String,
        /// The text before the value, such as `Bearer `.
        prefix: String,
    },
}

impl Field {
    /// Creates a required secret that is the environment variable `name`.
    ///
    /// ```
    /// let field = portolan_core::Field::secret_env("api_key", "API_KEY")?;
    /// assert!(field.secret && field.required);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a key that is no [`FieldKey`].
    pub fn secret_env(key: impl AsRef<str>, name: impl Into<String>) -> Result<Self> {
        let mut field = Self::new(FieldKey::parse(key)?, Delivery::Env { name: name.into() });
        (field.secret, field.required) = (true, true);
        Ok(field)
    }

    /// Creates a required secret that is the header `Authorization: Bearer …`.
    ///
    /// ```
    /// let field = portolan_core::Field::bearer("token")?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a key that is no [`FieldKey`].
    pub fn bearer(key: impl AsRef<str>) -> Result<Self> {
        let delivery = Delivery::Header {
            name: "Authorization".into(),
            prefix: "Bearer ".into(),
        };
        let mut field = Self::new(FieldKey::parse(key)?, delivery);
        (field.secret, field.required) = (true, true);
        Ok(field)
    }

    /// Creates an optional text.
    ///
    /// ```
    /// use portolan_core::{Delivery, Field, FieldKey};
    ///
    /// let region = Field::new(FieldKey::parse("region")?, Delivery::Env { name: "REGION".into() });
    /// assert!(!region.required);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(key: FieldKey, delivery: Delivery) -> Self {
        Self {
            key,
            title: None,
            description: None,
            kind: FieldKind::default(),
            required: false,
            secret: false,
            default: None,
            delivery,
        }
    }

    /// Checks an answer to this field.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for text that is not of the field's kind, or has a NUL.
    pub fn check_answer(&self, text: &str) -> Result<()> {
        let fits = match self.kind {
            FieldKind::Text => true,
            FieldKind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            FieldKind::Boolean => matches!(text, "true" | "false"),
            FieldKind::Url => Url::parse(text).is_ok(),
        };
        if text.contains('\0') || !fits {
            let wanted = match self.kind {
                FieldKind::Text => "text without NUL",
                FieldKind::Number => "a number",
                FieldKind::Boolean => "true or false",
                FieldKind::Url => "an absolute URL",
            };
            return Err(Error::invalid(self.key.as_str(), format!("needs {wanted}")));
        }
        Ok(())
    }
}
