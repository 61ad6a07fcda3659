//! The machine against tables, and against itself with streams cut in other places.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { window_events_max: 100, event_bytes_max: Some(50), inflated_bytes_max: 4_000 };

fn window(events: u32) -> Vec<u8> {
    [b"2W".as_slice(), &events.to_be_bytes()].concat()
}

fn event(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short event");
    [b"2J".as_slice(), &sequence.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(3));
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn frame_of(packed: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packed.len()).expect("a short frame");
    [b"2C".as_slice(), &length.to_be_bytes(), packed].concat()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    frame_of(&zlib(bytes))
}

/// A window of events that are numbered from `first`.
fn whole(first: u32, payloads: &[&str]) -> Vec<u8> {
    let events = (0..).zip(payloads).flat_map(|(at, payload)| event(first.wrapping_add(at), payload.as_bytes()));
    window(u32::try_from(payloads.len()).expect("a short window")).into_iter().chain(events).collect()
}

/// What a stream becomes when it comes in pieces of so many bytes and lines go out in pieces of so many.
#[derive(Debug, PartialEq)]
struct Outcome {
    lines: Vec<u8>,
    events: u64,
    windows: u64,
    fault: Option<Fault>,
    /// The acks when everything is stored at the end, as numbers.
    acks: Vec<u32>,
}

fn run(stream: &[u8], pieces: &[usize], most: usize) -> Outcome {
    let mut server = Server::new(LIMITS);
    let (mut lines, mut fault, mut rest) = (Vec::new(), None, stream);
    let mut pieces = pieces.iter().copied().cycle();
    'stream: while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(pieces.next().expect("some sizes").clamp(1, rest.len()));
        rest = behind;
        loop {
            let mut out = Vec::new();
            let result = server.step(piece, &mut out, most);
            assert!(out.len() <= most + 1, "{} bytes of lines, {most} are allowed", out.len());
            lines.extend(out);
            match result {
                Ok(step) => {
                    piece = &piece[step.consumed..];
                    match step.pause {
                        Pause::Hungry => break,
                        Pause::Full => {}
                        pause => panic!("{pause:?} without a reason"),
                    }
                }
                Err(found) => {
                    fault = Some(found);
                    assert_eq!(server.step(piece, &mut Vec::new(), most), Err(found), "a fault stays");
                    break 'stream;
                }
            }
        }
        assert!(piece.is_empty(), "a hungry machine has eaten everything");
    }
    let newlines = lines.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(newlines as u64, server.events(), "an event is a line");
    server.handle_committed(server.events());
    server.handle_ending();
    let acks = acks(&mut server);
    Outcome { lines, events: server.events(), windows: server.windows(), fault, acks }
}

/// The acks there are to write.
fn acks(server: &mut Server) -> Vec<u32> {
    let mut written = Vec::new();
    loop {
        let bytes = server.poll_transmit();
        if bytes.is_empty() {
            break;
        }
        written.push(bytes[0]);
        server.handle_transmitted(1);
    }
    let ack = |ack: &[u8]| {
        assert_eq!(ack[..2], *b"2A");
        u32::from_be_bytes(ack[2..].try_into().expect("four bytes"))
    };
    written.chunks(6).map(ack).collect()
}

#[track_caller]
fn check(stream: &[u8], lines: &str, acks: &[u32], fault: Option<Fault>) {
    for (pieces, most) in [(stream.len().max(1), 10_000), (1, 10_000), (3, 1), (stream.len().max(1), 1), (7, 5)] {
        let outcome = run(stream, &[pieces], most);
        assert_eq!(outcome.lines, lines.as_bytes(), "{:?}", String::from_utf8_lossy(&outcome.lines));
        assert_eq!((outcome.fault, &*outcome.acks), (fault, acks), "in pieces of {pieces}");
    }
}

#[test]
fn events_become_lines_and_stored_windows_are_acked_with_their_last_number() {
    check(b"", "", &[], None);
    check(&whole(1, &["{}"]), "{}\n", &[1], None);
    check(&whole(1, &["{\"a\":1}", "", "{\n\"a\":\r\n2}"]), "{\"a\":1}\n\n{ \"a\":\r 2}\n", &[3], None);
    let three = [whole(1, &["a", "b"]), window(0), whole(1, &["c"]), whole(1, &["d", "e", "f"])].concat();
    check(&three, "a\nb\nc\nd\ne\nf\n", &[2, 1, 3], None);
    let onwards = [whole(7, &["a", "b"]), whole(9, &["c"])].concat();
    check(&onwards, "a\nb\nc\n", &[8, 9], None);
    let again = [whole(5, &["a", "b"]), whole(5, &["a", "b"])].concat();
    check(&again, "a\nb\na\nb\n", &[6, 6], None);
    let around = [whole(u32::MAX - 1, &["a", "b", "c", "d"]), whole(2, &["e"])].concat();
    check(&around, "a\nb\nc\nd\ne\n", &[1, 2], None);
}

