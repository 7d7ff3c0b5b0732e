//! Labels as types: an open one takes any text, a closed one is an enum of all the values there are.

/// One label: its name, and what values it takes.
///
/// Write one with [`label!`](crate::label).
pub trait Label: 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// All values, for a closed set; empty where any text may come.
    const VALUES: &'static [&'static str];
    /// What a caller passes for it.
    type Value<'a>: Copy;

    /// The value as it stands on the wire.
    fn text<'a>(value: Self::Value<'a>) -> &'a str;
}

/// The labels of one metric: a tuple of up to five [`Label`] types.
pub trait LabelSet: 'static {
    /// The label names, in order.
    const NAMES: &'static [&'static str];
    /// Each label's closed set of values; empty where open.
    const VALUES: &'static [&'static [&'static str]];
    /// What a caller passes: a tuple of the labels' values.
    type Values<'a>: Copy;
    /// The values' texts, in order.
    type Texts<'a>: AsRef<[&'a str]> + Copy;

    /// The values as they stand on the wire.
    fn texts<'a>(values: Self::Values<'a>) -> Self::Texts<'a>;
}

macro_rules! label_set {
    ($count:literal: $($label:ident $index:tt),*) => {
        impl<$($label: Label),*> LabelSet for ($($label,)*) {
            const NAMES: &'static [&'static str] = {
                $(assert!(super::is_label_name($label::NAME), "a label name is [a-zA-Z_][a-zA-Z0-9_]*, without a leading __");)*
                &[$($label::NAME),*]
            };
            const VALUES: &'static [&'static [&'static str]] = &[$($label::VALUES),*];
            type Values<'a> = ($($label::Value<'a>,)*);
            type Texts<'a> = [&'a str; $count];

            fn texts<'a>(($($index,)*): Self::Values<'a>) -> Self::Texts<'a> {
                [$($label::text($index)),*]
            }
        }
    };
}

label_set!(0:);
label_set!(1: A a);
label_set!(2: A a, B b);
label_set!(3: A a, B b, C c);
label_set!(4: A a, B b, C c, D d);
label_set!(5: A a, B b, C c, D d, E e);

/// Declares a label type: open (`pub enum Tenant: "tenant";`) or closed, with all its values.
///
/// ```
/// use futura_metrics::spec::Label;
/// futura_metrics::label! {
///     /// The size of a cup.
///     pub enum Size: "size" { Small => "small", Large => "large" }
/// }
/// futura_metrics::label! {
///     /// Who ordered.
///     pub enum Guest: "guest";
/// }
/// assert_eq!(Size::VALUES, ["small", "large"]);
/// assert_eq!(Size::text(Size::Small), "small");
/// assert_eq!(Guest::text("Ada"), "Ada");
/// ```
#[macro_export]
macro_rules! label {
    ($(#[$doc:meta])* pub enum $label:ident: $name:literal;) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $label {}

        impl $crate::spec::Label for $label {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[];
            type Value<'a> = &'a str;

            fn text<'a>(value: Self::Value<'a>) -> &'a str {
                value
            }
        }
    };
    ($(#[$doc:meta])* pub enum $label:ident: $name:literal { $($(#[$value_doc:meta])* $variant:ident => $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $label {
            $(
                #[doc = concat!("`", $value, "`")]
                $(#[$value_doc])*
                $variant,
            )+
        }

        impl $label {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $value),+
                }
            }
        }

        impl $crate::spec::Label for $label {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[$($value),+];
            type Value<'a> = Self;

            fn text<'a>(value: Self::Value<'a>) -> &'a str {
                value.as_str()
            }
        }
    };
}
