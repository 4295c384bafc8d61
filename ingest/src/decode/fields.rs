//! The closed set of an object's field names, as a type.

/// The fields of one JSON object.
pub(super) trait Fields: Copy {
    /// The name in the source's format.
    fn name(self) -> &'static str;

    /// The field of that name.
    fn from_name(name: &str) -> Option<Self>;

    /// A set of one, for telling a field that comes twice. At most 64 fields.
    fn bit(self) -> u64;
}

/// Declares an enum of [`Fields`].
macro_rules! fields {
    ($(#[$meta:meta])* enum $Fields:ident { $($Variant:ident = $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub(super) enum $Fields { $($Variant,)+ }

        impl $crate::decode::fields::Fields for $Fields {
            fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$Variant),)+ _ => None }
            }

            fn bit(self) -> u64 {
                1 << self as u8
            }
        }
    };
}

pub(super) use fields;
