//! List cursors: sealed, and valid for one list of one gateway.

use std::sync::Arc;

use bytes::Bytes;
use portolan_client::failure;
use portolan_core::GatewayName;
use portolan_wire::{error::ErrorObject, method::Method, object};

use crate::seal::{Purpose, TokenKeys};

/// Seals and opens cursors.
#[derive(Clone, Debug)]
pub(crate) struct Cursors {
    keys: Arc<TokenKeys>,
}

impl Cursors {
    pub(crate) fn new(keys: Arc<TokenKeys>) -> Self {
        Self { keys }
    }

    /// Seals a cursor after the item `name`. It contains the name and not a position, so it stays valid when items are
    /// added or removed.
    pub(crate) fn seal(&self, gateway: &GatewayName, method: &Method, name: &str) -> Result<String, ErrorObject> {
        let payload = format!("{gateway}\n{method}\n{name}");
        let sealed = self.keys.seal(Purpose::Cursor, payload.as_bytes());
        sealed.map_err(|error| failure::error_object(&error))
    }

    /// Opens a cursor, given as raw JSON: returns the name of the item before the next page.
    pub(crate) fn open(&self, gateway: &GatewayName, method: &Method, raw: &Bytes) -> Result<String, ErrorObject> {
        let payload = object::text(raw).and_then(|cursor| self.keys.open(Purpose::Cursor, &cursor));
        let payload = payload.and_then(|payload| String::from_utf8(payload).ok());
        let name = payload.as_deref().and_then(|payload| {
            let (of, rest) = payload.split_once('\n')?;
            let (listed, name) = rest.split_once('\n')?;
            (of == gateway.as_str() && listed == method.as_str()).then(|| name.to_owned())
        });
        name.ok_or_else(|| {
            ErrorObject::invalid_params("the cursor is invalid for this list; request the first page again")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_bound_to_list_and_gateway() {
        let cursors = Cursors::new(Arc::new(TokenKeys::random().expect("keys")));
        let gateway = |name| GatewayName::parse(name).expect("a name");
        let sealed = cursors
            .seal(&gateway("a"), &Method::ToolsList, "x\ny")
            .expect("a cursor");
        let raw = object::quote(&sealed);
        let opened = cursors.open(&gateway("a"), &Method::ToolsList, &raw);
        assert_eq!(opened.expect("opened"), "x\ny");
        assert!(cursors.open(&gateway("b"), &Method::ToolsList, &raw).is_err());
        assert!(cursors.open(&gateway("a"), &Method::PromptsList, &raw).is_err());
        assert!(
            cursors
                .open(&gateway("a"), &Method::ToolsList, &Bytes::from_static(b"\"x\""))
                .is_err()
        );
    }
}