#[test]
fn compressed_frames_hold_frames() {
    let events = [event(1, b"a"), event(2, b"b"), event(3, b"c")].concat();
    check(&[window(3), compressed(&events)].concat(), "a\nb\nc\n", &[3], None);
    check(&[window(3), event(1, b"a"), compressed(&events[11..22]), event(3, b"c")].concat(), "a\nb\nc\n", &[3], None);
    check(&compressed(&[window(3), events.clone()].concat()), "a\nb\nc\n", &[3], None);
    check(&[compressed(b""), whole(1, &["a"])].concat(), "a\n", &[1], None);
    let with_more = [zlib(&events), vec![0; 9]].concat();
    check(&[window(3), frame_of(&with_more), whole(1, &["d"])].concat(), "a\nb\nc\nd\n", &[3, 1], None);
}

#[test]
fn a_window_that_another_one_follows_ends_with_what_has_come() {
    check(&[window(5), event(1, b"a"), whole(1, &["b"])].concat(), "a\nb\n", &[1, 1], None);
    check(&[window(5), whole(1, &["b"])].concat(), "b\n", &[1], None);
}

#[test]
fn what_is_no_lumberjack_ends_the_stream_and_what_came_before_it_counts() {
    let good = whole(1, &["a"]);
    let after = |bytes: &[u8], fault| check(&[&good, bytes].concat(), "a\n", &[1], Some(fault));
    after(b"1W\0\0\0\x01", Fault::Version);
    after(b"\x16\x03\x01", Fault::Version);
    after(b"GET / HTTP/1.1\r\n", Fault::Version);
    after(b"2A\0\0\0\x01", Fault::FrameType);
    after(b"2D\0\0\0\x01", Fault::KeyValueFrame);
    after(&event(2, b"x"), Fault::OutsideWindow);
    after(&window(101), Fault::WindowTooLarge);
    after(&[window(2), event(3, b"x")].concat(), Fault::SequenceGap);
    after(&[window(1), event(1, &[b'x'; 51])].concat(), Fault::EventTooLong);
    after(&[window(1), b"2J\0\0\0\x01\xff\xff\xff\xff".to_vec()].concat(), Fault::EventTooLong);
    after(&compressed(&compressed(&good)), Fault::Nested);
    after(b"2C\xff\xff\xff\xff", Fault::InflatedTooLong);
    after(&frame_of(b"no zlib at all"), Fault::Compression);
    after(&frame_of(&zlib(&good)[..9]), Fault::Compression);
    after(&compressed(&good[..12]), Fault::CutShort);
}

#[test]
fn a_gap_within_a_window_keeps_what_came_before_it() {
    let stream = [window(3), event(1, b"a"), event(3, b"c")].concat();
    check(&stream, "a\n", &[1], Some(Fault::SequenceGap));
    let stream = [window(3), event(1, b"a"), event(1, b"a")].concat();
    check(&stream, "a\n", &[1], Some(Fault::SequenceGap));
}

#[test]
fn a_bomb_is_cut_off_at_the_limit() {
    let event = event(1, &[b'x'; 30]);
    let announced = window(100);
    let events: Vec<u8> = (0..2_000).flat_map(|_| [announced.clone(), event.clone()].concat()).collect();
    let outcome = run(&compressed(&events), &[10_000], 10_000);
    assert_eq!(outcome.fault, Some(Fault::InflatedTooLong));
    assert_eq!(outcome.events, 4_000 / 46, "as many as the limit has room for");
    for pieces in [1, 13] {
        assert_eq!(run(&compressed(&events), &[pieces], 64), outcome);
    }
}

#[test]
fn a_part_of_a_window_is_acked_only_to_a_sender_that_has_waited() {
    let mut server = Server::new(LIMITS);
    let mut out = Vec::new();
    let mut step = |server: &mut Server, bytes: &[u8]| server.step(bytes, &mut out, 1_000).expect("good").pause;
    assert!(!server.is_owing());
    step(&mut server, &window(3));
    assert!(server.is_owing() && !server.is_between_windows());
    server.handle_waited();
    assert_eq!(acks(&mut server), [0]);
    step(&mut server, &[event(11, b"a"), event(12, b"b")].concat());
    assert_eq!(acks(&mut server), [0; 0]);
    server.handle_committed(1);
    assert_eq!(acks(&mut server), [0; 0]);
    server.handle_waited();
    assert_eq!(acks(&mut server), [11]);
    server.handle_waited();
    assert_eq!(acks(&mut server), [0], "nothing is said twice");
    step(&mut server, &event(13, b"c"));
    assert!(server.is_between_windows());
    server.handle_committed(2);
    assert_eq!(acks(&mut server), [0; 0]);
    server.handle_committed(3);
    assert_eq!(acks(&mut server), [13]);
    assert!(!server.is_owing());
}

