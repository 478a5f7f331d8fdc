//! `kubestile server`.

use crate::args::server::Server as Args;
use crate::config::Config;
use crate::exit::Outcome;
use crate::output;
use crate::serve::{self, Server};

/// Runs a gate from a configuration file, until a signal.
pub(super) fn run(args: &Args) -> Outcome {
    let config = Config::read(&args.config)?;
    serve::start_logging(&config.logging)?;
    serve::block_on(async {
        let server = Server::build(&config).await?;
        output::talk(&format!("kubestile serves {}", server.url()));
        if let Some(address) = server.health() {
            output::talk(&format!("health and metrics on http://{address}"));
        }
        server.run().await
    })
}
