//! A local command of a client file as the launch of a server.

use crate::command::{self, Bridge, Container, PackageCommand, Program, Reading};
use crate::draft::{Draft, Place};
use crate::names::{is_authorization, is_secret};
use crate::placeholder::{Scan, braced, enclosed};
use crate::{InputSource, Launch, MAX_BYTES, OAuth, Package, PackageRegistry, Reason, Text, WarningKind};

/// What a client file says of a local server.
#[derive(Default)]
pub(crate) struct Local {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
}

impl Draft {
    /// Sets the launch to a local command, or to what it really starts.
    pub(crate) fn local(&mut self, local: &Local, scan: &Scan<'_>) -> Result<(), Reason> {
        let reading = command::read(&local.command, &local.args);
        if reading.unwrapped {
            self.warn(WarningKind::UnwrappedShell);
        }
        match &reading.program {
            Program::Plain => self.program(local, &reading, None, scan),
            Program::Package(package) => self.program(local, &reading, Some(package), scan),
            Program::Container(container) => self.container(local, &reading.args, container, scan),
            Program::Bridge(bridge) => self.bridge(local, bridge, scan),
        }
    }

    fn program(
        &mut self,
        local: &Local,
        reading: &Reading,
        package: Option<&PackageCommand>,
        scan: &Scan<'_>,
    ) -> Result<(), Reason> {
        let command = self.expand(&reading.command, Place::Plain, scan)?;
        let args = self.arguments(&reading.args, scan)?;
        let cwd = local
            .cwd
            .as_deref()
            .map(|cwd| self.expand(cwd, Place::Plain, scan))
            .transpose()?;
        for (name, value) in &local.env {
            self.env(name, value, scan)?;
        }
        self.check_arguments(&args);
        let from_env = self.server.env.values().cloned().collect::<Vec<_>>();
        self.check_paths([&command].into_iter().chain(&args).chain(&cwd).chain(&from_env));
        if let Some(package) = package {
            self.package(package, &args);
        }
        self.server.launch = Launch::Stdio { command, args, cwd };
        Ok(())
    }

    fn package(&mut self, package: &PackageCommand, args: &[Text]) {
        if package.version.is_none() {
            self.warn(WarningKind::Unpinned);
        }
        if package.several {
            self.warn(WarningKind::SeveralPackages);
        }
        let own = args.iter().enumerate().skip(package.args_from);
        self.server.package = Some(Package {
            registry: package.registry,
            name: package.name.clone(),
            version: package.version.clone(),
            args: own
                .filter(|(index, _)| !package.not_args.contains(index))
                .map(|(_, arg)| arg.clone())
                .collect(),
            program: package.program.clone(),
        });
    }

