//! The JSON Schemas of tools.

use bytes::Bytes;
use portolan_wire::object::{self, RawObject};
use serde_json::Value;

use super::fit::{Fit, Fitting, Misfit, is_text, items_of, members_of};

const OBJECT: &[u8] = br#""object""#;
/// How deep a schema is looked into. Deeper ones are limited by `ClientLimits::schema_depth`.
const DEPTH: usize = 256;

/// Returns how the schema of arguments fits. They always are an object, whether the schema says so or not.
pub(super) fn input(raw: &Bytes) -> Fitting {
    let Some(mut members) = members_of(raw)? else {
        return Ok(Fit::AsIs);
    };
    let mut mended = false;
    match members.get("type").cloned() {
        Some(kind) if object::text(&kind).is_some_and(|kind| kind == "object") => {}
        Some(kind) if kind != "null" && !lists_object(&kind) => {
            return Err(Misfit::new("is not \"object\"").at("type"));
        }
        _ => {
            members.set("type", Bytes::from_static(OBJECT));
            mended = true;
        }
    }
    mended |= parts(&mut members)?;
    Ok(if mended {
        Fit::Mended(members.to_bytes())
    } else {
        Fit::AsIs
    })
}

/// Returns how the schema of results fits. Before 2026-07-28 they are an object too; other schemas are removed for clients of
/// those revisions.
pub(super) fn output(raw: &Bytes) -> Fitting {
    let Some(mut members) = members_of(raw)? else {
        return Ok(Fit::AsIs);
    };
    let mended = parts(&mut members)?;
    Ok(if mended {
        Fit::Mended(members.to_bytes())
    } else {
        Fit::AsIs
    })
}

/// Mends the members that the protocol's schema defines. Returns whether something changed.
fn parts(members: &mut RawObject) -> Result<bool, Misfit> {
    let mut mended = false;
    for name in ["$schema", "properties", "required"] {
        if members.get(name).is_some_and(|raw| raw == "null") {
            members.remove(name);
            mended = true;
        }
    }
    if members.get("$schema").is_some_and(|raw| !is_text(raw)) {
        return Err(Misfit::new("is not a text").at("$schema"));
    }
    if let Some(required) = members.get("required") {
        let is_list = items_of(required).is_some_and(|items| items.iter().all(is_text));
        if !is_list {
            return Err(Misfit::new("is not a list of texts").at("required"));
        }
    }
    let Some(raw) = members.get("properties").cloned() else {
        return Ok(mended);
    };
    let Some(mut properties) = members_of(&raw).map_err(|misfit| misfit.at("properties"))? else {
        return Ok(mended);
    };
    let mut changes = Vec::new();
    for (name, schema) in properties.iter() {
        match schema.first() {
            Some(b'{') => {}
            // A property without a schema is any value.
            _ if schema == "null" => changes.push((name.into_owned(), Bytes::from_static(b"{}"))),
            // Schemas as well; 2025-11-25 wants objects, see `plain`.
            _ if schema == "true" || schema == "false" => {}
            _ => {
                let name = name.into_owned();
                return Err(Misfit::new("is not a schema").at(name).at("properties"));
            }
        }
    }
    if !changes.is_empty() {
        mended = true;
        for (name, schema) in changes {
            properties.set(&name, schema);
        }
        members.set("properties", properties.to_bytes());
    }
    Ok(mended)
}

/// Returns `true` for a list of types that includes `object`.
fn lists_object(raw: &Bytes) -> bool {
    let types = raw.starts_with(b"[").then(|| items_of(raw)).flatten();
    types.is_some_and(|types| types.iter().any(|kind| kind == OBJECT))
}

/// Returns a definition in which the schemas of properties are objects: `true` is the same as `{}`, and `false` as
/// `{"not":{}}`. `None` if they are so already.
///
/// Schemas of the Go SDK have `true` for any value. Revisions before 2026-07-28 want an object there, and the TypeScript SDK
/// refuses the list.
pub(super) fn plain(definition: &Bytes) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(definition).ok()?;
    let mut changed = false;
    for schema in ["inputSchema", "outputSchema"] {
        if let Some(plain) = members.get(schema).and_then(with_plain_properties) {
            members.set(schema, plain);
            changed = true;
        }
    }
    changed.then(|| members.to_bytes())
}

