//! `docker run`, `podman run`.

/// A value in a command: the word that it stands in, and its text.
pub(crate) struct Value {
    pub(crate) word: usize,
    pub(crate) text: String,
}

/// A container that a command runs.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) image: Option<Value>,
    /// The place of the first argument after the image.
    pub(crate) args_from: usize,
    /// Variables: with a value, or passed on.
    pub(crate) env: Vec<(String, Option<Value>)>,
    pub(crate) env_file: bool,
    /// `source:target` or `source:target:ro`.
    pub(crate) volumes: Vec<Value>,
    pub(crate) network: Option<Value>,
    pub(crate) user: Option<Value>,
    /// Options that change the container and cannot be kept.
    pub(crate) ignored: Vec<String>,
}

/// Options without a value.
const FLAGS: &[&str] = &[
    "-i",
    "-t",
    "-it",
    "-ti",
    "-d",
    "-q",
    "-P",
    "--interactive",
    "--tty",
    "--rm",
    "--init",
    "--detach",
    "--quiet",
    "--publish-all",
    "--privileged",
    "--read-only",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--sig-proxy",
    "--disable-content-trust",
    "--replace",
    "--help",
];

/// Options that mean nothing for a server over stdio.
const MEANINGLESS: &[&str] = &[
    "-i",
    "-t",
    "-it",
    "-ti",
    "-q",
    "--interactive",
    "--tty",
    "--rm",
    "--init",
    "--quiet",
    "--sig-proxy",
    "--disable-content-trust",
    "--replace",
    "--name",
    "--pull",
    "--platform",
    "--log-driver",
    "--log-opt",
    "-a",
    "--attach",
    "-l",
    "--label",
    "--no-healthcheck",
];

/// Reads the words after `docker`. `None` if they run no container.
pub(super) fn read(args: &[String]) -> Option<Container> {
    let run = match args.first().map(String::as_str) {
        Some("run") => 1,
        Some("container") if args.get(1).is_some_and(|arg| arg == "run") => 2,
        _ => return None,
    };
    let container = Container::options(args, run);
    container.image.is_some().then_some(container)
}

impl Container {
    /// Reads options from `start` on, up to the image.
    pub(crate) fn options(args: &[String], start: usize) -> Self {
        let mut container = Self::default();
        let mut at = start;
        while let Some(arg) = args.get(at) {
            if !arg.starts_with('-') || arg == "-" {
                container.image = Some(Value {
                    word: at,
                    text: arg.clone(),
                });
                container.args_from = at + 1;
                break;
            }
            if arg == "--" {
                at += 1;
                continue;
            }
            at += container.option(args, at);
        }
        container
    }

    /// Reads one option, and returns the number of its words.
    fn option(&mut self, args: &[String], at: usize) -> usize {
        let arg = args[at].as_str();
        let joined = arg
            .split_once('=')
            .filter(|(name, _)| name.starts_with("--") || name.len() == 2);
        let (name, value, words) = match joined {
            Some((name, value)) => (
                name,
                Some(Value {
                    word: at,
                    text: value.to_owned(),
                }),
                1,
            ),
            None if FLAGS.contains(&arg) => (arg, None, 1),
            // `-eNAME`, `-v/source:/target`.
            None if !arg.starts_with("--")
                && arg.len() > 2
                && arg.is_char_boundary(2)
                && ["-e", "-v", "-u", "-p"].contains(&&arg[..2]) =>
            {
                (
                    &arg[..2],
                    Some(Value {
                        word: at,
                        text: arg[2..].to_owned(),
                    }),
                    1,
                )
            }
            None => (
                arg,
                args.get(at + 1).map(|text| Value {
                    word: at + 1,
                    text: text.clone(),
                }),
                2,
            ),
        };
        match (name, value) {
            ("-e" | "--env", Some(value)) => self.env(value),
            ("--env-file", Some(_)) => self.env_file = true,
            ("-v" | "--volume", Some(value)) => self.volumes.push(value),
            ("--mount", Some(value)) => match mount(&value.text) {
                Some(text) => self.volumes.push(Value { word: value.word, text }),
                None => self.ignored.push(name.to_owned()),
            },
            ("--network" | "--net", Some(value)) => self.network = Some(value),
            ("-u" | "--user", Some(value)) => self.user = Some(value),
            _ if MEANINGLESS.contains(&name) => {}
            _ => self.ignored.push(name.to_owned()),
        }
        words
    }

    fn env(&mut self, value: Value) {
        let (name, text) = match value.text.split_once('=') {
            Some((name, text)) => (name.to_owned(), Some(text.to_owned())),
            None => (value.text.clone(), None),
        };
        self.env.push((name, text.map(|text| Value { word: value.word, text })));
    }
}

/// Returns `type=bind,src=S,dst=D` as `S:D`. `None` for other mounts.
fn mount(text: &str) -> Option<String> {
    let (mut source, mut target, mut read_only) = (None, None, false);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, "true"));
        match key.trim() {
            "src" | "source" => source = Some(value),
            "dst" | "destination" | "target" => target = Some(value),
            "ro" | "readonly" => read_only = value != "false" && value != "0",
            "type" if value == "tmpfs" => return None,
            _ => {}
        }
    }
    let end = if read_only { ":ro" } else { "" };
    Some(format!("{}:{}{end}", source?, target?))
}

/// Splits an image reference into its name and its version: a digest, or a tag other than `latest`.
pub(crate) fn image_package(image: &str) -> (String, Option<String>) {
    let (reference, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let start = reference.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match reference[start..].split_once(':') {
        Some((last, tag)) => (&reference[..start + last.len()], Some(tag)),
        None => (reference, None),
    };
    let tag = tag.filter(|tag| *tag != "latest" && !tag.is_empty() && !tag.contains(['$', '{']));
    (name.to_owned(), digest.or(tag).map(str::to_owned))
}
