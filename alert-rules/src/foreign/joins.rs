//! Whether the two sides of an operator have the labels that they are matched by.

use std::collections::BTreeSet;

use promql_parser::parser::{BinaryExpr, LabelModifier, value::ValueType};

use super::{Catalogue, Labels, Lint};

/// What keeps the sides from matching.
pub(super) fn check(binary: &BinaryExpr, catalogue: &Catalogue) -> Vec<(Lint, String)> {
    let sides = [&binary.lhs, &binary.rhs];
    // Of `or` either side may stand alone.
    if sides.iter().any(|side| side.value_type() != ValueType::Vector) || binary.op.to_string() == "or" {
        return Vec::new();
    }
    let [left, right] = sides.map(|side| Labels::of(side, catalogue));
    match binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(labels)) => {
            let missing = labels.labels.iter().filter_map(|label| {
                let side = match (left.may(label), right.may(label)) {
                    (true, true) => return None,
                    (false, true) => "its left side does not have",
                    (true, false) => "its right side does not have",
                    (false, false) => "neither side has",
                };
                Some((Lint::JoinLabels, format!("it matches on `{label}`, which {side}")))
            });
            missing.collect()
        }
        Some(LabelModifier::Exclude(labels)) => {
            differ(&left.without(&labels.labels), &right.without(&labels.labels)).into_iter().collect()
        }
        None => differ(&left, &right).into_iter().collect(),
    }
}

/// Sides that are matched by all their labels have to have the same.
fn differ(left: &Labels, right: &Labels) -> Option<(Lint, String)> {
    if left.is_open() || right.is_open() {
        return None;
    }
    let only: BTreeSet<_> = left.missing_in(right).chain(right.missing_in(left)).collect();
    let only: Vec<_> = only.into_iter().map(|label| format!("`{label}`")).collect();
    (!only.is_empty()).then(|| (Lint::JoinLabels, format!("one side alone has {}, so none match", only.join(", "))))
}
