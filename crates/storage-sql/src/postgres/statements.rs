//! The statements, made for the schema of a database.

use std::sync::Arc;

/// A statement whose names are qualified with the schema of its database.
pub(super) type Statement = Arc<str>;

/// Makes the struct of all statements from the files in `sql/`.
macro_rules! statements {
    ($($name:ident)*) => {
        /// All statements for one schema.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            pub(super) fn new(schema: &str) -> Self {
                Self {
                    $($name: qualify(include_str!(concat!("sql/", stringify!($name), ".sql")), schema),)*
                }
            }
        }
    };
}

statements! {
    audit_add audit_expire audit_list audit_list_by_caller audit_list_by_gateway audit_list_by_server audit_prepare
    change_forget change_head change_list change_lock
    fence_next install_list install_list_of lease_release lease_sweep lease_take
    message_add message_head message_list message_sweep
    one_time_get one_time_put one_time_sweep one_time_take
    probe_add probe_forget probe_forget_direct probe_list probe_lock
    record_get record_get_whole record_list record_none record_put record_remove record_version
    rewrap_one_time rewrap_one_time_list rewrap_secret rewrap_secret_list
    schema_add schema_begin schema_create schema_list schema_lock
    secret_add secret_get secret_keys secret_list secret_put secret_remove secret_replace
    session_add session_get session_put session_remove session_replace session_sweep
    tool_set_add tool_set_drop tool_set_known tool_set_list version_next
}

/// The schema that the files name.
const WRITTEN: &str = "portolan.";

/// Puts `schema` in place of the one that `sql` names: quoted as an identifier, as it is at the beginning of a text.
pub(super) fn qualify(sql: &str, schema: &str) -> Statement {
    let mut parts = sql.split(WRITTEN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match text.ends_with('\'') {
            true => text.push_str(&format!("{schema}.")),
            false => text.push_str(&format!("\"{schema}\".")),
        }
        text.push_str(part);
    }
    // `CREATE SCHEMA portolan;` names it without a dot.
    text.replace("SCHEMA portolan;", &format!("SCHEMA \"{schema}\";"))
        .into()
}

/// The channel on which a store hears of news in `schema`.
pub(super) fn channel(schema: &str) -> String {
    format!("{schema}.news")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_qualified() {
        let sql = "SELECT pg_notify('portolan.news', '') FROM portolan.records, portolan.changes;";
        let wanted = "SELECT pg_notify('own.news', '') FROM \"own\".records, \"own\".changes;";
        assert_eq!(&*qualify(sql, "own"), wanted);
        assert_eq!(&*qualify("CREATE SCHEMA portolan;", "own"), "CREATE SCHEMA \"own\";");
    }
}
