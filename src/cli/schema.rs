//! `elbow schema`: what other programs need to know of the documents, made from the tables that documents are made by.

use std::io;
use std::io::Write;
use std::process::ExitCode;

use crate::elb::Schema;
use crate::elb::mapping::template;

/// Writes the index template of a schema.
pub fn mapping(schema: Schema, to: &mut impl Write) -> ExitCode {
    match to.write_all(mapping_text(schema).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The index template as it is printed: indented JSON and a newline.
pub fn mapping_text(schema: Schema) -> String {
    format!("{:#}\n", template(schema))
}
