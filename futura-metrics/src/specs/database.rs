//! A service's pool of database connections.

use crate::spec::{GaugeSpec, Unit};

crate::declare! {
    /// Connections in use.
    pub DATABASE_CONNECTIONS_ACTIVE: GaugeSpec = GaugeSpec::new("database_connections_active", Unit::Count);

    /// Connections open and waiting for work.
    pub DATABASE_CONNECTIONS_IDLE: GaugeSpec = GaugeSpec::new("database_connections_idle", Unit::Count);

    /// Connections that the pool may open.
    pub DATABASE_CONNECTIONS_MAX: GaugeSpec = GaugeSpec::new("database_connections_max", Unit::Count);
}