    fn container(
        &mut self,
        local: &Local,
        words: &[String],
        container: &Container,
        scan: &Scan<'_>,
    ) -> Result<(), Reason> {
        for (name, value) in &container.env {
            let given = local
                .env
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str());
            match value.as_ref().map(|value| value.text.as_str()).or(given) {
                Some(value) => self.env(name, value, scan)?,
                None => self.pass_env(name, InputSource::Environment, is_secret(name)),
            }
        }
        let unused = local
            .env
            .iter()
            .filter(|(name, _)| container.env.iter().all(|(passed, _)| passed != name));
        for (name, _) in unused {
            self.warn(WarningKind::IgnoredKey(format!("env.{name}")));
        }
        let args = self.arguments(words.get(container.args_from..).unwrap_or_default(), scan)?;
        self.check_arguments(&args);
        let mut plain = |value: &command::Value| self.expand(&value.text, Place::Plain, scan);
        let image = container
            .image
            .as_ref()
            .map(&mut plain)
            .transpose()?
            .unwrap_or_default();
        let volumes = container
            .volumes
            .iter()
            .map(&mut plain)
            .collect::<Result<Vec<_>, _>>()?;
        let network = container.network.as_ref().map(&mut plain).transpose()?;
        let user = container.user.as_ref().map(&mut plain).transpose()?;
        self.check_paths(&volumes);
        self.container_launch(image, args, volumes, network, user);
        self.container_options(container);
        Ok(())
    }

    /// Warns of options of a container that are not kept.
    pub(crate) fn container_options(&mut self, container: &Container) {
        if container.env_file {
            self.warn(WarningKind::EnvFile);
        }
        for option in &container.ignored {
            self.warn(WarningKind::IgnoredKey(option.clone()));
        }
    }

    /// Sets the launch to an image, and the package to the same.
    pub(crate) fn container_launch(
        &mut self,
        image: Text,
        args: Vec<Text>,
        volumes: Vec<Text>,
        network: Option<Text>,
        user: Option<Text>,
    ) {
        let (name, version) = command::image_package(&image.to_string());
        if version.is_none() {
            self.warn(WarningKind::Unpinned);
        }
        self.server.package = Some(Package {
            registry: PackageRegistry::Oci,
            name,
            version,
            args: args.clone(),
            program: None,
        });
        self.server.launch = Launch::Container {
            image,
            args,
            volumes,
            network,
            user,
        };
    }

    fn bridge(&mut self, local: &Local, bridge: &Bridge, scan: &Scan<'_>) -> Result<(), Reason> {
        self.warn(WarningKind::Bridge);
        self.remote(&bridge.url, bridge.transport, scan)?;
        let mut used = Vec::new();
        for (name, value) in &bridge.headers {
            let text = self.bridge_header(local, name, value, scan, &mut used)?;
            self.header_text(name, text);
        }
        for (name, _) in local.env.iter().filter(|(name, _)| !used.contains(name)) {
            self.warn(WarningKind::IgnoredKey(format!("env.{name}")));
        }
        for option in &bridge.ignored {
            self.warn(WarningKind::IgnoredKey(option.clone()));
        }
        self.server.tools.never.clone_from(&bridge.never);
        if bridge.oauth {
            let resource = bridge.resource.as_deref().map(Text::from);
            let mut oauth = OAuth {
                resource,
                ..OAuth::default()
            };
            if let Some(info) = &bridge.client_info {
                self.client_info(&mut oauth, info, scan)?;
            }
            self.server.oauth = Some(oauth);
        }
        Ok(())
    }

    /// Fills in the header of a bridge: from the client's environment, and what is left from the entry's `env`.
    fn bridge_header(
        &mut self,
        local: &Local,
        header: &str,
        value: &str,
        scan: &Scan<'_>,
        used: &mut Vec<String>,
    ) -> Result<Text, Reason> {
        // What the client leaves as it is, the bridge looks for in its environment.
        let scan = |text: &str| scan(text).or_else(|| braced(text));
        let (mut text, mut start, mut at, mut filled_length) = (Text::default(), 0, 0, 0);
        while let Some(next) = value[at..].find("${") {
            at += next;
            let given = enclosed(&value[at..], "${", "}")
                .and_then(|(name, length)| Some((length, local.env.iter().find(|(key, _)| key == name)?)));
            let Some((length, (name, given))) = given else {
                at += 2;
                continue;
            };
            text.push_text(&self.expand(&value[start..at], Place::Header(header), &scan)?);
            used.push(name.clone());
            let filled = self.expand(given, Place::Header(header), &scan)?;
            let secret = is_authorization(header) || is_secret(header) || is_secret(name);
            match filled.literal() {
                Some(literal) if secret => text.push_text(&self.literal(name, literal)),
                _ => text.push_text(&filled),
            }
            at += length;
            start = at;
            filled_length += given.len();
            if filled_length > MAX_BYTES {
                return Err(Reason::TooLarge);
            }
        }
        text.push_text(&self.expand(&value[start..], Place::Header(header), &scan)?);
        Ok(text)
    }

    /// Reads `{"client_id": …, "client_secret": …}`. What is in a file is not read.
    fn client_info(&mut self, oauth: &mut OAuth, info: &str, scan: &Scan<'_>) -> Result<(), Reason> {
        let Ok(serde_json::Value::Object(info)) = serde_json::from_str(info) else {
            self.warn(WarningKind::IgnoredKey("--static-oauth-client-info".into()));
            return Ok(());
        };
        let text = |key: &str| info.get(key).and_then(serde_json::Value::as_str);
        oauth.client_id = text("client_id")
            .map(|id| self.expand(id, Place::Plain, scan))
            .transpose()?;
        oauth.client_secret = text("client_secret")
            .map(|secret| self.client_secret(secret, scan))
            .transpose()?;
        Ok(())
    }

    /// Returns the text of an OAuth client's secret.
    pub(crate) fn client_secret(&mut self, secret: &str, scan: &Scan<'_>) -> Result<Text, Reason> {
        let text = self.expand(secret, Place::Secret, scan)?;
        Ok(match text.literal() {
            Some(literal) => {
                let literal = literal.to_owned();
                self.literal(&format!("{}-client-secret", self.server.name), &literal)
            }
            None => text,
        })
    }
}
