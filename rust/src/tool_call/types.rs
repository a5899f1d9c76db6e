//! What JSON types a schema allows.

use std::ops::BitOr;

use serde_json::Value;

/// Schemas inside of schemas that are looked into, one after the other.
const MAX_DEPTH: u32 = 16;
/// Of all schemas of a request. References can make a few lines stand for more than any time suffices to read.
const MAX_INNER_SCHEMAS: u32 = 65_536;

/// JSON types, as a set. The empty one: nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const NUMBER: Self = Self(8);
    pub(super) const ARRAY: Self = Self(16);
    pub(super) const OBJECT: Self = Self(32);
    pub(super) const STRING: Self = Self(64);
    /// All but strings.
    pub(super) const OTHERS: Self = Self(63);

    pub(super) const fn has(self, types: Self) -> bool {
        self.0 & types.0 != 0
    }

    /// Whether a text is taken as it is.
    pub(super) const fn is_text(self) -> bool {
        self.0 & Self::OTHERS.0 == 0
    }

    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "null" => Self::NULL,
            "boolean" | "bool" => Self::BOOLEAN,
            "integer" | "int" => Self::INTEGER,
            "number" | "float" => Self::NUMBER,
            "array" | "list" => Self::ARRAY,
            "object" | "dict" => Self::OBJECT,
            "string" | "str" => Self::STRING,
            _ => Self::default(),
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Finds types, as far as a bound on all that it looks into allows.
#[derive(Debug)]
pub(super) struct TypeReader {
    num_left: u32,
}

impl TypeReader {
    pub(super) const fn new() -> Self {
        Self {
            num_left: MAX_INNER_SCHEMAS,
        }
    }

    /// The types that `schema` allows, as far as it says so. `root`: where its references lead.
    pub(super) fn types(&mut self, schema: &Value, root: &Value) -> Types {
        self.types_at(schema, root, 0)
    }

    fn types_at(&mut self, schema: &Value, root: &Value, depth: u32) -> Types {
        let Some(schema) = schema.as_object() else {
            return Types::default();
        };
        if let Some(target) = schema.get("$ref").and_then(|path| resolve(path, root)) {
            return self.inner(target, root, depth);
        }
        let mut types = match schema.get("type") {
            Some(Value::String(name)) => Types::named(name),
            Some(Value::Array(names)) => {
                union(names.iter().filter_map(Value::as_str).map(Types::named))
            }
            _ => Types::default(),
        };
        for list in ["anyOf", "oneOf", "allOf"] {
            if let (true, Some(parts)) = (
                types == Types::default(),
                schema.get(list).and_then(Value::as_array),
            ) {
                types = union(parts.iter().map(|part| self.inner(part, root, depth)));
            }
        }
        if types == Types::default() {
            types = match (schema.get("enum"), schema.get("const")) {
                (Some(Value::Array(values)), _) => union(values.iter().map(Types::of)),
                (_, Some(value)) => Types::of(value),
                _ if schema.contains_key("properties") => Types::OBJECT,
                _ if schema.contains_key("items") => Types::ARRAY,
                _ => types,
            };
        }
        if schema.get("nullable") == Some(&Value::Bool(true)) {
            types = types | Types::NULL;
        }
        types
    }

    /// Of a schema that another one names or holds.
    fn inner(&mut self, schema: &Value, root: &Value, depth: u32) -> Types {
        if depth == MAX_DEPTH || self.num_left == 0 {
            return Types::default();
        }
        self.num_left -= 1;
        self.types_at(schema, root, depth + 1)
    }
}

fn union(types: impl Iterator<Item = Types>) -> Types {
    types.fold(Types::default(), BitOr::bitor)
}

/// What a local reference, as `#/$defs/city`, stands for.
pub(super) fn resolve<'a>(reference: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_stands_for_more_than_can_be_read_is_left_off() {
        let alternatives = vec![json!({"$ref": "#/$defs/a"}); 50];
        let root = json!({"$defs": {"a": {"anyOf": alternatives}}});
        let mut reader = TypeReader::new();
        let types = reader.types(&json!({"$ref": "#/$defs/a"}), &root);
        assert_eq!((types, reader.num_left), (Types::default(), 0));
        assert_eq!(
            reader.types(&json!({"type": "integer"}), &root),
            Types::INTEGER,
            "of its own words every schema is read"
        );
    }

    #[test]
    fn references_and_alternatives_are_followed() {
        let root = json!({"$defs": {"n": {"anyOf": [{"type": "integer"}, {"const": null}]}}});
        let types = TypeReader::new().types(&json!({"$ref": "#/$defs/n"}), &root);
        assert_eq!(types, Types::INTEGER | Types::NULL);
        assert_eq!(
            TypeReader::new().types(&json!({"$ref": "#"}), &json!({"$ref": "#"})),
            Types::default()
        );
    }
}
