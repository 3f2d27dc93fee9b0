//! `unfreed daemon`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::daemon::{self, config};

/// Records what the configuration says, as a service.
#[derive(Debug, Args)]
pub struct Daemon {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/unfreed/config.toml")]
    config: PathBuf,

    /// Only look whether the configuration is right; status 1 if not
    #[arg(long)]
    check_config: bool,
}

impl Daemon {
    /// Runs until SIGTERM, or checks.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.check_config {
            return Ok(self.check());
        }
        daemon::run(&self.config)?;
        Ok(ExitCode::SUCCESS)
    }

    /// A line for each mistake, in the form that compilers have, which editors jump by.
    fn check(&self) -> ExitCode {
        match config::read(&self.config) {
            Ok(config) => {
                let (path, count) = (self.config.display(), config.targets.len());
                println!(
                    "{path}: ok: {count} target{}",
                    if count == 1 { "" } else { "s" }
                );
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::ExitCode;

    use clap::Parser as _;

    use crate::cli::Cli;

    #[test]
    fn the_status_says_whether_a_configuration_is_right() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().as_os_str().to_owned();
        let status = || {
            let flags = ["unfreed", "daemon", "--check-config", "--config"].map(Into::into);
            let cli = Cli::try_parse_from(flags.into_iter().chain([path.clone()])).expect("flags");
            // A status cannot be compared.
            format!("{:?}", cli.run().expect("a status"))
        };
        file.write_all(b"[http]\n").expect("written");
        assert_eq!(status(), format!("{:?}", ExitCode::SUCCESS));
        file.write_all(b"no_such_key = 1\n").expect("written");
        assert_eq!(status(), format!("{:?}", ExitCode::FAILURE));
    }
}
