//! Labels as types: an open one takes any text, a closed one is an enum of all the values there are.

/// One label: its name, and what values it takes.
///
/// Write one with [`label!`](crate::label).
pub trait Label: 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// All values, for a closed set; empty where any text may come.
    const VALUES: &'static [&'static str];
    /// Whether [`number`](Self::number) tells the values apart; else their texts do, which takes longer.
    const NUMBERED: bool;
    /// What a caller passes for it.
    type Value<'a>: Copy;

    /// The value as it stands on the wire.
    fn text<'a>(value: Self::Value<'a>) -> &'a str;

    /// What tells a value from all others, below 4,096: of a closed set, one more than its place there; 0 for what is folded.
    fn number(value: Self::Value<'_>) -> u16;
}

/// The labels of one metric: a tuple of up to five [`Label`] types.
pub trait LabelSet: 'static {
    /// The label names, in order.
    const NAMES: &'static [&'static str];
    /// Each label's closed set of values; empty where open.
    const VALUES: &'static [&'static [&'static str]];
    /// Which labels tell their values apart by numbers.
    const NUMBERED: &'static [bool];
    /// What a caller passes: a tuple of the labels' values.
    type Values<'a>: Copy;
    /// The values' texts, in order.
    type Texts<'a>: AsRef<[&'a str]> + Copy;

    /// The values as they stand on the wire.
    fn texts<'a>(values: Self::Values<'a>) -> Self::Texts<'a>;

    /// What tells the values from others: the numbers where there are any, twelve bits each, and the texts where there are none.
    fn key<'a>(values: Self::Values<'a>) -> (u64, Self::Texts<'a>);
}

/// The bits of a [`Label::number`].
const NUMBER_BITS: usize = 12;

/// Puts the numbers of labels into one, the first label's lowest.
#[inline]
pub(crate) fn pack(numbers: impl IntoIterator<Item = u16>) -> u64 {
    let numbers = numbers.into_iter().enumerate();
    numbers.fold(0, |packed, (place, number)| packed | u64::from(number) << (NUMBER_BITS * place))
}

/// Takes the number of the label at `place` out.
#[cfg(feature = "registry")]
pub(crate) fn without_number(packed: u64, place: usize) -> u64 {
    packed & !(((1 << NUMBER_BITS) - 1) << (NUMBER_BITS * place))
}

macro_rules! label_set {
    ($count:literal: $($label:ident $index:tt),*) => {
        impl<$($label: Label),*> LabelSet for ($($label,)*) {
            const NAMES: &'static [&'static str] = {
                $(assert!(super::is_label_name($label::NAME), "a label name is [a-zA-Z_][a-zA-Z0-9_]*, without a leading __");)*
                &[$($label::NAME),*]
            };
            const VALUES: &'static [&'static [&'static str]] = &[$($label::VALUES),*];
            const NUMBERED: &'static [bool] = &[$($label::NUMBERED),*];
            type Values<'a> = ($($label::Value<'a>,)*);
            type Texts<'a> = [&'a str; $count];

            fn texts<'a>(($($index,)*): Self::Values<'a>) -> Self::Texts<'a> {
                [$($label::text($index)),*]
            }

            #[inline]
            fn key<'a>(($($index,)*): Self::Values<'a>) -> (u64, Self::Texts<'a>) {
                let numbers: [u16; $count] = [$($label::number($index)),*];
                let texts = [$(if $label::NUMBERED { "" } else { $label::text($index) }),*];
                (pack(numbers), texts)
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
            const NUMBERED: bool = false;
            type Value<'a> = &'a str;

            fn text<'a>(value: Self::Value<'a>) -> &'a str {
                value
            }

            fn number(_: Self::Value<'_>) -> u16 {
                0
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
            const NUMBERED: bool = true;
            type Value<'a> = Self;

            fn text<'a>(value: Self::Value<'a>) -> &'a str {
                value.as_str()
            }

            fn number(value: Self::Value<'_>) -> u16 {
                const { assert!(<Self as $crate::spec::Label>::VALUES.len() < 4_096, "a closed set has fewer than 4,096 values") };
                value as u16 + 1
            }
        }
    };
}
