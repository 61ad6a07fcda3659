//! `elbow check`: the plan as decided, or every mistake at once. It opens nothing but the file, and certificates and keys that
//! the file names.

use std::env;
use std::io;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use thiserror::Error;

use crate::cli::args::Check;
use crate::config;
use crate::config::ReadError;
use crate::config::Text;
use crate::config::complaint::Complaints;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::pipeline::certificates;
use crate::pipeline::start_error::StartError;

/// Exit status for a good configuration.
pub const EXIT_GOOD: u8 = 0;

/// Exit status for a wrong or unreadable one, the same from every command.
pub const EXIT_CONFIGURATION: u8 = 2;

/// Prints the plan on `out`, or all mistakes on `err`, and gives the exit status.
///
/// # Errors
///
/// When neither can be written.
pub fn check(command: &Check, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match load(command.config.as_deref(), &command.overrides) {
        Ok(mut plan) => {
            let mistakes = check_certificates(&mut plan);
            if !mistakes.is_empty() {
                mistakes.iter().try_for_each(|mistake| writeln!(err, "elbow: {mistake}"))?;
                return Ok(EXIT_CONFIGURATION);
            }
            write!(out, "{plan}")?;
            out.flush()?;
            Ok(EXIT_GOOD)
        }
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(EXIT_CONFIGURATION)
        }
    }
}

/// Loads the TLS of each source and sink as the relay would. Certificates that do not hold become warnings of the plan; gives what
/// cannot be used.
fn check_certificates(plan: &mut Plan) -> Vec<StartError> {
    let mut mistakes = Vec::new();
    for source in &plan.relay.sources {
        match certificates::load(source) {
            Ok(tls) => {
                let warning = tls.and_then(|tls| tls.warning(Timestamp::now().as_second()));
                let name = &source.door.name;
                warning.into_iter().for_each(|warning| plan.report.warn(format!("source {name:?}: {warning}")));
            }
            Err(error) => mistakes.push(error),
        }
    }
    mistakes.extend(plan.relay.sinks.iter().cloned().filter_map(|sink| certificates::load_sink(sink).err()));
    mistakes
}

/// Decides the configuration from a file, or the built-in defaults where there is none, what wins over it, and the
/// environment of this process.
///
/// # Errors
///
/// When the file cannot be read, or all mistakes of the configuration.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Plan, LoadError> {
    let variable = |name: &str| env::var(name).ok();
    let Some(path) = file else { return Ok(config::load(&config::built_in(overrides), overrides, &variable)?) };
    let text = config::read(path)?;
    let name = path.display().to_string();
    Ok(config::load(&Text { name: &name, text: &text, built_in: false }, overrides, &variable)?)
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The configuration has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Complaints),
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn run(config: Option<PathBuf>) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = check(&Check { config, overrides: Overrides::default() }, &mut out, &mut err).unwrap();
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_good_configuration_is_printed() {
        let (status, out, err) = run(None);
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains("127.0.0.1:5000"), "{out}");
    }

    #[test]
    fn mistakes_go_to_standard_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("elbow.toml");
        let (status, out, err) = run(Some(path.clone()));
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.starts_with("cannot read the configuration"), "{err}");
        std::fs::write(&path, "x = 1\n").unwrap();
        let (status, out, err) = run(Some(path.clone()));
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("elbow.toml:1:1: x: unknown key") && err.contains("3 mistakes"), "{err}");
    }
}
