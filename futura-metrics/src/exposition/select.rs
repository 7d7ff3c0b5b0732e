//! Which families a scrape asks for.

/// The families to write: all, or those named.
///
/// ```
/// use futura_metrics::{Metrics, exposition::{Format, Selection}, specs::business::{ORDERS_CREATED_TOTAL, PAYMENT_TOTAL}};
///
/// let metrics = Metrics::new();
/// metrics.counter(ORDERS_CREATED_TOTAL)?;
/// metrics.counter(PAYMENT_TOTAL)?;
/// let text = metrics.render_selected(Format::Text, &Selection::only(["payment_total".to_owned()]));
/// assert!(text.contains("payment_total 0") && !text.contains("orders_created_total"));
/// # Ok::<(), futura_metrics::RegisterError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    names: Option<Box<[String]>>,
}

// === impl Selection ===

impl Selection {
    /// Every family.
    pub const fn all() -> Self {
        Self { names: None }
    }

    /// The families with these names, by the name of the family or of any of its samples; none named is every family.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        let names: Box<[String]> = names.into_iter().collect();
        Self { names: (!names.is_empty()).then_some(names) }
    }

    /// Whether a family that exposes these names is asked for.
    pub(crate) fn takes<'a>(&self, mut exposed: impl Iterator<Item = &'a str>) -> bool {
        match &self.names {
            None => true,
            Some(names) => exposed.any(|name| names.iter().any(|asked| asked == name)),
        }
    }
}
