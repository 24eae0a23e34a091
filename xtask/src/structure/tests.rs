use super::{Graph, Source};

fn source(module: &str, text: &str) -> Source {
    let module: Vec<String> = module
        .split("::")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    Source::parse(format!("{}.rs", module.join("/")), module, text).unwrap()
}

fn graph(files: &[(&str, &str)]) -> Graph {
    let sources: Vec<Source> = files.iter().map(|(module, text)| source(module, text)).collect();
    Graph::new(&sources)
}

/// The arrows as `from>to`, in order.
fn arrows(graph: &Graph) -> Vec<String> {
    let rooms = graph.rooms.iter();
    rooms
        .flat_map(|(from, room)| room.uses.keys().map(move |to| format!("{from}>{to}")))
        .collect()
}

#[test]
fn use_declarations_become_arrows() {
    let graph = graph(&[
        ("", "mod a; mod b; mod c; mod d;"),
        ("a", "use crate::{b::{self, X as Y}, c::Z};"),
        ("b", "mod inner;"),
        ("b::inner", "use super::super::d::W; use super::Thing;"),
        ("c", "pub(crate) use super::d::*;"),
        ("d", "use std::fmt;"),
    ]);
    assert_eq!(arrows(&graph), ["a>b", "a>c", "b>d", "c>d"]);
    assert_eq!(graph.rooms["a"].uses["b"].count, 2);
    assert_eq!(graph.rooms["b"].uses["d"].example, "b/inner.rs:1 super::super::d::W");
    assert!(graph.circles().is_empty());
}

#[test]
fn inline_paths_become_arrows() {
    let graph = graph(&[
        ("", "mod a; mod b; mod c; mod d;"),
        (
            "a",
            "fn f(x: &crate::b::X) -> impl Sized + use<'_> { select! { _ = crate::c::g() => super::d::h(self.x) } }",
        ),
        ("b", ""),
        ("c", ""),
        ("d", ""),
    ]);
    assert_eq!(arrows(&graph), ["a>b", "a>c", "a>d"]);
}

#[test]
fn inline_modules_resolve_super() {
    let graph = graph(&[
        ("", "mod a; mod b;"),
        ("a", "mod inner { use super::b; use super::super::b::X; }"),
        ("b", ""),
    ]);
    assert_eq!(graph.rooms["a"].uses["b"].count, 1);
}

#[test]
fn test_code_is_ignored() {
    let graph = graph(&[
        ("", "mod a; mod b;"),
        (
            "a",
            "#[cfg(test)] use crate::{b::X}; #[cfg(test)] mod tests { use crate::b::Y; }
             #[cfg(all(test, unix))] #[allow(x)] const X: T = { crate::b::Z };
             #[cfg(test)] #[path = \"a/tests.rs\"] mod more;
             #[cfg(test)] const fn f() -> X { crate::b::f() }",
        ),
        ("b", "#[cfg(any(test, feature = \"x\"))] use crate::a::X;"),
    ]);
    assert_eq!(arrows(&graph), ["b>a"]);
}

#[test]
fn root_reexports_resolve() {
    let graph = graph(&[
        (
            "",
            "mod a; mod b; mod c; pub use self::{a::{Error, Long as Short}}; pub use b::Name; pub use other::Foreign;",
        ),
        ("a", "fn f(name: crate::Name) -> crate::Foreign {}"),
        ("b", "#[macro_export] macro_rules! shout { () => {} }"),
        ("c", "use crate::{Error, Short}; fn g() { crate::shout!() }"),
    ]);
    assert_eq!(arrows(&graph), ["a>b", "c>a", "c>b"]);
    assert_eq!(graph.rooms["c"].uses["a"].count, 2);
}

#[test]
fn root_definitions_are_a_room() {
    let graph = graph(&[
        ("", "mod a; mod b; use a::X; pub struct Y(X);"),
        ("a", "use crate::Y;"),
        ("b", ""),
    ]);
    assert_eq!(arrows(&graph), ["a>lib", "lib>a"]);
    assert_eq!(graph.circles().len(), 1);
}

#[test]
fn circles_have_shortest_way() {
    let graph = graph(&[
        ("", "mod a; mod b; mod c; mod d; mod e; mod f;"),
        ("a", "use crate::b::X;"),
        ("b", "use crate::c::X;"),
        ("c", "use crate::{a::X, b::Y};"),
        ("d", "use crate::{a::X, e::X};"),
        ("e", "use crate::f::X;"),
        ("f", "use crate::e::X;"),
    ]);
    let circles = graph.circles();
    let rooms: Vec<Vec<&str>> = circles.iter().map(|circle| circle.iter().copied().collect()).collect();
    assert_eq!(rooms, [vec!["a", "b", "c"], vec!["e", "f"]]);
    assert_eq!(graph.shortest_way(&circles[0]), ["b", "c", "b"]);
    let text = super::describe(&graph, &circles[1]);
    assert!(text.contains("e -> f   e.rs:1 crate::f::X"), "{text}");
    assert!(text.contains("f -> e   f.rs:1 crate::e::X"), "{text}");
}

#[test]
fn functions_are_measured() {
    let source = source("a", "trait T { fn a(); }\nfn b() {\n}\nimpl X { fn c()\n{\n\n} }");
    let functions = &source.content.functions;
    let found: Vec<(&str, usize)> = functions
        .iter()
        .map(|function| (function.name.as_str(), function.lines))
        .collect();
    assert_eq!(found, [("b", 2), ("c", 4)]);
}
