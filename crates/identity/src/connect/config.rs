//! How connect pages look and behave.

use std::time::Duration;

/// How connect pages look and behave.
///
/// ```
/// let config = portolan_identity::ConnectConfig::default().with_title("Acme tools").with_style("body{color:navy}");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectConfig {
    /// The title of all pages. Default: `Connections`.
    pub title: String,
    /// A style sheet in place of the built-in one. Default: none.
    pub style: Option<String>,
    /// How long a sign-in at a provider may take. Default: 10 minutes.
    pub sign_in_within: Duration,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        Self {
            title: "Connections".into(),
            style: None,
            sign_in_within: Duration::from_secs(600),
        }
    }
}

impl ConnectConfig {
    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets a style sheet.
    #[must_use]
    pub fn with_style(mut self, style: impl Into<String>) -> Self {
        self.style = Some(style.into());
        self
    }

    /// Sets how long a sign-in may take.
    #[must_use]
    pub fn with_sign_in_within(mut self, within: Duration) -> Self {
        self.sign_in_within = within;
        self
    }
}
