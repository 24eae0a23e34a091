//! The arguments of the example.

use serde_json::Value;

pub(crate) const USAGE: &str = "\
cargo run --example kubernetes --features k8s-latest -- [OPTIONS] [-- PROGRAM ARGS...]
  --image IMAGE          an image of the server's own [mcp/time, unless a program is given]
  --base-image IMAGE     where a program without an image of its own runs
  --bridge-image IMAGE   where the bridge is taken from, at /portolan-bridge [the base image]
  --name NAME            what the server is called [time]
  --namespace NAME       where it runs; it must exist [mcp-servers]
  --call TOOL JSON       the call that is made [lists the tools]
  --database PATH        [kubernetes.db]
  --listen ADDRESS       [127.0.0.1:8080]
  --once                 ends after the call
  --remove               removes what an earlier run installed";

pub(crate) struct Options {
    pub(crate) image: Option<String>,
    pub(crate) base_image: Option<String>,
    pub(crate) bridge_image: Option<String>,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) call: Option<(String, Value)>,
    pub(crate) database: String,
    pub(crate) listen: String,
    pub(crate) once: bool,
    pub(crate) remove: bool,
    pub(crate) command: Vec<String>,
}

impl Options {
    pub(crate) fn read() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::{Long, Value, ValueExt};

        let mut options = Self {
            image: None,
            base_image: None,
            bridge_image: None,
            name: "time".into(),
            namespace: "mcp-servers".into(),
            call: None,
            database: "kubernetes.db".into(),
            listen: "127.0.0.1:8080".into(),
            once: false,
            remove: false,
            command: Vec::new(),
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("image") => options.image = Some(args.value()?.string()?),
                Long("base-image") => options.base_image = Some(args.value()?.string()?),
                Long("bridge-image") => options.bridge_image = Some(args.value()?.string()?),
                Long("name") => options.name = args.value()?.string()?,
                Long("namespace") => options.namespace = args.value()?.string()?,
                Long("call") => {
                    let tool = args.value()?.string()?;
                    let arguments = args.value()?.parse_with(|text| serde_json::from_str(text))?;
                    options.call = Some((tool, arguments));
                }
                Long("database") => options.database = args.value()?.string()?,
                Long("listen") => options.listen = args.value()?.string()?,
                Long("once") => options.once = true,
                Long("remove") => options.remove = true,
                // After `--`.
                Value(program) => {
                    options.command.push(program.string()?);
                    let rest: Result<Vec<_>, _> = args.raw_args()?.map(ValueExt::string).collect();
                    options.command.extend(rest?);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}
