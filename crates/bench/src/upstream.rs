//! The role `upstream`: the HTTP fixture as a process.

use portolan_fixtures::http::{HttpFixture, Options};

use crate::args::UpstreamOptions;
use crate::{Result, pin, usage};

/// Serves until the process is killed.
pub(crate) async fn serve(options: UpstreamOptions) -> Result<()> {
    usage::end_with_parent();
    if let Some(core) = options.core {
        pin::to(core)?;
    }
    // Recording would cost more than all else in a request.
    let fixture = Options {
        listen: options.listen,
        eras: options.era,
        record: 0,
        ..Options::default()
    };
    let fixture = HttpFixture::start(fixture).await?;
    println!("listening on {}", fixture.url());
    std::future::pending().await
}
