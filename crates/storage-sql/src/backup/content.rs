//! The entries of a backup file, each a JSON object with one member that names its kind.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the entries. A release reads its own and all older ones.
pub(super) const VERSION: u32 = 1;

/// An entry, in this order: the head, tool sets, records, secrets, the end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry<'a> {
    Head {
        version: u32,
        /// When it was exported, in RFC 3339.
        exported: String,
    },
    ToolSet {
        digest: String,
        #[serde(borrow)]
        tools: Cow<'a, RawValue>,
    },
    #[serde(borrow)]
    Record(Box<RecordEntry<'a>>),
    Secret {
        #[serde(borrow)]
        key: Cow<'a, str>,
        #[serde(borrow)]
        value: Cow<'a, str>,
    },
    End(BackupSummary),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordEntry<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    /// The record without its tools, as it is stored.
    #[serde(borrow)]
    pub(super) body: Cow<'a, RawValue>,
    /// The digest of its tool set, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tools: Option<String>,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackupSummary {
    /// Lists of tools; installs with equal lists share one.
    pub tool_sets: u64,
    /// Servers, installs, gateways and token grants.
    pub records: u64,
    /// Secrets.
    pub secrets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn comes_back(entry: &Entry<'_>) {
        let text = serde_json::to_vec(entry).expect("JSON");
        let again: Entry<'_> = serde_json::from_slice(&text).expect("an entry");
        assert_eq!(format!("{again:?}"), format!("{entry:?}"));
    }

    #[test]
    fn entries_come_back() {
        let raw = RawValue::from_string("{\"b\":1,\n\"a\":[1.0]}".into()).expect("JSON");
        let tools = Cow::Borrowed(&*raw);
        comes_back(&Entry::Head {
            version: VERSION,
            exported: "2026-01-01T00:00:00Z".into(),
        });
        comes_back(&Entry::ToolSet {
            digest: hex::encode(&[0, 255]),
            tools: tools.clone(),
        });
        comes_back(&Entry::Record(Box::new(RecordEntry {
            kind: "server".into(),
            name: "a".into(),
            body: tools,
            tools: Some(hex::encode(&[7])),
        })));
        comes_back(&Entry::Secret {
            key: "a/b".into(),
            value: "\"\n".into(),
        });
        comes_back(&Entry::End(BackupSummary::default()));
    }
}
