//! The closed set of a format's field names, as a type.

/// Declares the fields of one JSON object: an enum with `name()` and `from_name()`.
macro_rules! fields {
    ($(#[$meta:meta])* enum $Fields:ident { $($Variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $Fields { $($Variant,)+ }

        impl $Fields {
            /// The name in the source's format.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }

            /// The field of that name.
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$Variant),)+ _ => None }
            }

            /// A set of one, for telling a field that comes twice.
            pub(super) const fn bit(self) -> u64 {
                1 << self as u8
            }
        }
    };
}

pub(super) use fields;
