//! Grafana dashboards over the declared metrics, and the generator of everything generated.
