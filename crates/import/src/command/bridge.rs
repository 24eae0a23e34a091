//! Programs that stand between a stdio client and a remote server.

use crate::TransportKind;

/// A remote server behind a bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) url: String,
    pub(crate) transport: TransportKind,
    /// Headers with the values as the command has them.
    pub(crate) headers: Vec<(String, String)>,
    /// The bridge signs in with OAuth where no header does.
    pub(crate) oauth: bool,
    pub(crate) client_info: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) never: Vec<String>,
    pub(crate) ignored: Vec<String>,
}

impl Bridge {
    fn new(transport: TransportKind, oauth: bool) -> Self {
        Self {
            url: String::new(),
            transport,
            headers: Vec::new(),
            oauth,
            client_info: None,
            resource: None,
            never: Vec::new(),
            ignored: Vec::new(),
        }
    }
}

/// Reads the arguments of a bridge. `None` if the program is none, or reaches no URL.
pub(super) fn read(program: &str, args: &[String]) -> Option<Bridge> {
    match program {
        "mcp-remote" => mcp_remote(args),
        "supergateway" => supergateway(args),
        "mcp-proxy" => mcp_proxy(args),
        _ => None,
    }
}

fn is_url(word: &str) -> bool {
    ["http://", "https://", "$", "{"]
        .iter()
        .any(|start| word.starts_with(start))
}

fn mcp_remote(args: &[String]) -> Option<Bridge> {
    let mut bridge = Bridge::new(TransportKind::Either, true);
    let mut words = Vec::new();
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg {
            "--header" => bridge.headers.extend(rest.next().and_then(header)),
            "--transport" => {
                bridge.transport = match rest.next() {
                    Some("http-only") => TransportKind::StreamableHttp,
                    Some("sse-only") => TransportKind::Sse,
                    _ => TransportKind::Either,
                }
            }
            "--ignore-tool" => bridge.never.extend(rest.next().map(str::to_owned)),
            "--static-oauth-client-info" => bridge.client_info = rest.next().map(str::to_owned),
            "--resource" => bridge.resource = rest.next().map(str::to_owned),
            "--header-file" | "--static-oauth-client-metadata" => {
                rest.next();
                bridge.ignored.push(arg.to_owned());
            }
            "--host" | "--auth-timeout" => {
                rest.next();
            }
            "--enable-proxy" => bridge.ignored.push(arg.to_owned()),
            option if option.starts_with('-') => {}
            word => words.push(word),
        }
    }
    bridge.url = words.first().copied().filter(|word| is_url(word))?.to_owned();
    bridge.oauth = !bridge
        .headers
        .iter()
        .any(|(name, _)| crate::names::is_authorization(name));
    Some(bridge)
}

fn supergateway(args: &[String]) -> Option<Bridge> {
    let mut bridge = Bridge::new(TransportKind::StreamableHttp, false);
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        let (option, joined) = arg
            .split_once('=')
            .map_or((arg, None), |(option, value)| (option, Some(value)));
        if !option.starts_with('-') {
            continue;
        }
        match option {
            "--streamableHttp" | "--sse" => {
                bridge.url = joined.or_else(|| rest.next()).unwrap_or_default().to_owned();
                if option == "--sse" {
                    bridge.transport = TransportKind::Sse;
                }
            }
            "--header" => bridge.headers.extend(joined.or_else(|| rest.next()).and_then(header)),
            "--oauth2Bearer" => {
                let token = joined.or_else(|| rest.next()).unwrap_or_default();
                bridge.headers.push(("Authorization".into(), format!("Bearer {token}")));
            }
            "--stdio" => return None,
            "--logLevel" | "--outputTransport" | "--port" if joined.is_none() => {
                rest.next();
            }
            _ => {}
        }
    }
    is_url(&bridge.url).then_some(bridge)
}

fn mcp_proxy(args: &[String]) -> Option<Bridge> {
    // The default of its `--transport`.
    let mut bridge = Bridge::new(TransportKind::Sse, false);
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg {
            "--transport" => {
                if matches!(rest.next(), Some("streamablehttp" | "streamable-http" | "http")) {
                    bridge.transport = TransportKind::StreamableHttp;
                }
            }
            "--transport=streamablehttp" => bridge.transport = TransportKind::StreamableHttp,
            "-H" | "--headers" => {
                if let (Some(name), Some(value)) = (rest.next(), rest.next()) {
                    bridge.headers.push((name.to_owned(), value.to_owned()));
                }
            }
            "--client-id" | "--client-secret" | "--token-url" => {
                rest.next();
                bridge.ignored.push(arg.to_owned());
            }
            option if option.starts_with('-') => {}
            word if is_url(word) => bridge.url = word.to_owned(),
            _ if bridge.url.is_empty() => return None,
            _ => {}
        }
    }
    (!bridge.url.is_empty()).then_some(bridge)
}

/// Splits `Name:value` at the first colon.
fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value.trim_start().to_owned()))
}