#[test]
fn at_the_end_all_that_is_stored_is_told_and_no_window_begins() {
    let mut server = Server::new(LIMITS);
    let mut out = Vec::new();
    let stream = [whole(1, &["a", "b"]), window(3), event(1, b"c")].concat();
    assert_eq!(server.step(&stream, &mut out, 1_000).expect("good").pause, Pause::Hungry);
    server.close_intake();
    assert!(!server.is_between_windows());
    let rest = [event(2, b"d"), event(3, b"e"), whole(1, &["never"])].concat();
    assert_eq!(server.step(&rest, &mut out, 1_000).expect("good").pause, Pause::Closed);
    assert_eq!(out, b"a\nb\nc\nd\ne\n");
    server.handle_committed(4);
    assert_eq!(acks(&mut server), [2]);
    server.handle_ending();
    assert_eq!(acks(&mut server), [2], "the second of the second window");
    assert!(server.is_owing());
}

#[test]
fn whoever_reads_no_answers_has_no_more_windows_taken() {
    let mut server = Server::new(LIMITS);
    let mut out = Vec::new();
    let stream: Vec<u8> = (0..2_000).flat_map(|_| [window(2), event(1, b"a")].concat()).collect();
    let step = server.step(&stream, &mut out, 10_000).expect("good");
    assert_eq!(step.pause, Pause::Unanswered);
    assert!(server.is_full());
    assert_eq!(server.events(), WINDOWS_MAX as u64);
    server.handle_committed(10);
    assert!(server.is_full(), "it is the ack that makes room");
    assert_eq!(acks(&mut server), [1; 10]);
    assert!(!server.is_full());
    let rest = &stream[step.consumed..];
    assert_eq!(server.step(rest, &mut out, 100_000).expect("good").pause, Pause::Unanswered);
    assert_eq!(server.events(), WINDOWS_MAX as u64 + 10);
}

/// Streams that are mostly good.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let payload = vec(prop::sample::select(b"{}a\n\r".to_vec()), 0..12);
    let part = (vec(payload, 0..6), 0u32..3, 0u32..30, any::<bool>()).prop_map(|(payloads, lacks, fault, packs)| {
        let count = u32::try_from(payloads.len()).expect("few");
        let first = if fault == 1 { 90 } else { 1 };
        let frames: Vec<u8> = (first..).zip(&payloads).flat_map(|(sequence, payload)| event(sequence, payload)).collect();
        let frames = if packs { compressed(&frames) } else { frames };
        let announced = if lacks == 0 { count + 1 } else { count };
        [window(announced), frames].concat()
    });
    (vec(part, 0..6), vec((any::<prop::sample::Index>(), any::<u8>()), 0..2), any::<bool>()).prop_map(
        |(parts, flips, damages)| {
            let mut stream = parts.concat();
            for (at, byte) in flips.into_iter().filter(|_| damages && !stream.is_empty()).collect::<Vec<_>>() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
            stream
        },
    )
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_becomes_the_same(
        stream in streams(),
        pieces in vec(1usize..40, 1..10),
        most in 1usize..60,
    ) {
        prop_assert_eq!(run(&stream, &pieces, most), run(&stream, &[usize::MAX], usize::MAX - 1));
    }

    #[test]
    fn nothing_is_acked_before_it_is_stored_and_each_window_is_acked_once_in_order(
        sizes in vec(1u32..6, 1..8),
        commits in vec((0u64..5, any::<bool>()), 0..40),
        numbers_on: bool,
    ) {
        let mut server = Server::new(LIMITS);
        let (mut out, mut first) = (Vec::new(), 1);
        for size in &sizes {
            let stream = [window(*size), (first..first + size).flat_map(|at| event(at, b"e")).collect()].concat();
            server.step(&stream, &mut out, usize::MAX - 1).expect("good");
            first = if numbers_on { first + size } else { 1 };
        }
        let all = server.events();
        let (mut committed, mut told) = (0, Vec::new());
        for (more, waits) in commits {
            committed = (committed + more).min(all);
            server.handle_committed(committed);
            if waits {
                server.handle_waited();
            }
            told.extend(acks(&mut server).into_iter().filter(|ack| *ack > 0));
            let mut confirmed = 0;
            let (mut at, mut base) = (0, 0);
            for ack in &told {
                let in_window = ack - base;
                confirmed = sizes[..at].iter().map(|size| u64::from(*size)).sum::<u64>() + u64::from(in_window);
                if in_window == sizes[at] {
                    base = if numbers_on { base + sizes[at] } else { 0 };
                    at += 1;
                }
            }
            prop_assert!(confirmed <= committed, "{} confirmed, {} stored", confirmed, committed);
        }
        server.handle_committed(all);
        told.extend(acks(&mut server).into_iter().filter(|ack| *ack > 0));
        prop_assert!(!server.is_owing());
        let mut ends = Vec::new();
        let mut base = 0;
        for size in &sizes {
            ends.push(base + size);
            base = if numbers_on { base + size } else { 0 };
        }
        let mut wanted = ends.iter().peekable();
        for ack in &told {
            if wanted.peek() == Some(&ack) {
                wanted.next();
            }
        }
        prop_assert!(wanted.next().is_none(), "{:?} in {:?}", ends, told);
    }
}
