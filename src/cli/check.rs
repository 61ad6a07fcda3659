//! `elbow check`: the plan as decided, or every mistake at once. It opens nothing but the file, and certificates and keys that
//! the file names.

use std::env;
use std::fs::File;
use std::io;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use thiserror::Error;

use crate::cli::args::Check;
use crate::config;
use crate::config::ReadError;
use crate::config::Text;
use crate::config::complaint::Complaint;
use crate::config::complaint::Complaints;
use crate::config::complaint::Place;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::config::report::Origin;
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
            // Those that are not there come first: of the files of one table, loading says no more than one.
            if let Some(complaints) = command.config.as_deref().and_then(|path| check_files(&plan, path)) {
                writeln!(err, "{complaints}")?;
                return Ok(EXIT_CONFIGURATION);
            }
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

/// Complains about each file of TLS that cannot be read, where the configuration names it.
fn check_files(plan: &Plan, path: &Path) -> Option<Complaints> {
    let text = config::read(path).ok()?;
    let sources = plan.relay.sources.iter().map(|source| ("source", &source.door.name));
    let sinks = plan.relay.sinks.iter().flat_map(|sink| {
        let fallback = sink.fallback.as_ref().map(|fallback| &fallback.name);
        [Some(&sink.name), fallback].into_iter().flatten().map(|name| ("sink", name))
    });
    let mut complaints = Vec::new();
    for (table, name) in sources.chain(sinks) {
        for setting in plan.report.settings(&format!("[{table}.tls] of {name}")) {
            let (key, file) = (setting.key.as_str(), setting.value.as_str());
            let Origin::Line(line) = setting.from else { continue };
            let Some(error) = TLS_FILES.contains(&key).then(|| File::open(file).err()).flatten() else { continue };
            let what = format!("{file} cannot be read: {error}");
            let complaint = Complaint::wrong(Place::File(span_of(&text, line, file)), format!("{table}.tls.{key}"), what);
            complaints
                .push(complaint.remedy("paths that do not begin with / are taken from the directory the relay is started in"));
        }
    }
    (!complaints.is_empty()).then(|| Complaints::new(&path.display().to_string(), &text, complaints))
}

/// Settings of TLS that are files.
const TLS_FILES: [&str; 4] = ["certificate", "key", "client_ca", "ca"];

/// Where a value stands in a line, counted from 1; the whole line where it is written otherwise than it reads.
fn span_of(text: &str, line: usize, value: &str) -> Range<usize> {
    let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or("");
    // With its quote, so that one file is not found within the name of another.
    let quoted = ['"', '\''].iter().find_map(|quote| line.find(&format!("{quote}{value}{quote}")));
    match quoted {
        Some(at) => start + at..start + at + value.len() + 2,
        None => start..start + line.len(),
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
    fn files_that_are_not_there_are_named_where_they_stand_and_all_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("elbow.toml");
        let text = "[[source]]\nname = \"in\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
                    [source.tls]\ncertificate = \"/no/such\"\nkey = \"/no/such.key\"\n\
                    [[sink]]\nname = \"out\"\ntype = \"logstash_tcp\"\nhosts = [\"a:1\"]\nfallback = \"b\"\n\
                    [[sink]]\nname = \"b\"\ntype = \"lumberjack\"\nhosts = [\"b:1\"]\ntls = { ca = '/no/such.ca' }\n";
        std::fs::write(&path, text).unwrap();
        let (status, out, err) = run(Some(path));
        assert_eq!((status, out.as_str()), (2, ""));
        for mistake in [
            "elbow.toml:6:15: source.tls.certificate: /no/such cannot be read: No such file",
            "elbow.toml:7:7: source.tls.key: /no/such.key cannot be read",
            "elbow.toml:17:14: sink.tls.ca: /no/such.ca cannot be read",
            "3 mistakes in",
        ] {
            assert!(err.contains(mistake), "{mistake} in\n{err}");
        }
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
