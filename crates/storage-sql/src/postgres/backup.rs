//! Everything out of a database at one moment, and into an empty one.

use async_trait::async_trait;
use portolan_core::Version;
use sqlx::{Postgres, Transaction};

use super::{Database, sealed, version};
use crate::{
    error::Result,
    rows::{
        BackupRows, Filling, ImportedRecord, RECORDS, RecordRow, SECRETS, SealAs, SealedRow, Snapshot, TOOL_SETS,
        ToolSetRow, WrappedWith,
    },
};

const BEGIN_SNAPSHOT: &str = include_str!("sql/begin_snapshot.sql");

struct Reading<'a> {
    database: &'a Database,
    tx: Transaction<'static, Postgres>,
}

struct Writing<'a> {
    database: &'a Database,
    tx: Transaction<'static, Postgres>,
}

#[async_trait]
impl BackupRows for Database {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        let tx = self.pool.begin_with(BEGIN_SNAPSHOT).await;
        let tx = tx.map_err(self.fault("begin a backup"))?;
        Ok(Box::new(Reading { database: self, tx }))
    }

    async fn fill(&self) -> Result<Box<dyn Filling + '_>> {
        let begin = async {
            let mut tx = self.write().await?;
            self.query(&self.sql.change_lock).execute(&mut *tx).await?;
            Ok(tx)
        };
        let tx = begin.await.map_err(self.fault("begin an import"))?;
        Ok(Box::new(Writing { database: self, tx }))
    }
}

type SecretColumns = (String, i64, Vec<u8>, Option<String>, Option<Vec<u8>>);

#[async_trait]
impl Snapshot for Reading<'_> {
    async fn tool_sets(&mut self, after: &[u8]) -> Result<Vec<ToolSetRow>> {
        let query = self.database.query_as(&self.database.sql.tool_set_list);
        let rows = query
            .bind(after.to_vec())
            .bind(TOOL_SETS)
            .fetch_all(&mut *self.tx)
            .await;
        rows.map_err(self.database.fault("read tool sets"))
    }

    async fn records(&mut self, kind: &str, after: &str) -> Result<Vec<RecordRow>> {
        let rows = self.database.page_in(&mut self.tx, kind, after, RECORDS).await;
        rows.map_err(self.database.fault("read records"))
    }

    async fn secrets(&mut self, after: &str) -> Result<Vec<(String, Version, SealedRow)>> {
        let query = self.database.query_as(&self.database.sql.secret_list);
        let rows: sqlx::Result<Vec<SecretColumns>> = query
            .bind(after.to_owned())
            .bind(SECRETS)
            .fetch_all(&mut *self.tx)
            .await;
        let read = |(key, number, text, key_id, data_key)| Ok((key, version(number)?, sealed(text, key_id, data_key)));
        let rows = rows.and_then(|rows| rows.into_iter().map(read).collect());
        rows.map_err(self.database.fault("read secrets"))
    }
}

#[async_trait]
impl Filling for Writing<'_> {
    async fn is_empty(&mut self) -> Result<bool> {
        let query = self.database.query_scalar(&self.database.sql.record_none);
        let none = query.fetch_one(&mut *self.tx).await;
        none.map_err(self.database.fault("look for records"))
    }

    async fn tool_set(&mut self, digest: &[u8], body: &str) -> Result<()> {
        let add = self.database.query(&self.database.sql.tool_set_add);
        let add = add.bind(digest.to_vec()).bind(body.to_owned());
        let added = add.execute(&mut *self.tx).await;
        added.map(drop).map_err(self.database.fault("import a tool set"))
    }

    async fn record(&mut self, record: &ImportedRecord<'_>) -> Result<()> {
        let put = self.database.query(&self.database.sql.record_put);
        let put = put
            .bind(record.kind.to_owned())
            .bind(record.name.to_owned())
            .bind(record.body.to_owned());
        // Without a condition, of no version.
        let put = put
            .bind(0_i32)
            .bind(0_i64)
            .bind(record.tools.map(<[u8]>::to_vec))
            .bind(record.server.map(str::to_owned))
            .bind(record.owner.map(str::to_owned));
        let put = put.execute(&mut *self.tx).await;
        put.map(drop).map_err(self.database.fault("import a record"))
    }

    async fn secret(&mut self, key: &str, with: WrappedWith<'_>, seal: SealAs<'_>) -> Result<()> {
        let put = async {
            let number = self.database.next_version(&mut self.tx).await?;
            let sealed = seal(version(number)?).map_err(sqlx::Error::Encode)?;
            self.database.write_probe(&mut self.tx, with.probe).await?;
            let put = self.database.query(&self.database.sql.secret_put);
            let put = put.bind(key.to_owned()).bind(number).bind(sealed);
            let put = put
                .bind(with.wrapped.key_id.clone())
                .bind(with.wrapped.data_key.clone());
            put.execute(&mut *self.tx).await.map(drop)
        };
        put.await.map_err(self.database.fault("import a secret"))
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.tx.commit().await.map_err(self.database.fault("end an import"))
    }
}
