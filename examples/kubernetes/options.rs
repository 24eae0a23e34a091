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
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
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
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg.as_str() {
                "--image" => options.image = Some(value()?),
                "--base-image" => options.base_image = Some(value()?),
                "--bridge-image" => options.bridge_image = Some(value()?),
                "--name" => options.name = value()?,
                "--namespace" => options.namespace = value()?,
                "--call" => {
                    let tool = value()?;
                    let arguments = serde_json::from_str(&value()?).map_err(|fault| format!("--call: {fault}"))?;
                    options.call = Some((tool, arguments));
                }
                "--database" => options.database = value()?,
                "--listen" => options.listen = value()?,
                "--once" => options.once = true,
                "--remove" => options.remove = true,
                "--" => options.command = args.by_ref().collect(),
                other => return Err(format!("no option named {other:?}")),
            }
        }
        Ok(options)
    }
}
