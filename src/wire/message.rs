//! The `message!` macro: a message is a table, one line per field.
//!
//! ```text
//! [versions]              the versions that carry the field: 0.. or 8..=10
//! [versions, ignorable]   and a version without it drops it silently (else a value other than the default is an error)
//! [null versions]         the versions in which it may be null; the type is an Option
//! [tag n]                 it is a tagged field (KIP-482): left out where it has its default
//! name: type = default;   the default is the type's own unless given; a nullable field is null only where it says so
//! ```
//!
//! After the fields, `facts { … }` holds what a version means without carrying it: never read or written, filled
//! in by `normalize_request`.
//!
//! `Option` means nullable and nothing else. Version and flexibility live in the reader and the writer.

use super::error::{DecodeError, EncodeError};
use super::reader::Reader;
use super::records::Records;
use super::writer::Writer;
use crate::base::ids::TopicId;
use crate::base::payload::Bytes;

/// A type that has a form on the wire.
pub trait Wire: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// If the bytes are not such a value.
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Writes a value.
    ///
    /// # Errors
    /// If the value has no form in this version.
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError>;

    /// The fewest bytes that a value takes.
    fn size_min(version: i16, flexible: bool) -> usize;

    /// Reads a value or null.
    ///
    /// # Errors
    /// If the bytes are neither.
    fn read_nullable(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        if r.present()? { Self::read(r).map(Some) } else { Ok(None) }
    }

    /// Writes a value or null.
    ///
    /// # Errors
    /// If the value has no form in this version.
    fn write_nullable(value: Option<&Self>, w: &mut Writer) -> Result<(), EncodeError> {
        w.present(value.is_some());
        value.map_or(Ok(()), |value| value.write(w))
    }

    /// Writes the empty value in the place of a null that the version does not have.
    ///
    /// # Errors
    /// If the type has no empty value.
    fn write_empty(_: &mut Writer) -> Result<(), EncodeError> {
        Err(EncodeError::new("null in a version that has no null"))
    }
}

/// Reads a field that is nullable in some versions, among them perhaps this one.
pub fn read_option<T: Wire>(r: &mut Reader<'_>, nullable: bool) -> Result<Option<T>, DecodeError> {
    if nullable { T::read_nullable(r) } else { T::read(r).map(Some) }
}

/// Writes a field that is nullable in some versions, among them perhaps this one.
pub fn write_option<T: Wire>(
    value: Option<&T>,
    w: &mut Writer,
    nullable: bool,
) -> Result<(), EncodeError> {
    match value {
        _ if nullable => T::write_nullable(value, w),
        Some(value) => value.write(w),
        None => T::write_empty(w),
    }
}

fn not_null<T>(value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::new(super::error::Problem::NegativeLength))
}

macro_rules! fixed {
    ($($type:ty, $size:literal, $method:ident);*) => { $(
        impl Wire for $type {
            fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.$method()
            }
            fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
                w.$method(*self);
                Ok(())
            }
            fn size_min(_: i16, _: bool) -> usize {
                $size
            }
        }
    )* };
}

fixed!(i8, 1, i8; i16, 2, i16; u16, 2, u16; i32, 4, i32; u32, 4, u32; i64, 8, i64; f64, 8, f64);

impl Wire for bool {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.i8().map(|byte| byte != 0)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i8(i8::from(*self));
        Ok(())
    }
    fn size_min(_: i16, _: bool) -> usize {
        1
    }
}

impl Wire for TopicId {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.uuid().map(TopicId)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.raw(&self.0);
        Ok(())
    }
    fn size_min(_: i16, _: bool) -> usize {
        16
    }
}

impl Wire for String {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        not_null(r.nullable_string()?)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(Some(self))
    }
    fn size_min(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 2 }
    }
    fn read_nullable(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        r.nullable_string()
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(value.map(String::as_str))
    }
    fn write_empty(w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_string(Some(""))
    }
}

impl Wire for Bytes {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        not_null(r.nullable_bytes()?)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_bytes(Some(self))
    }
    fn size_min(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
    fn read_nullable(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        r.nullable_bytes()
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_bytes(value.map(|bytes| &**bytes))
    }
    fn write_empty(w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_bytes(Some(&[]))
    }
}

impl Wire for Records {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Bytes::read(r).map(Records::from_bytes)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_records(Some(self))
    }
    fn size_min(version: i16, flexible: bool) -> usize {
        Bytes::size_min(version, flexible)
    }
    fn read_nullable(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(r.nullable_bytes()?.map(Records::from_bytes))
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_records(value)
    }
    fn write_empty(w: &mut Writer) -> Result<(), EncodeError> {
        w.nullable_bytes(Some(&[]))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        not_null(Self::read_nullable(r)?)
    }
    fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), w)
    }
    fn size_min(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
    fn read_nullable(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(count) = r.count(T::size_min(r.version(), r.flexible()))? else { return Ok(None) };
        let mut elements = Vec::new();
        for _ in 0..count {
            r.reserve(&mut elements, count)?;
            elements.push(T::read(r)?);
        }
        Ok(Some(elements))
    }
    fn write_nullable(value: Option<&Self>, w: &mut Writer) -> Result<(), EncodeError> {
        w.count(value.map(Vec::len))?;
        value.map_or(Ok(()), |elements| elements.iter().try_for_each(|element| element.write(w)))
    }
    fn write_empty(w: &mut Writer) -> Result<(), EncodeError> {
        w.count(Some(0))
    }
}

