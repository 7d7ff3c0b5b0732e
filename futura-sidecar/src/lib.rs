//! The observability sidecar: synthetic checks, a status page and error forwarding.
