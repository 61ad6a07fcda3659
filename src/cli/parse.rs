//! `elbow parse`: lines in, documents out, offline, through the very parser the relay uses.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use crate::batch::BatchBuilder;
use crate::batch::SourceId;
use crate::cli::args::Parse;
use crate::cli::check::EXIT_CONFIGURATION;
use crate::cli::check::load;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::elb::Schema;
use crate::event_id::IdKey;
use crate::framing::lines::Lines;
use crate::framing::lines::Whole;
use crate::json::envelope::Received;
use crate::pipeline::feed::now;
use crate::pipeline::ids::Ids;
use crate::pipeline::look::Look;
use crate::pipeline::look::look;
use crate::pipeline::lookups::LookupPlan;
use crate::pipeline::lookups::Lookups;
use crate::pipeline::parse::LineParser;
use crate::pipeline::plan::ParsePlan;
use crate::tally::Longer;

/// Exit status when some lines were rejected.
const EXIT_REJECTS: u8 = 1;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Parses every file in order.
pub fn parse(command: &Parse) -> ExitCode {
    let plan = match command.config.as_deref().map(|path| load(Some(path), &Overrides::default())).transpose() {
        Ok(plan) => plan,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "{error}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let parse_plan = command.plan(plan.as_ref());
    if command.classic_extra && parse_plan.schema != Schema::Classic {
        return usage("--classic-extra adds fields to the schema classic: add --schema classic, or leave it out");
    }
    let lookups = plan.as_ref().map_or(&[][..], |plan| &plan.relay.lookups);
    let key = plan.as_ref().map_or(IdKey::PUBLISHED, |plan: &Plan| plan.relay.id_key);
    let mut job = match Job::new(&parse_plan, lookups, key) {
        Ok(job) => job,
        Err(error) => return usage(&error),
    };
    let standard_input = [Path::new("-").to_owned()];
    let files = if command.files.is_empty() { &standard_input[..] } else { &command.files };
    let mut status = 0;
    for path in files {
        match job.file(path) {
            Ok(()) => {}
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(Failure::Output(error)) => return usage(&format!("documents cannot be written: {error}")),
            Err(Failure::Input(error)) => {
                usage(&format!("{} cannot be read: {error}", name(path)));
                status = EXIT_CONFIGURATION;
            }
        }
    }
    job.summary();
    let rejects = if job.rejects > 0 { EXIT_REJECTS } else { 0 };
    ExitCode::from(status.max(rejects))
}

fn usage(text: &str) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "elbow: {text}");
    ExitCode::from(EXIT_CONFIGURATION)
}

/// What a person calls a file.
fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

enum Failure {
    Input(io::Error),
    Output(io::Error),
}

/// What is the same for all files.
struct Job {
    plan: ParsePlan,
    look: Arc<Look>,
    key: IdKey,
    nonce: [u8; 12],
    files: u64,
    lines: u64,
    documents: u64,
    rejects: u64,
    quiet: u64,
    dropped: u64,
    /// Lines with more fields than are known.
    longer: Vec<Longer>,
}

impl Job {
    fn new(plan: &ParsePlan, lookups: &[LookupPlan], key: IdKey) -> Result<Self, String> {
        let lookups = Lookups::load(lookups).map_err(|error| error.to_string())?;
        let look = look(plan, key, &lookups).map_err(|error| error.to_string())?;
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let (plan, look) = (plan.clone(), Arc::new(look));
        let (files, lines, documents, rejects, quiet, dropped, longer) = (0, 0, 0, 0, 0, 0, Vec::new());
        Ok(Self { plan, look, key, nonce, files, lines, documents, rejects, quiet, dropped, longer })
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut input = open(path).map_err(Failure::Input)?;
        let ids = Ids::new(self.key, self.nonce, SourceId(0), self.files);
        self.files += 1;
        let mut run = FileRun {
            name: path.display().to_string(),
            line: 0,
            parser: LineParser::offline(&self.plan, self.look.clone(), ids),
            out: BatchBuilder::default(),
            err: io::stderr(),
        };
        let mut lines = Lines::new(self.plan.line_bytes_max);
        let mut read = vec![0; READ_BYTES];
        let mut stdout = io::stdout().lock();
        let ended = loop {
            let count = match input.read(&mut read) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(Failure::Input(error)),
            };
            let _ = lines.feed(&read[..count], |chunk, start, end, whole| run.line(chunk, start, end, whole));
            run.flush(&mut stdout, self)?;
        };
        // A file's last line may well lack its newline: that is no connection cut short.
        lines.finish(true, |chunk, start, end, _| run.line(chunk, start, end, Whole::Yes));
        run.flush(&mut stdout, self)?;
        self.lines += run.line;
        ended
    }

    fn summary(&self) {
        let Self { lines, documents, rejects, quiet, dropped, .. } = self;
        let mut text =
            format!("{lines} lines: {documents} documents, {rejects} of them rejects; {quiet} blank lines and control messages");
        if *dropped > 0 {
            text += &format!("; {dropped} dropped by rules");
        }
        for Longer { kind, tokens, lines } in &self.longer {
            let (kind, known) = (kind.label(), kind.format().fields.len());
            text += &format!("\n{lines} {kind} lines have {tokens} fields, of which {known} are known");
        }
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Adds lines with more fields than are known to those of their shape.
    fn count_longer(&mut self, new: &[Longer]) {
        for new in new {
            match self.longer.iter_mut().find(|longer| (longer.kind, longer.tokens) == (new.kind, new.tokens)) {
                Some(longer) => longer.lines += new.lines,
                None => self.longer.push(*new),
            }
        }
    }
}

/// One file on its way.
struct FileRun {
    name: String,
    line: u64,
    parser: LineParser,
    out: BatchBuilder,
    err: io::Stderr,
}

impl FileRun {
    fn line(&mut self, chunk: &[u8], start: usize, end: usize, whole: Whole) {
        self.line += 1;
        self.parser.line(chunk, start, end, whole, Received::at(now()), &mut self.out);
        if let Some(reject) = self.parser.last_reject.take() {
            let field = reject.field.map(|field| format!(" at {field}")).unwrap_or_default();
            let _ = writeln!(self.err, "{}:{}:{}: {}{field}", self.name, self.line, reject.at + 1, reject.reason);
        }
    }

    fn flush(&mut self, to: &mut impl Write, job: &mut Job) -> Result<(), Failure> {
        to.write_all(self.out.documents()).and_then(|()| to.flush()).map_err(Failure::Output)?;
        let tally = std::mem::take(&mut self.parser.tally);
        job.documents += self.out.len() as u64;
        job.rejects += tally.rejects.iter().sum::<u64>();
        job.quiet += tally.blank + tally.control;
        job.dropped += tally.dropped_by.iter().sum::<u64>();
        job.count_longer(&tally.unknown_fields);
        self.out.clear();
        Ok(())
    }
}

/// Opens a file, decompressing what starts like gzip, whatever its name is.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let raw: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut input = BufReader::with_capacity(READ_BYTES, raw);
    if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) { Ok(Box::new(MultiGzDecoder::new(input))) } else { Ok(Box::new(input)) }
}
