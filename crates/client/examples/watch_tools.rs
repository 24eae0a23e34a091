//! Follows the tools of a server at a URL: prints those that come and go, until Ctrl-C.
//!
//! ```text
//! cargo run -p portolan-client --example watch_tools -- http://127.0.0.1:8000/mcp
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use portolan_client::{
    Client, ClientConfig, Error, Tools, UpstreamCredential, UpstreamServer,
    notifications::{ListKind, NotificationFilter, NotificationSink, ServerNotification},
};
use tokio::sync::Notify;

/// Wakes the loop below. A sink must not wait, so it does not fetch the list itself.
#[derive(Debug, Default)]
struct Changed(Notify);

impl NotificationSink for Changed {
    fn tell(&self, _: &ServerNotification) {
        self.0.notify_one();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: watch_tools URL")?;
    let client = Client::new(ClientConfig::default().with_name("watch_tools"));
    let server = UpstreamServer::at_url(&client, url)?;
    let credential = Arc::new(UpstreamCredential::none());

    let filter = NotificationFilter::default().with_list(ListKind::Tools);
    let changed = Arc::new(Changed::default());
    let listening = server.notifications(&credential).listen(filter, changed.clone());
    let granted = listening.granted(Duration::from_secs(10)).await;
    if !granted.is_some_and(|granted| granted.live) {
        eprintln!("the server sends no notifications now; the client tries again");
    }

    let mut known = BTreeSet::new();
    loop {
        // The notification has marked the cached list as stale, so this fetches a new one.
        let tools = names(&server, &credential).await?;
        tools.difference(&known).for_each(|name| println!("+ {name}"));
        known.difference(&tools).for_each(|name| println!("- {name}"));
        known = tools;
        tokio::select! {
            () = changed.0.notified() => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    drop(listening);
    client.closed().await;
    Ok(())
}

async fn names(server: &Arc<UpstreamServer>, credential: &Arc<UpstreamCredential>) -> Result<BTreeSet<String>, Error> {
    let tools = server.list::<Tools>(credential).await?;
    Ok(tools.items.iter().map(|tool| tool.name().to_string()).collect())
}
