//! Tokens lie in order inside the line and leave out only spaces and quotes, and the quick way to cut agrees with every
//! slow one, whatever stands around the line.
//!
//! The first byte chooses how many bytes at either end of the chunk are outside the line; the rest is the chunk.

use elbow::elb::reject::RejectReason;
use elbow::elb::tokens::Attempt;
use elbow::elb::tokens::PLACES;
use elbow::elb::tokens::Tokens;

/// Where each token of a line that ends at `end` stands, and whether it has quotes. Behind the places that is told by the
/// bytes around it: a bare token is followed by a space.
fn listed(tokens: &Tokens, chunk: &[u8], line_end: usize) -> Vec<(usize, usize, bool)> {
    let placed = (0..tokens.len()).map(|place| {
        let (start, end) = tokens.span(place);
        assert_eq!(tokens.text(chunk, place), &chunk[start..end]);
        (start, end, tokens.quoted() >> place & 1 == 1)
    });
    let rest = tokens.rest().iter().map(|&(start, end)| {
        let (start, end) = (start as usize, end as usize);
        (start, end, start > 0 && chunk[start - 1] == b'"' && chunk[..line_end].get(end) == Some(&b'"'))
    });
    placed.chain(rest).collect()
}

fn check_cut(chunk: &[u8], start: usize, end: usize, tokens: &Tokens) {
    assert!(tokens.len() <= PLACES && (tokens.rest().is_empty() || tokens.len() == PLACES));
    assert_eq!(tokens.quoted().checked_shr(tokens.len() as u32).unwrap_or(0), 0, "quotes where there is no token");
    let mut at = start;
    for (from, to, quoted) in listed(tokens, chunk, end) {
        let outer = usize::from(quoted);
        assert!(at + outer <= from && from <= to && to + outer <= end);
        assert!(chunk[at..from - outer].iter().all(|&byte| byte == b' '));
        if quoted {
            assert!(chunk[from - 1] == b'"' && chunk[to] == b'"');
        } else {
            assert!(from < to && chunk[from] != b'"' && !chunk[from..to].contains(&b' '));
            assert!(to == end || chunk[to] == b' ', "a bare token ends before a space");
        }
        at = to + outer;
    }
    assert!(chunk[at..end].iter().all(|&byte| byte == b' '));
}

pub(crate) fn check(input: &[u8]) {
    let [choice, chunk @ ..] = input else { return };
    let start = usize::from(*choice & 15).min(chunk.len());
    let end = chunk.len().saturating_sub(usize::from(*choice >> 4)).max(start);
    let line = &chunk[start..end];
    let mut plain = Tokens::default();
    let is_plain = plain.cut_plain(chunk, start, end);
    if is_plain {
        check_cut(chunk, start, end, &plain);
    }
    let mut alone = Tokens::default();
    assert_eq!(alone.cut_plain(line, 0, line.len()), is_plain, "what stands around a line does not matter");
    for attempt in Attempt::ALL {
        let mut tokens = Tokens::default();
        let cut = tokens.cut(chunk, start, end, attempt);
        assert_eq!(alone.cut(line, 0, line.len(), attempt), cut);
        match cut {
            Ok(()) => {
                check_cut(chunk, start, end, &tokens);
                let shifted: Vec<_> = listed(&alone, line, line.len())
                    .into_iter()
                    .map(|(from, to, quoted)| (from + start, to + start, quoted))
                    .collect();
                assert_eq!(shifted, listed(&tokens, chunk, end));
                if is_plain {
                    assert_eq!(listed(&plain, chunk, end), listed(&tokens, chunk, end), "{attempt:?}");
                    let escapes = line.iter().filter(|&&byte| byte < 0x20 || byte == b'\\').count();
                    assert_eq!((plain.escapes(), plain.has_high()), (escapes, tokens.has_high()));
                    assert!(escapes <= tokens.escapes());
                }
            }
            Err(reject) => {
                assert!(!is_plain, "{attempt:?}");
                assert_eq!((reject.reason, line[reject.at]), (RejectReason::UnterminatedQuote, b'"'));
            }
        }
    }
}
