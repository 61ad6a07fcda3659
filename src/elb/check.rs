//! Whether a line's tokens stand where its format has them: what keeps a line from being read shifted.
//!
//! It says where the first one stands that does not, and never what the line might have meant.

use super::format;
use super::format::Shape;
use super::line::Line;
use super::reject::Reject;
use super::reject::RejectReason;
use super::value;

impl Line<'_> {
    /// Whether there are enough tokens, and quotes only where they may be and wherever they must be.
    #[inline(always)]
    pub(super) fn check_quoting(&self) -> Result<(), Reject> {
        let format = self.format;
        if self.tokens.len() < format.tokens_min {
            let field = format.fields.get(self.tokens.len()).map(format::Field::name);
            return Err(Reject { at: self.end - self.start, reason: RejectReason::TooFewFields, field });
        }
        let present = self.present();
        let bare = !self.tokens.quoted() & present;
        let mut wrong = (self.tokens.quoted() & format.bare) | (bare & format.quoted);
        let mut dashes = bare & format.quoted_or_dash;
        while dashes != 0 {
            let place = dashes.trailing_zeros() as usize;
            if !self.token(place).is_dash() {
                wrong |= 1 << place;
            }
            dashes &= dashes - 1;
        }
        if wrong == 0 { Ok(()) } else { Err(self.misaligned(wrong.trailing_zeros() as usize)) }
    }

    /// One bit for each place that has a token.
    #[inline(always)]
    pub(super) fn present(&self) -> u64 {
        if self.tokens.len() >= 64 { u64::MAX } else { (1 << self.tokens.len()) - 1 }
    }

    /// Whether every field is what its place demands, those included that a schema leaves out.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Reject> {
        let mut left = self.format.checked & self.present();
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            if !self.check_place(place) {
                return Err(self.misaligned(place));
            }
        }
        Ok(())
    }

    /// Whether a field is what its place demands.
    #[inline(always)]
    pub(super) fn check_place(&self, place: usize) -> bool {
        let token = self.token(place);
        match self.format.fields[place].shape {
            Shape::Text | Shape::Ip | Shape::WordList | Shape::LooseTime | Shape::Request { .. } => true,
            Shape::Integer => value::is_integer(token),
            Shape::Number => value::is_decimal(token),
            Shape::Time => value::is_time(token),
            Shape::PassOrFail => value::is_pass_or_fail(token),
            Shape::Endpoint { .. } => value::is_endpoint(token),
        }
    }
}
