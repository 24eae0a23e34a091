//! A replica: this same program in a process of its own.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use portolan::{Platform, stop_signal};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use crate::Result;

/// A running replica. It is killed when it is dropped.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Replica {
    pub(crate) async fn start(database: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--replica", database])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(said).lines().next_line().await?;
        let address = line.ok_or("the replica ended before it served")?.parse()?;
        Ok(Self { address, process })
    }

    /// Ends it as a failing machine would: without a word.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// The program of a replica: nothing in it says that there are others.
pub(crate) async fn serve(database: &str) -> Result<()> {
    let platform = Platform::local(database).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    portolan::serve(listener, platform.gateway_service().at_path("/mcp"), stop_signal()).await?;
    Ok(platform.shutdown(Duration::from_secs(5)).await?)
}
