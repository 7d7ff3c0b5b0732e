//! Text with holes for labels and for the value: the annotations of an alert, the legend of a panel.
//!
//! A text is a tuple of parts, or one text; a label that the expression does not have does not compile:
//!
//! ```
//! use futura_alert_rules::{promql::{Service, label}, template::{Template, template}};
//! let text: Template<(Service,)> = template((label::<Service>(), " in production"));
//! assert_eq!(text.legend(), "{{service}} in production");
//! ```
//!
//! ```compile_fail,E0277
//! use futura_alert_rules::{promql::{Service, label}, template::{Template, template}};
//! use futura_metrics::specs::http::Path;
//! let text: Template<(Service,)> = template(("No route ", label::<Path>()));
//! ```

use std::{borrow::Cow, marker::PhantomData};

use futura_metrics::spec::Label;

use crate::promql::{Contains, LabelRef, Quantity};

pub(crate) use self::humanize::text as value_text;

mod humanize;

/// A text about an expression that has the labels `L`.
#[derive(Debug)]
pub struct Template<L> {
    parts: Vec<Part>,
    labels: PhantomData<fn() -> L>,
}

/// Stands for the value of the expression, written for people according to what it measures.
#[derive(Clone, Copy, Debug)]
pub struct Value;

/// A text, or a tuple of texts, labels and values; `Indices` is inferred.
pub trait Parts<L, Indices> {
    /// The parts in order.
    fn parts(self) -> Vec<Part>;
}

/// A text, a label or the value; `Index` is inferred.
pub trait IntoPart<L, Index> {
    /// The part without its types.
    fn part(self) -> Part;
}

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Itself.
    Text(Cow<'static, str>),
    /// The value of the label of this name.
    Label(&'static str),
    /// The value of the expression.
    Value,
}

/// A text for an expression that has the labels `L`.
pub fn template<L, P: Parts<L, Indices>, Indices>(parts: P) -> Template<L> {
    Template { parts: parts.parts(), labels: PhantomData }
}

/// The value of the expression.
pub const fn value() -> Value {
    Value
}

impl<L> IntoPart<L, ()> for &'static str {
    fn part(self) -> Part {
        text(self.into())
    }
}

impl<L> IntoPart<L, ()> for String {
    fn part(self) -> Part {
        text(self.into())
    }
}

fn text(text: Cow<'static, str>) -> Part {
    assert!(!text.contains("{{"), "`{text}` would be read as a template");
    Part::Text(text)
}

impl<L> IntoPart<L, ()> for Value {
    fn part(self) -> Part {
        Part::Value
    }
}

impl<L: Contains<T, Index>, T: Label, Index> IntoPart<L, Index> for LabelRef<T> {
    fn part(self) -> Part {
        Part::Label(T::NAME)
    }
}

impl<L> Parts<L, ()> for &'static str {
    fn parts(self) -> Vec<Part> {
        vec![text(self.into())]
    }
}

macro_rules! parts {
    ($($part:ident $index:ident),+) => {
        impl<L, $($part, $index),+> Parts<L, ($($index,)+)> for ($($part,)+)
        where
            $($part: IntoPart<L, $index>),+
        {
            #[expect(non_snake_case, reason = "the type parameters name the bindings too")]
            fn parts(self) -> Vec<Part> {
                let ($($part,)+) = self;
                vec![$($part.part()),+]
            }
        }
    };
}

parts!(A IndexA);
parts!(A IndexA, B IndexB);
parts!(A IndexA, B IndexB, C IndexC);
parts!(A IndexA, B IndexB, C IndexC, D IndexD);
parts!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE);
parts!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE, F IndexF);
parts!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE, F IndexF, G IndexG);
parts!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE, F IndexF, G IndexG, H IndexH);
parts!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE, F IndexF, G IndexG, H IndexH, I IndexI);

// === impl Template ===

impl<L> Template<L> {
    /// The text as Grafana's legend format, without the value, which Grafana writes beside it.
    pub fn legend(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone().into_owned(),
            Part::Label(name) => format!("{{{{{name}}}}}"),
            Part::Value => String::new(),
        });
        parts.collect()
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

/// The text in Prometheus's template language, its value measuring `quantity`.
pub(crate) fn annotation(parts: &[Part], quantity: Quantity) -> String {
    let parts = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone().into_owned(),
        Part::Label(name) => format!("{{{{ $labels.{name} }}}}"),
        Part::Value => humanize::expression(quantity),
    });
    parts.collect()
}

/// What Prometheus makes of [`annotation`] for these labels and this value.
pub(crate) fn filled(parts: &[Part], quantity: Quantity, labels: &[(&'static str, String)], value: f64) -> String {
    let parts = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone().into_owned(),
        Part::Label(name) => {
            labels.iter().find(|(label, _)| label == name).map_or_else(String::new, |(_, text)| text.clone())
        }
        Part::Value => humanize::text(quantity, value),
    });
    parts.collect()
}
