//! JSON as security needs it: one meaning only. Duplicate members and deep nesting are refused (RFC 8725 §2.6, RFC 7515 §4).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 16;

/// As many names are held without a second allocation: a token's claims have fewer.
const USUAL_MEMBERS: usize = 16;

/// Why bytes are not such JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the JSON object it should be: {0}")]
pub struct JsonError(String);

/// Parses a JSON object that has no member twice, at any depth, and nests at most [`MAX_DEPTH`] deep.
///
/// # Errors
/// [`JsonError`] with what was found and where.
pub fn strict(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match read_whole(bytes, Strict { depth: MAX_DEPTH })? {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::no_object()),
    }
}

impl JsonError {
    pub(super) fn no_object() -> Self {
        Self("it is no object".into())
    }
}

/// Reads one value, and nothing but white space behind it.
pub(super) fn read_whole<'a, S: DeserializeSeed<'a>>(bytes: &'a [u8], seed: S) -> Result<S::Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut reader).map_err(|error| JsonError(error.to_string()))?;
    reader.end().map_err(|error| JsonError(error.to_string()))?;
    Ok(value)
}

/// The error of what nests too deep.
pub(super) fn too_deep<E: serde::de::Error>() -> E {
    E::custom(format!("it nests deeper than {MAX_DEPTH}"))
}

/// Reads one member of an outermost object, as [`strict`] does: for whoever reads the others into types of their own.
pub const fn member() -> impl for<'de> DeserializeSeed<'de, Value = Value> {
    Strict { depth: MAX_DEPTH - 1 }
}

/// The same for a member that nobody wants: looked at as strictly, and not built.
pub const fn passed_over() -> impl for<'de> DeserializeSeed<'de, Value = ()> {
    Checked { depth: MAX_DEPTH - 1 }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth {
            0 => Err(too_deep()),
            depth => Ok(Self { depth: depth - 1 }),
        }
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom("a member stands in it twice"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// As [`Strict`], and keeps nothing but the names of the object it is in.
#[derive(Clone, Copy)]
struct Checked {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl Checked {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        Strict { depth: self.depth }.deeper().map(|Strict { depth }| Self { depth })
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.is_finite() { Ok(()) } else { Err(E::custom("a number that is none")) }
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        // In order, so that each is found among thousands too.
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(USUAL_MEMBERS);
        while let Some(Name(name)) = members.next_key()? {
            members.next_value_seed(inner)?;
            match names.binary_search(&name) {
                Ok(_) => return Err(A::Error::custom("a member stands in it twice")),
                Err(at) => names.insert(at, name),
            }
        }
        Ok(())
    }
}

/// A member's name, borrowed where it holds no escape.
pub struct Name<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        d.deserialize_str(Borrowing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_two_meanings_or_none_is_refused() {
        let deep = format!("{}{}{}", r#"{"a":"#.repeat(17), "1", "}".repeat(17));
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            r#"[{"a":1}]"#,
            "1",
            "",
            "{} x",
            r#"{"a":1e999}"#,
            deep.as_str(),
        ] {
            assert!(strict(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(strict(b"{\"a\":\"\xff\"}").is_err());
        assert!(strict(br#" {"a":[1,{"b":null}],"c":1.5,"d":true} "#).is_ok());
    }
}
