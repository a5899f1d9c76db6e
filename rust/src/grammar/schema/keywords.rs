//! What is done about each keyword of JSON Schema: a table.

use serde_json::Value;

/// What a keyword is to the compiler.
pub(super) enum Keyword {
    /// Enforced as it stands.
    Assertion,
    /// Enforced; its value is a schema, or an array of them.
    Schema,
    /// Enforced; its value is an array of schemas.
    Schemas,
    /// Enforced; its value is an object of schemas, or it holds those that references point to.
    NamedSchemas,
    /// Enforced where no two of its schemas can hold at once.
    OneOf,
    /// `pattern`: enforced, its shorthands spelt out.
    Pattern,
    /// `format`: some are enforced.
    Format,
    /// `propertyNames`: some are enforced.
    PropertyNames,
    /// Says nothing about what is valid.
    Annotation,
    /// Not supported, unless it has this value, which asks for nothing.
    Neutral(Value),
    /// Not supported.
    Unsupported,
    /// No keyword of JSON Schema.
    Unknown,
}

/// The row of a keyword. Names that begin with "x-" are annotations.
pub(super) fn keyword(name: &str) -> Keyword {
    match name {
        "type" | "const" | "enum" | "$ref" | "$id" | "$anchor" | "minItems" | "maxItems"
        | "required" | "minProperties" | "maxProperties" | "minLength" | "maxLength"
        | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            Keyword::Assertion
        }
        "items" | "additionalItems" | "additionalProperties" => Keyword::Schema,
        "anyOf" | "allOf" | "prefixItems" => Keyword::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" => Keyword::NamedSchemas,
        "oneOf" => Keyword::OneOf,
        "format" => Keyword::Format,
        "pattern" => Keyword::Pattern,
        "propertyNames" => Keyword::PropertyNames,
        // `$schema` too: the drafts differ in keywords, and each is looked at here. Then OpenAPI's.
        "$schema" | "$comment" | "$vocabulary" | "id" | "title" | "description" | "default"
        | "deprecated" | "readOnly" | "writeOnly" | "examples" | "contentMediaType"
        | "contentEncoding" | "contentSchema" | "example" | "discriminator" | "externalDocs"
        | "xml" => Keyword::Annotation,
        "uniqueItems" | "nullable" => Keyword::Neutral(Value::Bool(false)),
        "unevaluatedProperties" | "unevaluatedItems" => Keyword::Neutral(Value::Bool(true)),
        "not" | "if" | "then" | "else" | "contains" | "minContains" | "maxContains"
        | "dependentRequired" | "dependentSchemas" | "dependencies" | "$dynamicRef"
        | "$dynamicAnchor" | "$recursiveRef" | "$recursiveAnchor" => Keyword::Unsupported,
        _ if name.starts_with("x-") => Keyword::Annotation,
        _ => Keyword::Unknown,
    }
}
