//! The role `upstream`: the HTTP fixture as a process.

use portolan_fixtures::http::{HttpFixture, Options};

use crate::args::UpstreamOptions;
use crate::{Result, pin, usage};

/// Serves until the process is ended.
pub(crate) async fn serve(role: UpstreamOptions) -> Result<()> {
    usage::end_with_parent();
    if let Some(core) = role.core {
        pin::to(core)?;
    }
    // Recording would be the dearest part of a request.
    let options = Options {
        listen: role.listen,
        eras: role.eras,
        record: 0,
        ..Options::default()
    };
    let fixture = HttpFixture::start(options).await?;
    println!("listening on {}", fixture.url());
    std::future::pending().await
}
