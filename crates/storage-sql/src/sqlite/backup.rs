//! Everything out of a database at one moment, and into an empty one.

use async_trait::async_trait;
use portolan_core::Version;
use sqlx::{Sqlite, Transaction};

use super::{Database, keys::write_probe, next_number, records, secrets, sql, version};
use crate::{
    error::Result,
    rows::{
        BackupRows, Filling, ImportedRecord, RECORDS, RecordRow, SECRETS, SealAs, SealedRow, Snapshot, TOOL_SETS,
        ToolSetRow, WrappedWith,
    },
};

struct Reading<'a> {
    database: &'a Database,
    tx: Transaction<'static, Sqlite>,
}

struct Writing<'a> {
    database: &'a Database,
    tx: Transaction<'static, Sqlite>,
}

#[async_trait]
impl BackupRows for Database {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        // The first statement takes the state of the database that all later ones see.
        let tx = self.readers.begin().await.map_err(self.fault("begin a backup"))?;
        Ok(Box::new(Reading { database: self, tx }))
    }

    async fn fill(&self) -> Result<Box<dyn Filling + '_>> {
        let tx = self.write().await.map_err(self.fault("begin an import"))?;
        Ok(Box::new(Writing { database: self, tx }))
    }
}

#[async_trait]
impl Snapshot for Reading<'_> {
    async fn tool_sets(&mut self, after: &[u8]) -> Result<Vec<ToolSetRow>> {
        let query = sqlx::query_as(sql!("tool_set_list")).bind(after).bind(TOOL_SETS);
        let rows = query.fetch_all(&mut *self.tx).await;
        rows.map_err(self.database.fault("read tool sets"))
    }

    async fn records(&mut self, kind: &str, after: &str) -> Result<Vec<RecordRow>> {
        let limit = i64::try_from(RECORDS).unwrap_or(i64::MAX);
        let query = sqlx::query_as(sql!("record_list")).bind(kind).bind(after).bind(limit);
        let rows = records::page(query, &mut *self.tx).await;
        rows.map_err(self.database.fault("read records"))
    }

    async fn secrets(&mut self, after: &str) -> Result<Vec<(String, Version, SealedRow)>> {
        let query = sqlx::query_as(sql!("secret_list")).bind(after).bind(SECRETS);
        let rows: sqlx::Result<Vec<_>> = query.fetch_all(&mut *self.tx).await;
        let rows = rows.and_then(|rows| rows.into_iter().map(secrets::listed).collect());
        rows.map_err(self.database.fault("read secrets"))
    }
}

#[async_trait]
impl Filling for Writing<'_> {
    async fn is_empty(&mut self) -> Result<bool> {
        let query = sqlx::query_scalar(sql!("record_none")).fetch_one(&mut *self.tx);
        query.await.map_err(self.database.fault("look for records"))
    }

    async fn tool_set(&mut self, digest: &[u8], body: &str) -> Result<()> {
        let add = sqlx::query(sql!("tool_set_add")).bind(digest).bind(body);
        let added = add.execute(&mut *self.tx).await;
        added.map(drop).map_err(self.database.fault("import a tool set"))
    }

    async fn record(&mut self, record: &ImportedRecord<'_>) -> Result<()> {
        let put = async {
            let revision = records::change(&mut self.tx, record.kind, record.name, false).await?;
            let put = sqlx::query(sql!("record_put"))
                .bind(record.kind)
                .bind(record.name)
                .bind(revision)
                .bind(record.body)
                .bind(record.tools)
                .bind(record.server)
                .bind(record.owner);
            put.execute(&mut *self.tx).await.map(drop)
        };
        put.await.map_err(self.database.fault("import a record"))
    }

    async fn secret(&mut self, key: &str, with: WrappedWith<'_>, seal: SealAs<'_>) -> Result<()> {
        let put = async {
            let number = next_number(&mut self.tx).await?;
            let sealed = seal(version(number)?).map_err(sqlx::Error::Encode)?;
            write_probe(&mut self.tx, with.probe).await?;
            let put = sqlx::query(sql!("secret_put"))
                .bind(key)
                .bind(number)
                .bind(sealed)
                .bind(&with.wrapped.key_id)
                .bind(&with.wrapped.data_key);
            put.execute(&mut *self.tx).await.map(drop)
        };
        put.await.map_err(self.database.fault("import a secret"))
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.tx.commit().await.map_err(self.database.fault("end an import"))
    }
}
