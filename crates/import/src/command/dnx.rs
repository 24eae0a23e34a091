//! `dnx Id@version --yes -- arguments`, `dotnet tool exec`.

use super::{PackageCommand, Spec};
use crate::PackageRegistry;
use crate::names::is_exact;

/// Options that take the next word.
const WITH_VALUE: &[&str] = &[
    "--source",
    "--add-source",
    "--configfile",
    "--framework",
    "--verbosity",
    "--version",
];

/// Options without a value.
const FLAGS: &[&str] = &["--yes", "-y", "--prerelease", "--allow-roll-forward", "--interactive"];

/// Reads the package in the arguments from `start` on. `None` if they name none.
pub(super) fn package(args: &[String], start: usize) -> Option<PackageCommand> {
    let mut at = start;
    let mut options = Options::default();
    while args.get(at)?.starts_with('-') {
        at += options.read(args, at).max(1);
    }
    let (name, version) = match args[at].split_once('@') {
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (args[at].as_str(), None),
    };
    // What follows `--` is the server's own; without it, all but the options that are known.
    let end = args[at + 1..]
        .iter()
        .position(|arg| arg == "--")
        .map(|place| at + 1 + place);
    let (mut next, mut not_args) = (at + 1, Vec::new());
    while next < end.unwrap_or(args.len()) {
        let words = options.read(args, next);
        not_args.extend(next..next + words);
        next += words.max(1);
    }
    let spec = Spec {
        registry: PackageRegistry::Nuget,
        name: name.to_owned(),
        version: version.or(options.version).filter(|version| is_exact(version)),
    };
    let mut package = spec.command(end.map_or(at + 1, |end| end + 1));
    package.not_args = not_args;
    Some(package)
}

#[derive(Default)]
struct Options {
    version: Option<String>,
}

impl Options {
    /// Reads one option, and returns the number of its words; 0 for a word that is none.
    fn read(&mut self, args: &[String], at: usize) -> usize {
        let option = args[at].as_str();
        if option == "--version" {
            self.version = args.get(at + 1).cloned();
        }
        if WITH_VALUE.contains(&option) {
            2
        } else {
            usize::from(FLAGS.contains(&option))
        }
    }
}
