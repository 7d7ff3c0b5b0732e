//! Cuts what is pushed into requests that every collector takes, each made when the one before is sent.

use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogram, Gauge, Histogram, Metric, Sum, metric::Data};

/// How many points one request has: some hundred kilobytes, of which collectors take four megabytes.
const POINTS: usize = 1_000;

/// Metrics, as many at a time as one request has.
pub(super) struct Batches<I> {
    metrics: I,
    /// What is left of one that did not fit.
    rest: Option<Metric>,
}

// === impl Batches ===

impl<I: Iterator<Item = Metric>> Batches<I> {
    pub(super) fn of(metrics: I) -> Self {
        Self { metrics, rest: None }
    }
}

impl<I: Iterator<Item = Metric>> Iterator for Batches<I> {
    type Item = Vec<Metric>;

    fn next(&mut self) -> Option<Vec<Metric>> {
        let (mut batch, mut room) = (Vec::new(), POINTS);
        while room > 0
            && let Some(mut metric) = self.rest.take().or_else(|| self.metrics.next())
        {
            self.rest = split_off(&mut metric, room);
            room -= points(&metric);
            batch.push(metric);
        }
        (!batch.is_empty()).then_some(batch)
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        // There are no summaries here.
        Some(Data::Summary(_)) | None => 0,
    }
}

/// Leaves this many points to a metric; the others become one of the same name.
fn split_off(metric: &mut Metric, count: usize) -> Option<Metric> {
    if points(metric) <= count {
        return None;
    }
    let data = match metric.data.as_mut()? {
        Data::Gauge(gauge) => Data::Gauge(Gauge { data_points: gauge.data_points.split_off(count) }),
        Data::Sum(sum) => Data::Sum(Sum { data_points: sum.data_points.split_off(count), ..*sum }),
        Data::Histogram(histogram) => {
            Data::Histogram(Histogram { data_points: histogram.data_points.split_off(count), ..*histogram })
        }
        Data::ExponentialHistogram(histogram) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: histogram.data_points.split_off(count),
            ..*histogram
        }),
        Data::Summary(_) => return None,
    };
    Some(Metric {
        name: metric.name.clone(),
        description: metric.description.clone(),
        unit: metric.unit.clone(),
        data: Some(data),
        ..Metric::default()
    })
}
