//! Objects cut down to the fields that are read, while they come from the wire.
//!
//! A pod of a busy cluster has 10 to 60 kB, of which the rule graph reads some hundred bytes. What a mask leaves out
//! is skipped by the parser and never takes memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Which parts of a value are kept. A list is masked entry by entry.
#[derive(Debug)]
pub(super) enum Mask {
    /// The whole value.
    All,
    /// Nothing of it, not even the field's name.
    Nothing,
    /// These fields.
    Fields(&'static [(&'static str, Mask)]),
    /// These fields as said, and whatever else there is as a whole.
    AllBut(&'static [(&'static str, Mask)]),
}

impl Mask {
    fn of_field(&self, name: &str) -> &Mask {
        let (fields, otherwise) = match self {
            Self::All => return &Self::All,
            Self::Nothing => return &Self::Nothing,
            Self::Fields(fields) => (fields, &Self::Nothing),
            Self::AllBut(fields) => (fields, &Self::All),
        };
        let field = fields.iter().find(|(field, _)| *field == name);
        field.map_or(otherwise, |(_, mask)| mask)
    }
}

/// Reads what `mask` keeps of a value, whatever its shape.
pub(super) fn project<'de, D: Deserializer<'de>>(
    mask: &'static Mask,
    deserializer: D,
) -> Result<Value, D::Error> {
    Projection(mask).deserialize(deserializer)
}

#[derive(Clone, Copy)]
struct Projection(&'static Mask);

impl<'de> DeserializeSeed<'de> for Projection {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Projection {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(entry) = list.next_element_seed(self)? {
            kept.push(entry);
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            match self.0.of_field(&name) {
                Mask::Nothing => {
                    fields.next_value::<IgnoredAny>()?;
                }
                mask => {
                    let value = fields.next_value_seed(Projection(mask))?;
                    kept.insert(name, value);
                }
            }
        }
        Ok(Value::Object(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MASK: Mask = Mask::Fields(&[
        ("name", Mask::All),
        ("ports", Mask::Fields(&[("port", Mask::All)])),
        ("open", Mask::AllBut(&[("secret", Mask::Nothing)])),
    ]);

    #[test]
    fn only_masked_fields_are_kept_and_lists_are_masked_entry_by_entry() {
        let object = json!({
            "name": "web",
            "image": {"layers": [1, 2, 3]},
            "ports": [{"port": 80, "host": "x"}, {"port": 81.5}, "odd"],
            "open": {"secret": 1, "else": {"deep": [null, true, -3]}},
        });
        let kept = project(&MASK, object).unwrap();
        let expected = json!({
            "name": "web",
            "ports": [{"port": 80}, {"port": 81.5}, "odd"],
            "open": {"else": {"deep": [null, true, -3]}},
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_value_of_another_shape_than_the_mask_is_kept_as_it_is() {
        assert_eq!(project(&MASK, json!("text")).unwrap(), json!("text"));
        assert_eq!(
            project(&MASK, json!([1, {"x": 2}])).unwrap(),
            json!([1, {}])
        );
    }
}
