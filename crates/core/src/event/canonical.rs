//! RFC 8785 for what records hold: objects with ASCII keys, arrays, strings, integers, booleans. It is
//! written in one pass, since every request waits for it; anything else is an error.

use serde::ser::{self, Error as _, Impossible, Serialize, Serializer};

type Result<T> = std::result::Result<T, serde_json::Error>;

/// Writes `value` behind what is in `out`.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    value.serialize(Canonical(out))
}

/// serde_json writes scalars as RFC 8785 asks: integers without sign, point or exponent; in strings
/// the short escapes, `\u00xx` in lower case, and no more.
fn scalar<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value)
}

struct Canonical<'a>(&'a mut Vec<u8>);

impl<'a> Serializer for Canonical<'a> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Impossible<(), serde_json::Error>;
    type SerializeTupleVariant = Impossible<(), serde_json::Error>;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), serde_json::Error>;

    fn serialize_bool(self, value: bool) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_i8(self, value: i8) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_i16(self, value: i16) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_i32(self, value: i32) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_i64(self, value: i64) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_u8(self, value: u8) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_u16(self, value: u16) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_u32(self, value: u32) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_u64(self, value: u64) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_f32(self, _value: f32) -> Result<()> {
        Err(foreign("a fraction"))
    }

    fn serialize_f64(self, _value: f64) -> Result<()> {
        Err(foreign("a fraction"))
    }

    fn serialize_char(self, value: char) -> Result<()> {
        scalar(&value, self.0)
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        scalar(value, self.0)
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<()> {
        Err(foreign("bytes"))
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        Err(foreign("an enum without a tag"))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'a>> {
        self.0.push(b'[');
        Ok(Items {
            first: true,
            out: self.0,
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct> {
        Err(foreign("a tuple with a name"))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Err(foreign("an enum without a tag"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields<'a>> {
        Ok(Fields {
            begin: self.0.len(),
            found: Vec::with_capacity(16),
            out: self.0,
        })
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Fields<'a>> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Err(foreign("an enum without a tag"))
    }
}

/// What no record holds.
fn foreign(what: &str) -> serde_json::Error {
    serde_json::Error::custom(format!("{what} has no canonical form"))
}

/// An array.
struct Items<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        write(value, self.out)
    }

    fn end(self) -> Result<()> {
        self.out.push(b']');
        Ok(())
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<()> {
        ser::SerializeSeq::end(self)
    }
}

/// An object: its fields are written as they come, and put in order at the end.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    /// Where the first field begins.
    begin: usize,
    found: Vec<Field>,
}

/// Where a field's key begins, and where key and value end.
struct Field {
    begin: usize,
    key: usize,
    end: usize,
}

impl Fields<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.out.push(b':');
        write(value, self.out)?;
        let end = self.out.len();
        let field = self.found.last_mut();
        field.ok_or_else(|| foreign("a value without a key"))?.end = end;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let unsorted = self.out.split_off(self.begin);
        let part = |from: usize, to: usize| {
            let within = unsorted.get(from - self.begin..to - self.begin);
            within.unwrap_or_default()
        };
        // The quotes are left out, or `a` would come after `a!`.
        let key = |field: &Field| part(field.begin + 1, field.key - 1);
        self.found.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        self.out.push(b'{');
        for (at, field) in self.found.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(part(field.begin, field.end));
        }
        self.out.push(b'}');
        Ok(())
    }
}

impl ser::SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        let begin = self.out.len();
        scalar(key, self.out)?;
        let end = self.out.len();
        if self.out.get(begin) != Some(&b'"') {
            return Err(foreign("a key that is no text"));
        }
        self.found.push(Field {
            begin,
            key: end,
            end,
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        ser::SerializeMap::serialize_key(self, key)?;
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn text<T: Serialize>(value: &T) -> std::result::Result<String, String> {
        let mut out = b"before ".to_vec();
        write(value, &mut out).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let map: BTreeMap<_, _> = [("b", vec![1, -2]), ("a!", vec![]), ("a", vec![3])].into();
        assert_eq!(
            text(&map).unwrap(),
            r#"before {"a":[3],"a!":[],"b":[1,-2]}"#
        );
        #[derive(serde::Serialize)]
        struct Unordered {
            z: Option<()>,
            y: BTreeMap<&'static str, char>,
            x: (bool, &'static str),
        }
        let unordered = Unordered {
            z: None,
            y: [("k", '"')].into(),
            x: (true, "\u{7f}\n"),
        };
        assert_eq!(
            text(&unordered).unwrap(),
            "before {\"x\":[true,\"\u{7f}\\n\"],\"y\":{\"k\":\"\\\"\"},\"z\":null}"
        );
    }

    #[test]
    fn what_has_no_canonical_form_is_an_error() {
        assert!(text(&0.5).unwrap_err().contains("a fraction"));
        assert!(text(&BTreeMap::from([(vec![1], 1)])).is_err());
        assert!(text(&std::result::Result::<u8, u8>::Ok(1)).is_err());
    }
}
