//! `cargo xtask structure [CRATE]`: the rooms of each library crate, who uses whom, and the circles.

mod graph;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

pub(crate) use self::graph::Graph;
pub(crate) use self::source::{Source, read};
use crate::workspace::{Library, Workspace};

/// The most lines of a file, tests left out.
pub(crate) const FILE_LINES: usize = 500;
/// The most lines of a function, with its signature.
pub(crate) const FUNCTION_LINES: usize = 60;

/// Prints the crates named, or all libraries; returns whether none of them has a circle.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let mut libraries = Workspace::read()?.library_sources();
    let is_named = |library: &Library| {
        args.iter()
            .any(|arg| library.name == *arg || library.name.strip_prefix("portolan-") == Some(arg))
    };
    if !args.is_empty() {
        libraries.retain(is_named);
        ensure!(
            libraries.len() == args.len(),
            "no such library crate: {}",
            args.join(", ")
        );
    }
    let mut sound = true;
    for library in libraries {
        let sources = read(&library.src)?;
        let graph = Graph::new(&sources);
        println!("\n==== {}\n", library.name);
        print_rooms(&graph);
        for circle in graph.circles() {
            sound = false;
            println!("\n{}", describe(&graph, &circle));
            print_arrows(&graph, &circle);
        }
        for (what, lines, limit) in sources.iter().flat_map(too_long) {
            println!("\n{what} has {lines} lines, more than {limit}");
        }
    }
    Ok(sound)
}

/// The file and its functions, each with its lines and the limit, as far as they are too long.
pub(crate) fn too_long(source: &Source) -> Vec<(String, usize, usize)> {
    let file = source.file.display();
    let functions = source
        .content
        .functions
        .iter()
        .map(|function| (format!("{file} {}", function.name), function.lines, FUNCTION_LINES));
    std::iter::once((file.to_string(), source.lines, FILE_LINES))
        .chain(functions)
        .filter(|(_, lines, limit)| lines > limit)
        .collect()
}

/// A circle in words: its rooms, and a shortest way around with an example for each arrow.
pub(crate) fn describe(graph: &Graph, circle: &BTreeSet<&str>) -> String {
    let rooms: Vec<&str> = circle.iter().copied().collect();
    let mut text = format!(
        "{} rooms use each other: {}\nfor example:",
        rooms.len(),
        rooms.join(", ")
    );
    for pair in graph.shortest_way(circle).windows(2) {
        let arrow = &graph.rooms[pair[0]].uses[pair[1]];
        text += &format!("\n    {} -> {}   {}", pair[0], pair[1], arrow.example);
    }
    text
}

fn print_rooms(graph: &Graph) {
    println!("{:<24}{:>7}  uses (how often)", "room", "lines");
    for (name, room) in &graph.rooms {
        let uses: Vec<String> = room
            .uses
            .iter()
            .map(|(to, arrow)| format!("{to} ({})", arrow.count))
            .collect();
        println!("{name:<24}{:>7}  {}", room.lines, uses.join(", "));
    }
}

/// The arrows inside a circle, the rarest first: these are the cheapest to cut.
fn print_arrows(graph: &Graph, circle: &BTreeSet<&str>) {
    let mut arrows: Vec<_> = circle
        .iter()
        .flat_map(|&from| graph.rooms[from].uses.iter().map(move |(to, arrow)| (from, to, arrow)))
        .filter(|(_, to, _)| circle.contains(to.as_str()))
        .collect();
    arrows.sort_by_key(|(_, _, arrow)| arrow.count);
    println!("all {} arrows of this circle:", arrows.len());
    for (from, to, arrow) in arrows {
        println!("{:>5}  {from} -> {to}   {}", arrow.count, arrow.example);
    }
}
