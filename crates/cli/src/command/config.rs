//! `kubestile config`.

use crate::args::server::Config as Args;
use crate::config::{Config, RawConfig};
use crate::exit::{Fail, Outcome};
use crate::files;
use crate::output::{self, Format};

/// Checks a configuration file.
pub(super) fn run(args: &Args) -> Outcome {
    let Args::Check { file, quiet } = args;
    let config = Config::read(file)?;
    let set = config.policies.load()?;
    if *quiet {
        return Ok(());
    }
    let raw = RawConfig::parse(&files::read_existing(file)?).map_err(Fail::config)?;
    output::value(Format::Yaml, &raw.with_defaults(&config))?;
    output::talk(&format!(
        "{} is fine: {} policies, version {}",
        file.display(),
        set.policies().count(),
        set.version()
    ));
    Ok(())
}
