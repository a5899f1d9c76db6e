use serde_json::{Value, json};

use super::prepare;

fn refusal(schema: &Value) -> String {
    prepare(schema).expect_err("a refusal")
}

#[test]
fn what_is_enforced_stays_as_it_is() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
            "where": {"type": "string", "format": "ipv4"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
        },
        "required": ["name"],
        "additionalProperties": false,
        "$defs": {"node": {"type": "integer", "minimum": 0}}
    });
    assert_eq!(prepare(&schema), Ok(schema));
}

#[test]
fn what_cannot_be_enforced_is_refused_by_name_and_place() {
    let schema = json!({"properties": {"tags": {"type": "array", "uniqueItems": true}}});
    assert_eq!(
        refusal(&schema),
        "the keyword 'uniqueItems' at #/properties/tags is not supported"
    );
    for name in ["not", "if", "contains", "dependentRequired", "$dynamicRef"] {
        assert!(refusal(&json!({"anyOf": [{ name: {} }]})).contains(name));
    }
    assert!(refusal(&json!({"minLenght": 3})).contains("'minLenght' at # is unknown"));
    assert!(refusal(&json!({"items": {"format": "regex"}})).contains("'regex' at #/items"));
    assert!(refusal(&json!({"type": "strnig"})).contains("'type' at #"));
    assert!(refusal(&json!({"items": 3})).contains("#/items"));
}

#[test]
fn an_id_beside_a_reference_is_refused() {
    let schema = |id: &str| {
        json!({
            "definitions": {
                "name": {"$id": "http://a.example/name.json", "type": "string"},
                "number": {"$id": "http://a.example/base/name.json", "type": "number"}
            },
            "$id": "http://a.example/base/",
            "allOf": [{"$id": id, "$ref": "name.json"}]
        })
    };
    assert!(refusal(&schema("http://a.example/")).contains("'$id' at #/allOf/0"));
    let whole =
        json!({"$id": "http://a.example/x.json", "$ref": "#/$defs/a", "$defs": {"a": true}});
    assert_eq!(prepare(&whole), Ok(whole));
}

#[test]
fn a_property_may_have_a_keyword_s_name() {
    let schema = json!({"type": "object", "properties": {"not": {"type": "string"}}});
    assert_eq!(prepare(&schema), Ok(schema));
}

#[test]
fn what_says_nothing_is_left_out() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "T", "x-order": 3, "x-guidance": {"lenient": true}, "nullable": false,
        "type": "integer", "format": "int64", "uniqueItems": false,
        "propertyNames": {"type": "string"}
    });
    assert_eq!(prepare(&schema), Ok(json!({"type": "integer"})));
}

#[test]
fn a_tagged_union_is_any_of_its_members() {
    let member = |tag: &str| json!({"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"]});
    let options = json!([{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}]);
    let schema = json!({"oneOf": options, "$defs": {"cat": member("cat"), "dog": member("dog")}});
    let prepared = prepare(&schema).expect("schema");
    assert_eq!(prepared["allOf"], json!([{"anyOf": options}]));
    let same = json!({"oneOf": options, "$defs": {"cat": member("cat"), "dog": member("cat")}});
    assert_eq!(prepare(&same).expect("schema")["oneOf"], options);
}

#[test]
fn one_of_types_that_differ_is_any_of_them() {
    let options = json!([{"type": "string"}, {"type": ["integer", "null"]}]);
    let prepared = prepare(&json!({"oneOf": options})).expect("schema");
    assert_eq!(prepared, json!({"allOf": [{"anyOf": options}]}));
    let numbers = json!([{"type": "number"}, {"type": "integer"}]);
    let prepared = prepare(&json!({"oneOf": numbers})).expect("schema");
    assert_eq!(prepared, json!({"oneOf": numbers}));
}

#[test]
fn names_that_are_listed_become_properties() {
    let schema = json!({"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}});
    let expected = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "additionalProperties": false
    });
    assert_eq!(prepare(&schema), Ok(expected));
    let schema = json!({"propertyNames": {"pattern": "^x"}, "properties": {"y": true}});
    assert!(refusal(&schema).contains("propertyNames"));
}

#[test]
fn dates_are_held_to_the_calendar() {
    let schema = json!({"type": "string", "format": "date", "pattern": "\\d$"});
    let prepared = prepare(&schema).expect("schema");
    assert_eq!(prepared["pattern"], "[0-9]$");
    assert!(
        prepared["allOf"][0]["pattern"]
            .as_str()
            .is_some_and(|each| each.contains("02-29"))
    );
    assert!(prepared.get("format").is_none());
}

#[test]
fn names_in_names_do_not_grow_without_bound() {
    let names: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    let nested = |depth| {
        (0..depth).fold(
            json!({"type": "string"}),
            |inner, _| json!({"propertyNames": {"enum": names}, "additionalProperties": inner}),
        )
    };
    assert!(prepare(&nested(2)).is_ok());
    assert!(refusal(&nested(40)).contains("too many names"));
}
