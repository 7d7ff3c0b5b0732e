//! Connecting: which database a URL names, what its connections are told, and its tables.

use std::{path::PathBuf, str::FromStr, sync::Mutex, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{MigrateError, Migrator},
};
use url::Url;
use uuid::Uuid;

use crate::secret::Secret;

/// From asking to the first connection, at start.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Waiting for a free connection, in service.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Which database, and how many connections to it.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `sqlite::memory:`, `sqlite://path` or `postgres://…`.
    pub url: Secret,
    /// Connections that the pool may open; a database in memory has one.
    pub max_connections: u32,
    /// Connections that the pool keeps open.
    pub min_connections: u32,
    /// TLS to PostgreSQL; overrides `sslmode` in the URL.
    pub ssl_mode: Option<SslMode>,
}

/// TLS to PostgreSQL, under libpq's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only where the server wants it.
    Allow,
    /// Where the server can.
    Prefer,
    /// Always, with any certificate.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

/// Why there is no database. No message holds the URL's password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is not one of ours.
    #[error(
        "DATABASE_URL: {reason}; use sqlite::memory:, sqlite://path/to/file.db or postgres://user:password@host/database"
    )]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The database cannot be reached or opened.
    #[error("cannot connect to the database {database}: {reason}")]
    Connect {
        /// The URL without credentials.
        database: String,
        /// What the driver says. It is no source: it says what its own source says.
        reason: sqlx::Error,
    },
    /// The database did not answer in time.
    #[error("cannot connect to the database {database}: no answer within {CONNECT_LIMIT:?}")]
    Unanswered {
        /// The URL without credentials.
        database: String,
    },
    /// The tables cannot be created or brought up to date.
    #[error("cannot bring the tables of the database {database} up to date: {reason}")]
    Migrate {
        /// The URL without credentials.
        database: String,
        /// What the migration says.
        reason: MigrateError,
    },
}

/// A database with its tables in place.
#[derive(Debug)]
pub(crate) struct Database {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    /// Keeps a database in memory alive. The pool closes a connection whose user was dropped at the wrong moment, as a
    /// request is when its client goes away, and the last connection to close takes such a database with it.
    _anchor: Option<Mutex<AnyConnection>>,
}

/// What differs between the databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    SqliteMemory,
    SqliteFile,
    Postgres,
}

/// A checked URL.
struct Target {
    url: Url,
    dialect: Dialect,
    /// The URL as it may be shown.
    shown: String,
}

/// Connects, within a limit of time, and brings the tables up to date.
pub(crate) async fn connect(config: &DatabaseConfig) -> Result<Database, DatabaseError> {
    sqlx::any::install_default_drivers();
    let target = Target::parse(config)?;
    let options = AnyConnectOptions::from_str(target.url.as_str()).map_err(|error| target.failed(error))?;
    let anchor = tokio::time::timeout(CONNECT_LIMIT, prepare(&options, target.dialect))
        .await
        .map_err(|_| DatabaseError::Unanswered { database: target.shown.clone() })?
        .map_err(|error| target.failed(error))?;
    let pool = target.pool_options(config).connect_with(options).await.map_err(|error| target.failed(error))?;
    let migrated = MIGRATIONS.run(&pool).await;
    migrated.map_err(|reason| DatabaseError::Migrate { database: target.shown.clone(), reason })?;
    Ok(Database { pool, dialect: target.dialect, _anchor: anchor.map(Mutex::new) })
}

/// Makes one connection ahead of the pool: a pool tries again until its limit, and then knows no longer why.
async fn prepare(options: &AnyConnectOptions, dialect: Dialect) -> Result<Option<AnyConnection>, sqlx::Error> {
    let mut connection = AnyConnection::connect_with(options).await?;
    match dialect {
        Dialect::SqliteMemory => return Ok(Some(connection)),
        Dialect::SqliteFile => {
            // Readers go on while one writes. The file remembers it.
            connection.execute("PRAGMA journal_mode = WAL").await?;
        }
        Dialect::Postgres => {}
    }
    connection.close().await?;
    Ok(None)
}

// === impl DatabaseConfig ===

impl DatabaseConfig {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// When the URL names no database of a kind that is known.
    pub fn check(&self) -> Result<(), DatabaseError> {
        Target::parse(self).map(|_| ())
    }

    /// Whether the database ends with the process.
    pub fn is_in_memory(&self) -> bool {
        Target::parse(self).is_ok_and(|target| target.dialect == Dialect::SqliteMemory)
    }
}

// === impl SslMode ===

impl SslMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

// === impl Dialect ===

impl Dialect {
    /// How a transaction begins. SQLite's would else begin as a reader, and two that turn writer fail instead of waiting.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::SqliteMemory | Self::SqliteFile => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// What each connection is told first: to wait for a lock, and not forever.
    fn settings(self) -> &'static str {
        match self {
            Self::SqliteMemory | Self::SqliteFile => "PRAGMA busy_timeout = 5000",
            Self::Postgres => "SET statement_timeout = '8s'",
        }
    }
}

// === impl Target ===