/// Declares messages and their parts; see the module's documentation for the form of a line.
#[macro_export]
macro_rules! message {
    ($(
        $(#[$struct_doc:meta])*
        pub struct $name:ident {
            $(
                $(#[$doc:meta])*
                [$versions:expr $(, $ignorable:ident)?] $([null $null:expr])? $([tag $tag:literal])?
                $field:ident : $type:ty $(= $default:expr)? ;
            )*
        }
        $(facts { $( $(#[$fact_doc:meta])* $fact:ident : $fact_type:ty $(= $fact_default:expr)? ; )* })?
    )*) => { $(
        $(#[$struct_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )*
            $($( $(#[$fact_doc])* pub $fact: $fact_type, )*)?
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $( $field: $crate::message!(@default $($default)?), )*
                    $($( $fact: $crate::message!(@default $($fact_default)?), )*)?
                }
            }
        }

        impl $crate::wire::message::Wire for $name {
            fn read(
                r: &mut $crate::wire::reader::Reader<'_>,
            ) -> Result<Self, $crate::wire::error::DecodeError> {
                let mut message = Self::default();
                $(
                    $crate::message!(@read_body message, r, $name, $field, $versions, ($($null)?), ($($tag)?));
                )*
                r.tagged(&mut |_r, _tag| {
                    $(
                        $crate::message!(@read_tag message, _r, _tag, $name, $field, $versions, ($($null)?), ($($tag)?));
                    )*
                    Ok(false)
                }).map_err(|error| error.at(concat!(stringify!($name), ".tags")))?;
                Ok(message)
            }

            fn write(
                &self,
                w: &mut $crate::wire::writer::Writer,
            ) -> Result<(), $crate::wire::error::EncodeError> {
                $(
                    $crate::message!(@write_body self, w, $name, $field, $versions,
                        ($($ignorable)?), ($($default)?), ($($null)?), ($($tag)?));
                )*
                if w.flexible() {
                    let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
                    $(
                        $crate::message!(@write_tag self, w, tagged, $name, $field, $versions, ($($default)?), ($($null)?), ($($tag)?));
                    )*
                    w.tagged(&mut tagged)?;
                }
                Ok(())
            }

            fn size_min(version: i16, flexible: bool) -> usize {
                let mut size = usize::from(flexible);
                $( $crate::message!(@size size, version, flexible, $versions, $type, ($($tag)?), ($($null)?)); )*
                size
            }
        }

        impl $crate::wire::outline::Show for $name {
            fn text(&self) -> Option<String> {
                None
            }

            fn parts(&self, out: &mut $crate::wire::outline::Outline<'_>) {
                $(
                    if ($versions).contains(&out.version()) {
                        out.field(stringify!($field), &self.$field);
                    }
                )*
            }
        }
    )* };

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };

    // Nullable fields take the smallest thing there is, a null; structures then need one byte only.
    (@size $size:ident, $version:ident, $flexible:ident, $versions:expr, $type:ty, ($tag:literal), $null:tt) => {};
    (@size $size:ident, $version:ident, $flexible:ident, $versions:expr, $type:ty, (), ($null:expr)) => {
        if ($versions).contains(&$version) {
            $size += 1;
        }
    };
    (@size $size:ident, $version:ident, $flexible:ident, $versions:expr, $type:ty, (), ()) => {
        if ($versions).contains(&$version) {
            $size += <$type as $crate::wire::message::Wire>::size_min($version, $flexible);
        }
    };

    (@place $name:ident, $field:ident) => { concat!(stringify!($name), ".", stringify!($field)) };

    (@read_value $r:ident,) => { $crate::wire::message::Wire::read($r) };
    (@read_value $r:ident, $null:expr) => {
        $crate::wire::message::read_option($r, ($null).contains(&$r.version()))
    };

    (@read_body $message:ident, $r:ident, $name:ident, $field:ident, $versions:expr, ($($null:expr)?), ()) => {
        if ($versions).contains(&$r.version()) {
            $message.$field = $crate::message!(@read_value $r, $($null)?)
                .map_err(|error| error.at($crate::message!(@place $name, $field)))?;
        }
    };
    (@read_body $message:ident, $r:ident, $name:ident, $field:ident, $versions:expr, $null:tt, ($tag:literal)) => {};

    (@read_tag $message:ident, $r:ident, $seen:ident, $name:ident, $field:ident, $versions:expr, $null:tt, ()) => {};
    (@read_tag $message:ident, $r:ident, $seen:ident, $name:ident, $field:ident, $versions:expr, ($($null:expr)?), ($tag:literal)) => {
        if $seen == $tag && ($versions).contains(&$r.version()) {
            $message.$field = $crate::message!(@read_value $r, $($null)?)
                .map_err(|error| error.at($crate::message!(@place $name, $field)))?;
            return Ok(true);
        }
    };

    (@write_value $value:expr, $w:expr,) => { $crate::wire::message::Wire::write(&$value, $w) };
    (@write_value $value:expr, $w:expr, $null:expr) => {{
        let nullable = ($null).contains(&$w.version());
        $crate::wire::message::write_option($value.as_ref(), $w, nullable)
    }};

    (@write_body $self:ident, $w:ident, $name:ident, $field:ident, $versions:expr,
        ($($ignorable:ident)?), ($($default:expr)?), ($($null:expr)?), ()) => {
        if ($versions).contains(&$w.version()) {
            $crate::message!(@write_value $self.$field, $w, $($null)?)
                .map_err(|error| error.at($crate::message!(@place $name, $field)))?;
        } else {
            $crate::message!(@not_carried $self.$field, $name, $field, ($($ignorable)?), ($($default)?));
        }
    };
    (@write_body $self:ident, $w:ident, $name:ident, $field:ident, $versions:expr,
        ($($ignorable:ident)?), ($($default:expr)?), $null:tt, ($tag:literal)) => {
        if !($versions).contains(&$w.version()) {
            $crate::message!(@not_carried $self.$field, $name, $field, ($($ignorable)?), ($($default)?));
        }
    };

    (@not_carried $value:expr, $name:ident, $field:ident, (ignorable), $default:tt) => {};
    (@not_carried $value:expr, $name:ident, $field:ident, (), ($($default:expr)?)) => {
        if !$crate::wire::message::is_default(&$value, || $crate::message!(@default $($default)?)) {
            return Err($crate::wire::error::EncodeError {
                place: $crate::message!(@place $name, $field),
                reason: "the version does not carry this field",
            });
        }
    };

    (@write_tag $self:ident, $w:ident, $tagged:ident, $name:ident, $field:ident, $versions:expr, $default:tt, $null:tt, ()) => {};
    (@write_tag $self:ident, $w:ident, $tagged:ident, $name:ident, $field:ident, $versions:expr, ($($default:expr)?), ($($null:expr)?), ($tag:literal)) => {
        if ($versions).contains(&$w.version())
            && !$crate::wire::message::is_default(&$self.$field, || $crate::message!(@default $($default)?))
        {
            let mut field = $w.nested();
            let writer = &mut field;
            $crate::message!(@write_value $self.$field, writer, $($null)?)
                .map_err(|error| error.at($crate::message!(@place $name, $field)))?;
            $tagged.push(($tag, field.into_bytes().unwrap_or_default()));
        }
    };
}

/// Whether a field has its default. A function, so that the default's type is the field's.
pub fn is_default<T: PartialEq>(value: &T, default: impl FnOnce() -> T) -> bool {
    *value == default()
}

/// Reads a whole message that stands alone, such as a value in an internal log.
///
/// # Errors
/// If the bytes are not the message, or more than the message.
pub fn decode<T: Wire>(bytes: &Bytes, version: i16, flexible: bool) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes, version, flexible);
    read_whole(&mut reader).map_err(|error| error.at_byte(reader.position()))
}

fn read_whole<T: Wire>(reader: &mut Reader<'_>) -> Result<T, DecodeError> {
    let message = T::read(reader)?;
    reader.finish()?;
    Ok(message)
}

/// Writes a whole message that stands alone.
///
/// # Errors
/// If the message has no form in this version.
pub fn encode<T: Wire>(message: &T, version: i16, flexible: bool) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new(version, flexible);
    message.write(&mut writer)?;
    writer.into_bytes().ok_or(EncodeError::new("a part of the message lies in a file"))
}

/// Reads a whole message that stands behind its version in two bytes.
///
/// # Errors
/// If the bytes are not the message in one of these versions, or more than the message.
pub fn decode_versioned<T: Wire>(
    bytes: &Bytes,
    versions: std::ops::RangeInclusive<i16>,
    flexible_from: i16,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes, 0, false);
    let version = reader.i16().map_err(|error| error.at("version"))?;
    if !versions.contains(&version) {
        return Err(DecodeError::new(super::error::Problem::UnknownVersion).at("version"));
    }
    reader.switch(version, version >= flexible_from);
    read_whole(&mut reader).map_err(|error| error.at_byte(reader.position()))
}

/// Writes a whole message behind its version in two bytes.
///
/// # Errors
/// If the message has no form in this version.
pub fn encode_versioned<T: Wire>(
    message: &T,
    version: i16,
    flexible: bool,
) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new(version, flexible);
    writer.i16(version);
    message.write(&mut writer)?;
    writer.into_bytes().ok_or(EncodeError::new("a part of the message lies in a file"))
}
