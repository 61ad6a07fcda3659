//! The program: reads the command line, calls what it names, and exits with its status.

use std::io;
use std::process::ExitCode;

use elbow::cli::args;
use elbow::cli::args::Command;
use elbow::cli::buffer;
use elbow::cli::check;
use elbow::cli::letters;
use elbow::cli::parse;
use elbow::cli::run;
use elbow::cli::schema;
use elbow::cli::setup;

fn main() -> ExitCode {
    match args::from_process() {
        Command::Run(command) => run::run(&command),
        Command::Letters(command) => letters::letters(&command),
        Command::Setup(command) => setup::setup(&command),
        Command::Parse(command) => parse::parse(&command),
        Command::Mapping(schema) => schema::mapping(schema, &mut io::stdout().lock()),
        Command::Buffer(command) => ExitCode::from(buffer::buffer(&command, &mut io::stdout().lock(), &mut io::stderr().lock())),
        Command::Check(command) => match check::check(&command, &mut io::stdout().lock(), &mut io::stderr().lock()) {
            Ok(status) => ExitCode::from(status),
            Err(_) => ExitCode::FAILURE,
        },
    }
}
