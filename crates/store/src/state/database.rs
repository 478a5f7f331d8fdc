//! The SQLite file: how it is opened, and the steps that bring an older one up to date.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlStr, SqliteConnection};

use crate::error::StoreError;

/// Opens the database, which is made if it is not there, and brings its schema up to date.
pub(super) async fn open(path: &Path) -> Result<SqliteConnection, StoreError> {
    make_private(path).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // Durable means durable: every commit is synced, not only every checkpoint.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        // Deleted login codes and tokens do not linger in free pages.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
        .connect()
        .await?;
    Migrator::with_migrations(migrations())
        .run_direct(None, &mut connection, false)
        .await
        .map_err(StoreError::Schema)?;
    Ok(connection)
}

/// A step is never changed once it was released; the next change is a further step.
fn migrations() -> Vec<Migration> {
    let step = |number, name: &'static str, sql| {
        let sql = SqlStr::from_static(sql);
        Migration::new(number, name.into(), MigrationType::Simple, sql, false)
    };
    vec![
        step(1, "state", include_str!("../../migrations/0001_state.sql")),
        step(
            2,
            "access",
            include_str!("../../migrations/0002_access.sql"),
        ),
        step(
            3,
            "imports",
            include_str!("../../migrations/0003_imports.sql"),
        ),
    ]
}

/// SQLite gives the files beside the database the mode of the database itself.
fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}
