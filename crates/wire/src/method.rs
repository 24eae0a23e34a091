//! The methods of MCP.

use std::fmt;

/// The method of a request or a notification.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `initialize`, legacy.
    Initialize,
    /// `ping`, legacy.
    Ping,
    /// `server/discover`, modern.
    Discover,
    /// `tools/list`
    ToolsList,
    /// `tools/call`
    ToolsCall,
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourceTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `resources/subscribe`, legacy.
    ResourcesSubscribe,
    /// `resources/unsubscribe`, legacy.
    ResourcesUnsubscribe,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    Complete,
    /// `logging/setLevel`, legacy.
    SetLevel,
    /// `subscriptions/listen`, modern.
    Listen,
    /// `tasks/get`, the Tasks extension (SEP-2663).
    TasksGet,
    /// `tasks/update`, the Tasks extension.
    TasksUpdate,
    /// `tasks/cancel`, the Tasks extension.
    TasksCancel,
    /// `tasks/result`, 2025-11-25 only.
    TasksResult,
    /// `tasks/list`, 2025-11-25 only.
    TasksList,
    /// `sampling/createMessage`, from a server.
    CreateMessage,
    /// `roots/list`, from a server.
    RootsList,
    /// `elicitation/create`, from a server.
    Elicit,
    /// `notifications/initialized`, legacy.
    Initialized,
    /// `notifications/cancelled`
    Cancelled,
    /// `notifications/progress`
    Progress,
    /// `notifications/message`
    LogMessage,
    /// `notifications/tools/list_changed`
    ToolsListChanged,
    /// `notifications/resources/list_changed`
    ResourcesListChanged,
    /// `notifications/prompts/list_changed`
    PromptsListChanged,
    /// `notifications/resources/updated`
    ResourceUpdated,
    /// `notifications/roots/list_changed`, legacy.
    RootsListChanged,
    /// `notifications/elicitation/complete`, 2025-11-25 only.
    ElicitationComplete,
    /// `notifications/subscriptions/acknowledged`, modern.
    ListenAcknowledged,
    /// `notifications/tasks`, the Tasks extension.
    TaskChanged,
    /// `notifications/tasks/status`, 2025-11-25 only.
    TaskStatus,
    /// Any other method, by its name.
    Other(Box<str>),
}

impl Method {
    /// Returns the method with this name; [`Method::Other`] if it is unknown.
    pub fn parse(name: &str) -> Self {
        match name {
            "initialize" => Self::Initialize,
            "ping" => Self::Ping,
            "server/discover" => Self::Discover,
            "tools/list" => Self::ToolsList,
            "tools/call" => Self::ToolsCall,
            "resources/list" => Self::ResourcesList,
            "resources/templates/list" => Self::ResourceTemplatesList,
            "resources/read" => Self::ResourcesRead,
            "resources/subscribe" => Self::ResourcesSubscribe,
            "resources/unsubscribe" => Self::ResourcesUnsubscribe,
            "prompts/list" => Self::PromptsList,
            "prompts/get" => Self::PromptsGet,
            "completion/complete" => Self::Complete,
            "logging/setLevel" => Self::SetLevel,
            "subscriptions/listen" => Self::Listen,
            "tasks/get" => Self::TasksGet,
            "tasks/update" => Self::TasksUpdate,
            "tasks/cancel" => Self::TasksCancel,
            "tasks/result" => Self::TasksResult,
            "tasks/list" => Self::TasksList,
            "sampling/createMessage" => Self::CreateMessage,
            "roots/list" => Self::RootsList,
            "elicitation/create" => Self::Elicit,
            "notifications/initialized" => Self::Initialized,
            "notifications/cancelled" => Self::Cancelled,
            "notifications/progress" => Self::Progress,
            "notifications/message" => Self::LogMessage,
            "notifications/tools/list_changed" => Self::ToolsListChanged,
            "notifications/resources/list_changed" => Self::ResourcesListChanged,
            "notifications/prompts/list_changed" => Self::PromptsListChanged,
            "notifications/resources/updated" => Self::ResourceUpdated,
            "notifications/roots/list_changed" => Self::RootsListChanged,
            "notifications/elicitation/complete" => Self::ElicitationComplete,
            "notifications/subscriptions/acknowledged" => Self::ListenAcknowledged,
            "notifications/tasks" => Self::TaskChanged,
            "notifications/tasks/status" => Self::TaskStatus,
            _ => Self::Other(name.into()),
        }
    }

    /// Returns the name, as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::Discover => "server/discover",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::ResourcesList => "resources/list",
            Self::ResourceTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::ResourcesSubscribe => "resources/subscribe",
            Self::ResourcesUnsubscribe => "resources/unsubscribe",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::Complete => "completion/complete",
            Self::SetLevel => "logging/setLevel",
            Self::Listen => "subscriptions/listen",
            Self::TasksGet => "tasks/get",
            Self::TasksUpdate => "tasks/update",
            Self::TasksCancel => "tasks/cancel",
            Self::TasksResult => "tasks/result",
            Self::TasksList => "tasks/list",
            Self::CreateMessage => "sampling/createMessage",
            Self::RootsList => "roots/list",
            Self::Elicit => "elicitation/create",
            Self::Initialized => "notifications/initialized",
            Self::Cancelled => "notifications/cancelled",
            Self::Progress => "notifications/progress",
            Self::LogMessage => "notifications/message",
            Self::ToolsListChanged => "notifications/tools/list_changed",
            Self::ResourcesListChanged => "notifications/resources/list_changed",
            Self::PromptsListChanged => "notifications/prompts/list_changed",
            Self::ResourceUpdated => "notifications/resources/updated",
            Self::RootsListChanged => "notifications/roots/list_changed",
            Self::ElicitationComplete => "notifications/elicitation/complete",
            Self::ListenAcknowledged => "notifications/subscriptions/acknowledged",
            Self::TaskChanged => "notifications/tasks",
            Self::TaskStatus => "notifications/tasks/status",
            Self::Other(name) => name,
        }
    }

    /// Returns true if 2026-07-28 removed this method: modern clients get 404 and -32601 for it.
    pub fn is_removed(&self) -> bool {
        matches!(
            self,
            Self::Initialize
                | Self::Ping
                | Self::ResourcesSubscribe
                | Self::ResourcesUnsubscribe
                | Self::SetLevel
                | Self::TasksResult
                | Self::TasksList
        )
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        Self::parse(name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_reads_back() {
        for name in [
            "initialize",
            "ping",
            "server/discover",
            "tools/list",
            "tools/call",
            "resources/list",
            "resources/templates/list",
            "resources/read",
            "resources/subscribe",
            "resources/unsubscribe",
            "prompts/list",
            "prompts/get",
            "completion/complete",
            "logging/setLevel",
            "subscriptions/listen",
            "tasks/get",
            "tasks/update",
            "tasks/cancel",
            "tasks/result",
            "tasks/list",
            "sampling/createMessage",
            "roots/list",
            "elicitation/create",
            "notifications/initialized",
            "notifications/cancelled",
            "notifications/progress",
            "notifications/message",
            "notifications/tools/list_changed",
            "notifications/resources/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/updated",
            "notifications/roots/list_changed",
            "notifications/elicitation/complete",
            "notifications/subscriptions/acknowledged",
            "notifications/tasks",
            "notifications/tasks/status",
        ] {
            let method = Method::parse(name);
            assert!(!matches!(method, Method::Other(_)), "{name}");
            assert_eq!(method.as_str(), name);
        }
    }

    #[test]
    fn an_unknown_name_is_kept() {
        assert_eq!(Method::parse("x/y").as_str(), "x/y");
    }
}
