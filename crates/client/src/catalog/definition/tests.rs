use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

/// What becomes of a definition: its text, or the problem.
fn fitted(kind: Kind, text: &str) -> Result<String, String> {
    let item = raw(text);
    fitting(kind, &item).map(|mended| mended.unwrap_or(item).get().to_owned())
}

fn tool(members: &str) -> String {
    format!(r#"{{"name":"a", {members}}}"#)
}

#[test]
fn valid_definitions_keep_every_byte() {
    let schema = r#""inputSchema":{"type":"object"}"#;
    let tools = [
        tool(schema),
        tool(
            r#""inputSchema":{"type" : "object","properties":{"x":{},"y":true},"required":["x"],"$schema":"s","z":null}"#,
        ),
        tool(&format!(
            r#"{schema},"x":null,"_meta":{{"a":null}},"annotations":{{"readOnlyHint":true,"y":null}}"#
        )),
        tool(&format!(
            r##"{schema},"outputSchema":{{"type":"array","items":{{"$ref":"#/$defs/a"}},"$defs":{{"a":{{}}}}}}"##
        )),
        tool(&format!(
            r##"{schema},"outputSchema":{{"oneOf":[{{"type":"object"}}],"$ref":"#b","$defs":{{"b":{{"$anchor":"b"}}}}}}"##
        )),
        tool(r#""inputSchema":{"type":"object","properties":{"x":{"maximum":1e999,"const":"\ud83d\ude00"}}}"#),
        tool(&format!(
            r#"{schema},"icons":[{{"src":"x","sizes":["any"],"theme":"dark"}}],"execution":{{"taskSupport":"optional"}}"#
        )),
    ];
    for text in tools {
        assert_eq!(fitted(Kind::TOOL, &text), Ok(text.clone()));
    }
    let prompt = r#"{"name":"a","arguments":[{"name":"x","required":false,"description":""}],"title":"A"}"#;
    assert_eq!(fitted(Kind::PROMPT, prompt), Ok(prompt.to_owned()));
    let resource = r#"{"uri":"note:1","name":"","size":1.50e1,"annotations":{"audience":["user"],"priority":0.5,"lastModified":"2025-01-12T15:00:58.1+02:00"}}"#;
    assert_eq!(fitted(Kind::RESOURCE, resource), Ok(resource.to_owned()));
    let template = r#"{"uriTemplate":"note:{id}","name":"a","mimeType":"text/plain"}"#;
    assert_eq!(fitted(Kind::TEMPLATE, template), Ok(template.to_owned()));
}

#[test]
fn one_meaning_is_mended() {
    let schema = r#""inputSchema":{"type":"object"}"#;
    let mended = [
        (
            format!(r#"{schema},"annotations":{{"readOnlyHint":null,"title":"T"}}"#),
            format!(r#"{schema},"annotations":{{"title":"T"}}"#),
        ),
        (
            format!(r#"{schema},"title":null,"icons":null,"_meta":null,"execution":null,"outputSchema":null"#),
            schema.to_owned(),
        ),
        (r#""inputSchema":{}"#.into(), schema.to_owned()),
        (r#""inputSchema":{"type":null}"#.into(), schema.to_owned()),
        (r#""inputSchema":{"type":["object","null"]}"#.into(), schema.to_owned()),
        (
            r#""inputSchema":{"type":"object","properties":{"x":null},"required":null}"#.into(),
            r#""inputSchema":{"type":"object","properties":{"x":{}}}"#.into(),
        ),
        (format!(r#"{schema},"outputSchema":true"#), schema.to_owned()),
        (
            format!(r##"{schema},"outputSchema":{{"type":"object","properties":{{"x":{{"$ref":"#/$defs/none"}}}}}}"##),
            schema.to_owned(),
        ),
        (
            format!(r#"{schema},"icons":[{{"src":"x","sizes":"any"}}]"#),
            format!(r#"{schema},"icons":[{{"src":"x","sizes":["any"]}}]"#),
        ),
    ];
    for (before, after) in mended {
        let expected = format!(r#"{{"name":"a",{after}}}"#);
        assert_eq!(fitted(Kind::TOOL, &tool(&before)), Ok(expected), "{before}");
    }
    let dated = r#"{"uri":"note:1","name":"a","annotations":{"lastModified":"2025-01-12"}}"#;
    let expected = r#"{"uri":"note:1","name":"a","annotations":{}}"#;
    assert_eq!(fitted(Kind::RESOURCE, dated), Ok(expected.to_owned()));
}

#[test]
fn anything_else_is_left_out() {
    let schema = r#""inputSchema":{"type":"object"}"#;
    let tools = [
        (r#""title":"T""#.to_owned(), "inputSchema is missing"),
        (r#""inputSchema":null"#.into(), "inputSchema is not an object"),
        (
            r#""inputSchema":{"type":"string"}"#.into(),
            "inputSchema.type is not \"object\"",
        ),
        (
            r#""inputSchema":{"type":"object","properties":[]}"#.into(),
            "inputSchema.properties is not an object",
        ),
        (
            r#""inputSchema":{"type":"object","properties":{"x":1}}"#.into(),
            "inputSchema.properties.x is not a schema",
        ),
        (
            r#""inputSchema":{"type":"object","required":"x"}"#.into(),
            "inputSchema.required is not a list of texts",
        ),
        (format!(r#"{schema},"description":5"#), "description is not a text"),
        (
            format!(r#"{schema},"annotations":{{"readOnlyHint":"yes"}}"#),
            "annotations.readOnlyHint is neither true nor false",
        ),
        (format!(r#"{schema},"icons":[{{}}]"#), "icons.0.src is missing"),
        (
            format!(r#"{schema},"description":"\ud800""#),
            "has a text that is not Unicode (half of a surrogate pair)",
        ),
    ];
    for (members, problem) in tools {
        assert_eq!(
            fitted(Kind::TOOL, &tool(&members)),
            Err(problem.to_owned()),
            "{members}"
        );
    }
    for (kind, text) in [
        (Kind::TOOL, r#"[]"#),
        (Kind::TOOL, r#"{"name":1,"inputSchema":{"type":"object"}}"#),
        (Kind::PROMPT, r#"{"name":"a","arguments":{}}"#),
        (Kind::PROMPT, r#"{"name":"a","arguments":[{}]}"#),
        (Kind::RESOURCE, r#"{"uri":"note:1"}"#),
        (Kind::RESOURCE, r#"{"uri":"note","name":"a"}"#),
        (Kind::RESOURCE, r#"{"uri":"note:1","name":"a","size":1.5}"#),
        (
            Kind::RESOURCE,
            r#"{"uri":"note:1","name":"a","annotations":{"priority":2}}"#,
        ),
        (Kind::TEMPLATE, r#"{"uriTemplate":"note:{x}"}"#),
    ] {
        assert!(fitted(kind, text).is_err(), "{text}");
    }
}

#[test]
fn omissions_are_named_and_bounded() {
    let mut sorted = Sorted::new(Kind::TOOL, "up");
    let limits = ClientLimits::default();
    for number in 0..NAMED + 5 {
        let item = if number == 1 {
            raw("{}")
        } else {
            raw(&format!(r#"{{"name":"t{number}"}}"#))
        };
        assert!(sorted.take(item, &limits, Ok).is_none());
    }
    let name = |at: usize| &*sorted.omitted[at].name;
    assert_eq!((name(0), name(1), name(2)), ("t0", "#2", "t2"));
    assert_eq!(sorted.omitted.len(), NAMED);
    assert_eq!(&*sorted.omitted[NAMED - 1].problem, "6 more are left out");
}
