//! What metrics there are, asked of a program or of the Prometheus that scrapes it.

use std::collections::BTreeMap;

use futura_alert_rules::foreign::{Catalogue, Metric, MetricKind};
use serde::Deserialize;

use super::api::{Api, ApiConfig, ApiError};

/// What Prometheus tells of its metrics.
#[derive(Deserialize)]
struct Metadata {
    data: BTreeMap<String, Vec<Described>>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "type")]
    kind: String,
}

/// The metrics of the page at an address that ends in `/metrics`, or those of the Prometheus at any other.
///
/// # Errors
/// When the server cannot be asked, or answers something else.
pub async fn catalogue_at(config: ApiConfig) -> Result<Catalogue, ApiError> {
    let url = config.url.clone();
    let api = Api::new(config)?;
    if url.path().ends_with("/metrics") {
        let page = api.page().await?;
        return Catalogue::from_page(&page).ok_or(ApiError::Foreign { url, excerpt: "it has no metric".to_owned() });
    }
    let metadata: Metadata = api.get("api/v1/metadata", &[]).await?;
    let mut catalogue = Catalogue::default();
    for (name, described) in metadata.data {
        // Targets that disagree leave it open.
        let mut kinds = described.iter().map(|described| MetricKind::named(&described.kind));
        let kind = kinds.next().unwrap_or_default();
        let kind = if kinds.all(|other| other == kind) { kind } else { MetricKind::Unknown };
        // Type lines of OpenMetrics leave out what its counters end in.
        if kind == MetricKind::Counter && !name.ends_with("_total") {
            catalogue.insert(format!("{name}_total"), Metric { kind, ..Metric::default() });
        }
        catalogue.insert(name, Metric { kind, ..Metric::default() });
    }
    Ok(catalogue)
}
