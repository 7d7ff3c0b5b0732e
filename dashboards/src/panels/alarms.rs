//! How the thresholds of alerts are drawn on the panels that show what they judge.

use futura_alert_rules::{
    Alert,
    alert::Severity,
    promql::{Comparison, Threshold},
};

use super::Query;
use crate::grafana::{
    Color, Dashes, FieldColor, HideFrom, Matcher, Override, Panel, Property, ShowPoints, Step, Style,
    ThresholdsStyleMode, Visualization,
};

/// How far above a threshold the axis reaches, so that its line is seen while all is well.
const HEADROOM: f64 = 1.25;

fn color(severity: Severity) -> Color {
    match severity {
        Severity::Critical => Color::Red,
        Severity::Warning => Color::Orange,
    }
}

/// The steps that color a value: on the wrong side of a threshold in the alert's color.
fn value_steps(title: &str, alarms: &[(Threshold, Color)]) -> Vec<Step> {
    let above = alarms.iter().filter(|(threshold, _)| threshold.comparison == Comparison::Above).count();
    assert!(above == 0 || above == alarms.len(), "panel `{title}` is bad on both sides: draw it as lines");
    let colors = alarms.iter().map(|(_, color)| *color);
    let bounds = alarms.iter().map(|(threshold, _)| threshold.value);
    // Above, the color begins at its threshold; below, it ends there.
    let colors: Vec<_> = if above > 0 {
        [Color::Green].into_iter().chain(colors).collect()
    } else {
        colors.chain([Color::Green]).collect()
    };
    let bounds = [None].into_iter().chain(bounds.map(Some));
    bounds.zip(colors).map(|(value, color)| Step { value, color }).collect()
}

/// The steps of which a line each is drawn, in the color of the step that begins at it, whichever side is the bad one.
fn line_steps(alarms: &[(Threshold, Color)]) -> Vec<Step> {
    let lines = alarms.iter().map(|(threshold, color)| Step { value: Some(threshold.value), color: *color });
    [Step { value: None, color: Color::Green }].into_iter().chain(lines).collect()
}

// === impl Panel ===

impl Panel {
    /// Draws the threshold of `alert`, in the color of its severity.
    ///
    /// Those of the alerts that link to the panel are drawn without it.
    ///
    /// # Panics
    /// When the alert judges something else than what the panel shows.
    pub fn threshold_of(mut self, alert: &Alert) -> Self {
        let quantity = alert.threshold.quantity;
        assert!(quantity == self.quantity, "panel `{}` shows no {quantity:?} as `{}`", self.title, alert.name);
        self.draw(alert);
        self
    }

    /// Draws the threshold of `alert` where the panel shows what it compares with a side.
    pub(crate) fn draw(&mut self, alert: &Alert) {
        let threshold = alert.threshold;
        let has_side = matches!(threshold.comparison, Comparison::Above | Comparison::Below)
            && threshold.quantity == self.quantity;
        let is_drawn = self.alarms.iter().any(|(drawn, _)| drawn.value == threshold.value);
        if !has_side || is_drawn || matches!(self.visualization, Visualization::StateTimeline(_)) {
            return;
        }
        self.alarms.push((threshold, color(alert.severity)));
        self.alarms.sort_unstable_by(|(one, _), (other, _)| one.value.total_cmp(&other.value));
        let defaults = &mut self.field_config.defaults;
        if let Some(Style::Lines(style)) = &mut defaults.custom {
            defaults.thresholds.steps = line_steps(&self.alarms);
            style.thresholds_style.mode = ThresholdsStyleMode::Dashed;
            style.axis_soft_max = self.alarms.last().map(|(threshold, _)| threshold.value * HEADROOM);
        } else {
            defaults.thresholds.steps = value_steps(self.title, &self.alarms);
        }
    }

    /// Draws a threshold of `alert` that differs from series to series: one more query, dashed.
    pub fn threshold_lines(mut self, alert: &Alert, query: Query) -> Self {
        let ref_id = self.push(query);
        self.field_config.overrides.push(Override {
            matcher: Matcher::ByFrameRefId(ref_id),
            properties: vec![
                Property::Color(FieldColor::Fixed { fixed_color: color(alert.severity) }),
                Property::FillOpacity(0),
                Property::ShowPoints(ShowPoints::Never),
                Property::LineStyle(Dashes::Dash { dash: [10, 10] }),
                Property::HideFrom(HideFrom { legend: true, tooltip: false, viz: false }),
            ],
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use futura_alert_rules::promql::Quantity;
    use insta::assert_snapshot;

    use super::{Color, Comparison, Step, Threshold, line_steps, value_steps};

    fn alarms(comparison: Comparison) -> Vec<(Threshold, Color)> {
        let threshold = |value| Threshold { comparison, value, quantity: Quantity::Ratio, bounds: &[] };
        vec![(threshold(0.8), Color::Orange), (threshold(0.9), Color::Red)]
    }

    fn text(steps: &[Step]) -> String {
        let step = |step: &Step| match step.value {
            Some(value) => format!("{value} {:?}", step.color),
            None => format!("{:?}", step.color),
        };
        steps.iter().map(step).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn values_take_the_color_of_the_side_they_are_on() {
        assert_snapshot!(text(&value_steps("", &alarms(Comparison::Above))), @"Green, 0.8 Orange, 0.9 Red");
        assert_snapshot!(text(&value_steps("", &alarms(Comparison::Below))), @"Orange, 0.8 Red, 0.9 Green");
    }

    #[test]
    fn lines_have_the_color_of_their_alert_on_either_side() {
        assert_snapshot!(text(&line_steps(&alarms(Comparison::Below))), @"Green, 0.8 Orange, 0.9 Red");
    }
}
