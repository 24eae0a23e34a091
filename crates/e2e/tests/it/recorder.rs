//! Stands before the gateway or a server, and keeps what is sent to it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::parts;
use crate::server::Target;

/// What was sent to one place so far.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: PathBuf,
}

impl Recorder {
    /// Puts a recorder before this target, writing to `file`; the second value is the target to use instead.
    pub(crate) async fn before(target: &Target, file: &Path) -> Result<(Self, Target)> {
        let file = file.to_owned();
        let seen = match target {
            Target::Stdio(words) => {
                let mut command = ["sh", "-c", r#"tee "$0" | exec "$@""#].map(str::to_owned).to_vec();
                command.push(parts::text(&file)?);
                command.extend(words.iter().cloned());
                Target::Stdio(command)
            }
            Target::Http { url, token } => {
                let (address, path) = url
                    .strip_prefix("http://")
                    .and_then(|rest| rest.split_once('/'))
                    .with_context(|| format!("{url} is no address of ours"))?;
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let url = format!("http://{}/{path}", listener.local_addr()?);
                tokio::spawn(relay(listener, address.to_owned(), File::create(&file)?));
                Target::Http {
                    url,
                    token: token.clone(),
                }
            }
        };
        Ok((Self { file }, seen))
    }

    /// All of it as text.
    pub(crate) fn sent(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// Waits until a tool has been called here.
    pub(crate) async fn called(&self) -> Result<()> {
        for _ in 0..600 {
            if self.find("tools/call")?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("no tool is called")
    }

    /// Whether the last tool call that was made here has been cancelled, by the id that it had here.
    pub(crate) fn is_cancelled(&self) -> Result<bool> {
        let call = self.find("tools/call")?.map(|message| message["id"].clone());
        let cancelled = self
            .find("notifications/cancelled")?
            .map(|message| message["params"]["requestId"].clone());
        Ok(call.is_some() && call == cancelled)
    }

    /// Waits until the one tool call that was made here has been cancelled.
    pub(crate) async fn cancelled(&self) -> Result<()> {
        for _ in 0..100 {
            if self.is_cancelled()? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "no cancellation of the call arrived; the gateway sent\n{}",
            std::fs::read_to_string(&self.file)?
        )
    }

    /// The last message with this method: each begins on a line of the record.
    fn find(&self, method: &str) -> Result<Option<Value>> {
        let sent = std::fs::read_to_string(&self.file)?;
        let mut messages = sent.lines().filter_map(|line| {
            let mut values = serde_json::Deserializer::from_str(line.get(line.find('{')?..)?).into_iter::<Value>();
            values.next()?.ok()
        });
        Ok(messages.rfind(|message| message["method"] == method))
    }
}

async fn relay(listener: TcpListener, address: String, mut record: File) {
    let (sender, mut sent) = tokio::sync::mpsc::channel::<Vec<u8>>(64);
    tokio::spawn(async move {
        while let Some(bytes) = sent.recv().await {
            let _ = record.write_all(&bytes);
        }
    });
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&address).await else {
            continue;
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                let _ = sender.send(buffer[..count].to_vec()).await;
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            back.abort();
        });
    }
}