impl Target {
    fn parse(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let refuse = |reason: String| DatabaseError::Url { reason };
        let mut url = Url::parse(config.url.expose()).map_err(|error| refuse(error.to_string()))?;
        let dialect = match url.scheme() {
            "postgres" | "postgresql" => Dialect::Postgres,
            "sqlite" if is_in_memory(&url) => Dialect::SqliteMemory,
            "sqlite" => Dialect::SqliteFile,
            other => return Err(refuse(format!("unknown kind of database `{other}`"))),
        };
        let shown = show(&url);
        if dialect == Dialect::SqliteMemory {
            // A name lets connections share the database; a new one shares it with no other in the process.
            let name = Uuid::new_v4();
            url = Url::parse(&format!("sqlite:file:{name}?mode=memory&cache=shared"))
                .map_err(|error| refuse(error.to_string()))?;
        }
        if dialect == Dialect::SqliteFile {
            if sqlite_path(&url).as_os_str().is_empty() {
                return Err(refuse("it names no file".to_owned()));
            }
            if !url.query_pairs().any(|(name, _)| name == "mode") {
                url.query_pairs_mut().append_pair("mode", "rwc");
            }
        }
        if let (Dialect::Postgres, Some(mode)) = (dialect, config.ssl_mode) {
            let others: Vec<_> = url
                .query_pairs()
                .filter(|(name, _)| name != "sslmode")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(others).append_pair("sslmode", mode.as_str());
        }
        Ok(Self { url, dialect, shown })
    }

    fn pool_options(&self, config: &DatabaseConfig) -> AnyPoolOptions {
        let settings = self.dialect.settings();
        let options = AnyPoolOptions::new().acquire_timeout(ACQUIRE_LIMIT).after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(settings).await.map(|_| ()) })
        });
        match self.dialect {
            // Connections that share a cache lock each other out by the table, and do not wait.
            Dialect::SqliteMemory => {
                options.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None)
            }
            Dialect::SqliteFile | Dialect::Postgres => {
                options.max_connections(config.max_connections).min_connections(config.min_connections)
            }
        }
    }

    fn failed(&self, reason: sqlx::Error) -> DatabaseError {
        DatabaseError::Connect { database: self.shown.clone(), reason }
    }
}

fn is_in_memory(url: &Url) -> bool {
    sqlite_path(url).as_os_str() == ":memory:"
        || url.query_pairs().any(|(name, value)| name == "mode" && value == "memory")
}

fn sqlite_path(url: &Url) -> PathBuf {
    let path = url.as_str().trim_start_matches("sqlite:").trim_start_matches("//");
    PathBuf::from(path.split('?').next().unwrap_or_default())
}

/// The URL without credentials and parameters.
fn show(url: &Url) -> String {
    match url.host_str() {
        Some(host) if url.scheme().starts_with("postgres") => {
            format!("postgres://{host}:{}{}", url.port().unwrap_or(5432), url.path())
        }
        _ => url.as_str().split('?').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseConfig, Dialect, SslMode, Target};

    fn target(url: &str, ssl_mode: Option<SslMode>) -> Result<(Dialect, String, String), String> {
        let config = DatabaseConfig { url: url.into(), max_connections: 10, min_connections: 2, ssl_mode };
        let target = Target::parse(&config).map_err(|error| error.to_string())?;
        Ok((target.dialect, target.url.to_string(), target.shown))
    }

    #[test]
    fn a_url_names_its_database_and_what_is_shown_of_it_holds_no_password() {
        let check = |url: &str, expected: (Dialect, &str, &str)| {
            let (dialect, url, shown) = target(url, None).unwrap();
            assert_eq!((dialect, url.as_str(), shown.as_str()), expected);
        };
        check("sqlite:tickets.db", (Dialect::SqliteFile, "sqlite:tickets.db?mode=rwc", "sqlite:tickets.db"));
        check("sqlite:///var/t.db?mode=rw", (Dialect::SqliteFile, "sqlite:///var/t.db?mode=rw", "sqlite:///var/t.db"));
        check("postgres://me:hush@db/t", (Dialect::Postgres, "postgres://me:hush@db/t", "postgres://db:5432/t"));
        for memory in ["sqlite::memory:", "sqlite:any?mode=memory"] {
            let (dialect, url, _) = target(memory, None).unwrap();
            assert_eq!(dialect, Dialect::SqliteMemory);
            assert!(url.starts_with("sqlite:file:") && url.ends_with("?mode=memory&cache=shared"), "{url}");
            assert_ne!(url, target(memory, None).unwrap().1, "each is its own database");
        }
        for refused in ["", "tickets.db", "mysql://me:hush@db/t", "sqlite:", "sqlite://"] {
            let error = target(refused, None).unwrap_err();
            assert!(error.starts_with("DATABASE_URL: ") && !error.contains("hush"), "{refused}: {error}");
        }
    }

    #[test]
    fn the_ssl_mode_replaces_the_one_in_the_url_and_leaves_sqlite_alone() {
        let url = |url, mode| target(url, Some(mode)).unwrap().1;
        assert_eq!(
            url("postgres://db/t?sslmode=disable&application_name=a", SslMode::VerifyFull),
            "postgres://db/t?application_name=a&sslmode=verify-full"
        );
        assert_eq!(url("sqlite:tickets.db", SslMode::Require), "sqlite:tickets.db?mode=rwc");
    }
}
