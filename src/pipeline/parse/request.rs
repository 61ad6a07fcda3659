//! The lines of a request, and the pieces of a JSON body: values that were cut out of it, and what stood in their place.

use super::LineParser;
use super::json::NO_OBJECT;
use crate::batch::BatchBuilder;
use crate::elb::trim;
use crate::framing::values::Kind;
use crate::framing::values::Piece;
use crate::json::envelope::Received;
use crate::json::envelope::Tags;
use crate::pipeline::plan::Format;

impl LineParser {
    /// From here on the lines are those of one request, which has said beforehand what a connection says in its first line.
    pub fn begin_request(&mut self, preamble: Option<&[u8]>) {
        self.first = false;
        self.ids.tell_copies_apart();
        if let Some(line) = preamble {
            let taken = self.preamble(line);
            debug_assert!(taken, "it was made to be one");
        }
    }

    /// Bytes of memory held for what has been seen of a request.
    pub fn remembered_bytes(&self) -> usize {
        self.ids.held_bytes()
    }

    /// Appends what becomes of the piece `chunk[start..end]`: one document, or none.
    pub fn piece(&mut self, chunk: &[u8], start: usize, end: usize, piece: Piece, received: Received, out: &mut BatchBuilder) {
        self.ids.place(piece.line, piece.index);
        let Some((from, to)) = trim(chunk, start, end) else { return };
        let is_object = chunk[from] == b'{';
        match piece.kind {
            Kind::Value | Kind::Line => self.parse(chunk, from, to, Tags::NONE, received, out),
            Kind::Element | Kind::Broken if is_object || self.format == Format::Text => {
                self.parse(chunk, from, to, Tags::NONE, received, out);
            }
            Kind::Element => self.no_json(&chunk[from..to], Tags::NONE, NO_OBJECT, 0, received, out),
            Kind::Cut => self.cut(&chunk[start..end], received, out),
            Kind::Broken => {
                let reject = self.json.scan(chunk, from, to).err();
                let (reason, at) = reject.map_or((NO_OBJECT, 0), |reject| (reject.reason.as_str(), reject.at));
                self.no_json(&chunk[from..to], Tags::NONE, reason, at, received, out);
            }
        }
    }
}
