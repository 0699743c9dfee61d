//! A JSON object as it stands in its bytes: read as strictly as [`json::strict`](super::json::strict) does, its text borrowed
//! wherever it holds no escape. For what is looked at once, with each request: a token's header and claims.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::json::{JsonError, MAX_DEPTH, Name, read_whole, too_deep};

/// A value of such an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object within.
    Object(Object<'a>),
}

impl Json<'_> {
    /// The string it is, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number it is, where it is one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }
}

/// An object: its members in an order of their names ([`in_order`]), none twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// As many members are held without a second allocation: tokens have fewer, as a rule.
const USUAL_MEMBERS: usize = 16;

impl<'a> Object<'a> {
    /// Reads an object that has no member twice, at any depth, and nests at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    /// [`JsonError`] with what was found and where.
    pub fn strict(bytes: &'a [u8]) -> Result<Self, JsonError> {
        match read_whole(bytes, Borrowing { depth: MAX_DEPTH })? {
            Json::Object(object) => Ok(object),
            _ => Err(JsonError::no_object()),
        }
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let at = self.0.binary_search_by(|(each, _)| in_order(each, name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The member called `name`, where it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
}

/// Shorter names first, and names of one length by their bytes: the lengths alone decide between nearly any two.
fn in_order(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[derive(Clone, Copy)]
struct Borrowing {
    depth: usize,
}

impl Borrowing {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        self.depth.checked_sub(1).map(|depth| Self { depth }).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Borrowing {
    type Value = Json<'de>;
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<Json<'de>, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Borrowing {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number that is none"))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut all = Vec::with_capacity(USUAL_MEMBERS);
        while let Some(Name(name)) = members.next_key()? {
            all.push((name, members.next_value_seed(inner)?));
        }
        // Sorted at the end, and not member by member: there may be thousands.
        all.sort_unstable_by(|(one, _), (other, _)| in_order(one, other));
        match all.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            true => Err(A::Error::custom("a member stands in it twice")),
            false => Ok(Json::Object(Object(all))),
        }
    }
}

/// The same of a value that a test wrote.
#[cfg(test)]
impl From<serde_json::Value> for Json<'static> {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            Value::Object(object) => {
                let mut all: Vec<_> = object.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                all.sort_by(|(one, _): &(Cow<'_, str>, _), (other, _)| in_order(one, other));
                Self::Object(Object(all))
            }
        }
    }
}

#[cfg(test)]
impl Object<'static> {
    pub(crate) fn of(value: serde_json::Value) -> Self {
        match value.into() {
            Json::Object(object) => object,
            other => panic!("{other:?} is no object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::json;
    use super::*;

    #[test]
    fn text_is_borrowed_where_it_holds_no_escape() {
        let object = Object::strict(br#"{"b":"plain","a":"\u0041","n":7,"l":[true,null]}"#).unwrap();
        assert!(matches!(object.get("b"), Some(Json::Text(Cow::Borrowed("plain")))));
        assert!(matches!(object.get("a"), Some(Json::Text(Cow::Owned(text))) if text == "A"));
        assert_eq!((object.get("n").and_then(Json::as_u64), object.text("n")), (Some(7), None));
        assert_eq!(object.get("l"), Some(&Json::List(vec![Json::Bool(true), Json::Null])));
        assert_eq!((object.get("c"), object.get("")), (None, None));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~ä\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map("[a-f\u{e9}\"]{0,2}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_the_other_reader_reads(value in value()) {
            let text = value.to_string();
            let borrowed = Object::strict(text.as_bytes());
            match json::strict(text.as_bytes()) {
                Ok(object) => prop_assert_eq!(borrowed.unwrap(), Object::of(Value::Object(object))),
                Err(error) => prop_assert_eq!(borrowed.unwrap_err(), error),
            }
        }

        #[test]
        fn it_refuses_what_the_other_reader_refuses(text in r#"[{}\[\]",:ab0-9.e\-u\\ ]{0,24}"#) {
            let strict = json::strict(text.as_bytes()).map_err(|error| error.to_string());
            let borrowed = Object::strict(text.as_bytes()).map_err(|error| error.to_string());
            prop_assert_eq!(borrowed.is_ok(), strict.is_ok(), "{:?} {:?}", borrowed, strict);
        }

        #[test]
        fn a_member_that_stands_twice_is_refused_wherever_it_stands(at in 0_usize..40, again in 0_usize..40) {
            let member = |n: usize| format!(r#""m{n}":{n}"#);
            let mut all: Vec<String> = (0..40).map(member).collect();
            all.insert(again, member(at));
            for text in [format!("{{{}}}", all.join(",")), format!(r#"{{"x":[{{{}}}]}}"#, all.join(","))] {
                prop_assert!(Object::strict(text.as_bytes()).is_err());
            }
        }
    }

    #[test]
    fn it_nests_as_deep_as_the_other_reader_lets() {
        for depth in [json::MAX_DEPTH, json::MAX_DEPTH + 1] {
            let text = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
            assert_eq!(Object::strict(text.as_bytes()).is_ok(), json::strict(text.as_bytes()).is_ok(), "{depth}");
        }
        assert!(Object::strict(br#"{"a":1,"a":1}"#).is_err() && Object::strict(b"[]").is_err());
    }
}
