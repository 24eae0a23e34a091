//! The rooms of a crate, which room uses which, and the circles among them.
//!
//! A room is a module directly below `lib.rs`, with everything in it. What `lib.rs` re-exports counts as a use of the
//! room where it is defined; what `lib.rs` itself defines makes it a room too, named `lib`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{Mention, Source};

/// The name of the root module as a room.
const ROOT: &str = "lib";

/// How often a room uses another, and where first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) count: usize,
    /// The file below `src`, the line, and the path as it is written.
    pub(crate) example: String,
}

/// The rooms of a crate.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) rooms: BTreeMap<String, Room>,
}

/// One room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) lines: usize,
    pub(crate) uses: BTreeMap<String, Arrow>,
}

impl Graph {
    pub(crate) fn new(sources: &[Source]) -> Self {
        let mut graph = Self::default();
        for source in sources {
            if let Some(room) = source.module.first() {
                graph.rooms.entry(room.clone()).or_default().lines += source.lines;
            }
        }
        let names = RootNames::new(sources, &graph);
        for source in sources {
            for mention in &source.content.mentions {
                graph.add(source, mention, &names);
            }
        }
        graph
    }

    fn add(&mut self, source: &Source, mention: &Mention, names: &RootNames) {
        let from = mention.module.first().map_or(ROOT, String::as_str);
        if from == ROOT && mention.alias.is_some() && mention.public {
            return;
        }
        let Some(to) = names.room(mention) else { return };
        if to == from {
            return;
        }
        let to = to.to_owned();
        let example = format!("{}:{} {}", source.file.display(), mention.line, mention.path.join("::"));
        self.rooms.entry(to.clone()).or_default();
        let room = self.rooms.entry(from.to_owned()).or_default();
        let arrow = room.uses.entry(to).or_insert(Arrow { count: 0, example });
        arrow.count += 1;
    }

    /// The sets of rooms that all use each other, directly or not, largest first.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self
            .rooms
            .keys()
            .map(|room| (room.as_str(), self.reachable(room)))
            .collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (room, reached) in &reach {
            if !reached.contains(room) || circles.iter().any(|circle| circle.contains(room)) {
                continue;
            }
            circles.push(
                reached
                    .iter()
                    .copied()
                    .filter(|other| reach[other].contains(room))
                    .collect(),
            );
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    fn reachable(&self, start: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(room) = open.pop() {
            for next in self.rooms.get(room).into_iter().flat_map(|room| room.uses.keys()) {
                if reached.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        reached
    }

    /// A shortest way around a circle, the first room again at the end.
    pub(crate) fn shortest_way(&self, circle: &BTreeSet<&str>) -> Vec<&str> {
        let ways = circle.iter().filter_map(|&start| self.way_around(start));
        ways.min_by_key(Vec::len).unwrap_or_default()
    }

    fn way_around<'a>(&'a self, start: &str) -> Option<Vec<&'a str>> {
        let (start, _) = self.rooms.get_key_value(start)?;
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = VecDeque::from([start.as_str()]);
        while let Some(room) = open.pop_front() {
            for next in self.rooms[room].uses.keys() {
                if next == start {
                    let mut way = vec![start.as_str(), room];
                    while *way.last()? != start.as_str() {
                        way.push(came_from[way[way.len() - 1]]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, room);
                    open.push_back(next);
                }
            }
        }
        None
    }
}

/// To which room a name at the root of the crate belongs.
struct RootNames {
    /// `None` for what other crates define.
    names: BTreeMap<String, Option<String>>,
}

impl RootNames {
    fn new(sources: &[Source], graph: &Graph) -> Self {
        let mut names = BTreeMap::new();
        for source in sources {
            for name in &source.content.macros {
                names.insert(name.clone(), source.module.first().cloned());
            }
            for mention in source
                .content
                .mentions
                .iter()
                .filter(|mention| mention.module.is_empty())
            {
                let Some(alias) = &mention.alias else { continue };
                let first = mention
                    .path
                    .iter()
                    .find(|word| !matches!(word.as_str(), "self" | "crate"));
                let room = first.filter(|first| graph.rooms.contains_key(*first)).cloned();
                names.insert(alias.clone(), room);
            }
        }
        for room in graph.rooms.keys() {
            names.insert(room.clone(), Some(room.clone()));
        }
        Self { names }
    }

    /// The room that a path leads to; `None` if it stays in the module or leaves the crate.
    fn room(&self, mention: &Mention) -> Option<&str> {
        let mut place = mention.module.clone();
        let mut path = mention.path.iter().map(String::as_str).peekable();
        match path.peek().copied() {
            Some("crate") => place.clear(),
            Some("self" | "super") => {}
            // A `use` of a child, of a name in scope or of another crate: only at the root can it lead to a room.
            _ if place.is_empty() => return self.names.get(path.next()?)?.as_deref(),
            _ => return None,
        }
        while let Some(word) = path.next_if(|word| matches!(*word, "crate" | "self" | "super")) {
            if word == "super" {
                place.pop();
            }
        }
        if let Some(room) = place.first() {
            return self.names.get(room)?.as_deref();
        }
        match self.names.get(path.next()?) {
            Some(room) => room.as_deref(),
            None => Some(ROOT),
        }
    }
}