fn with_plain_properties(schema: &Bytes) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(schema).ok()?;
    let mut properties = RawObject::parse_checked(members.get("properties")?).ok()?;
    let odd: Vec<(String, bool)> = properties
        .iter()
        .filter(|(_, schema)| *schema == "true" || *schema == "false")
        .map(|(name, schema)| (name.into_owned(), schema == "true"))
        .collect();
    if odd.is_empty() {
        return None;
    }
    for (name, any) in odd {
        properties.set(&name, Bytes::from_static(if any { b"{}" } else { br#"{"not":{}}"# }));
    }
    members.set("properties", properties.to_bytes());
    Some(members.to_bytes())
}

/// Returns `true` if a validator can be made of a schema of results. Clients make one when they get the list, and the
/// TypeScript SDK refuses the whole list if it cannot.
pub(super) fn can_be_used(raw: &Bytes) -> bool {
    // A schema with other numbers than these is beyond this check, not beyond clients.
    let Ok(schema) = serde_json::from_slice::<Value>(raw) else {
        return true;
    };
    is_schema(&schema, &schema, 0)
}

const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

fn is_schema(schema: &Value, root: &Value, depth: usize) -> bool {
    let members = match schema {
        Value::Bool(_) => return true,
        Value::Object(members) if depth < DEPTH => members,
        Value::Object(_) => return true,
        _ => return false,
    };
    let is_type = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
    members.iter().all(|(keyword, value)| match (keyword.as_str(), value) {
        ("type", Value::Array(types)) => types.iter().all(is_type),
        ("type", kind) => is_type(kind),
        ("$ref", Value::String(reference)) => resolves(reference, root),
        ("$ref", _) => false,
        ("required", Value::Array(names)) => names.iter().all(Value::is_string),
        ("enum", Value::Array(values)) => !values.is_empty(),
        ("required" | "enum", _) => false,
        ("properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(all)) => {
            all.values().all(|schema| is_schema(schema, root, depth + 1))
        }
        ("properties" | "patternProperties", _) => false,
        ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(all)) => {
            !all.is_empty() && all.iter().all(|schema| is_schema(schema, root, depth + 1))
        }
        ("allOf" | "anyOf" | "oneOf", _) => false,
        // A list of schemas in older drafts.
        ("items", Value::Array(all)) => all.iter().all(|schema| is_schema(schema, root, depth + 1)),
        ("items" | "additionalProperties" | "contains" | "not" | "if" | "then" | "else" | "propertyNames", schema) => {
            is_schema(schema, root, depth + 1)
        }
        _ => true,
    })
}

/// Returns `true` if a reference leads to a part of the same schema. Others must not be fetched (2026-07-28, server/tools).
fn resolves(reference: &str, root: &Value) -> bool {
    let own = root.get("$id").and_then(Value::as_str).unwrap_or_default();
    let fragment = match reference.split_once('#') {
        Some((base, fragment)) if base.is_empty() || base == own.trim_end_matches('#') => fragment,
        _ => return !own.is_empty() && reference == own,
    };
    let decoded = percent_decoded(fragment);
    match decoded.is_empty() || decoded.starts_with('/') {
        true => root.pointer(&decoded).is_some(),
        false => has_anchor(root, &decoded, 0),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |digit: Option<&u8>| digit.and_then(|digit| char::from(*digit).to_digit(16));
        match (first, hex(tail.first()), hex(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.extend(u8::try_from(high * 16 + low));
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn has_anchor(schema: &Value, anchor: &str, depth: usize) -> bool {
    match schema {
        _ if depth > DEPTH => false,
        Value::Object(members) => {
            let names = ["$anchor", "$dynamicAnchor"];
            names
                .iter()
                .any(|name| members.get(*name).is_some_and(|value| value == anchor))
                || members.get("$id").and_then(Value::as_str) == Some(&format!("#{anchor}"))
                || members.values().any(|schema| has_anchor(schema, anchor, depth + 1))
        }
        Value::Array(all) => all.iter().any(|schema| has_anchor(schema, anchor, depth + 1)),
        _ => false,
    }
}
