//! What JSON types a schema allows.

use std::ops::BitOr;

use serde_json::Value;

/// References that are followed from one schema to the next.
const MAX_REFERENCES: u32 = 16;

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

/// The types that `schema` allows, as far as it says so.
pub(super) fn types_of(schema: &Value, root: &Value, num_references: u32) -> Types {
    let Some(schema) = schema
        .as_object()
        .filter(|_| num_references < MAX_REFERENCES)
    else {
        return Types::default();
    };
    let inner = |part: &Value| types_of(part, root, num_references + 1);
    if let Some(target) = schema.get("$ref").and_then(|path| resolve(path, root)) {
        return inner(target);
    }
    let any = |types: &mut dyn Iterator<Item = Types>| types.fold(Types::default(), BitOr::bitor);
    let mut types = match schema.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => {
            any(&mut names.iter().filter_map(Value::as_str).map(Types::named))
        }
        _ => Types::default(),
    };
    for list in ["anyOf", "oneOf", "allOf"] {
        if let (true, Some(parts)) = (
            types == Types::default(),
            schema.get(list).and_then(Value::as_array),
        ) {
            types = any(&mut parts.iter().map(inner));
        }
    }
    if types == Types::default() {
        types = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => any(&mut values.iter().map(Types::of)),
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

/// What a local reference, as `#/$defs/city`, stands for.
pub(super) fn resolve<'a>(reference: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}
