//! The sender's machines against tables, against the server's, and against themselves with streams cut in other places.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::lumberjack::Limits;
use crate::wire::lumberjack::Packer;
use crate::wire::lumberjack::Pause;
use crate::wire::lumberjack::Server;

const PATIENCE: Patience = Patience { life: Duration::from_secs(60), progress: Duration::from_secs(300) };

fn ack(number: u32) -> Vec<u8> {
    [b"2A".as_slice(), &number.to_be_bytes()].concat()
}

/// A connection with windows of so many events, all written.
fn with(windows: &[u32], now: Instant) -> Client {
    let mut client = Client::new(PATIENCE);
    for events in windows {
        client.handle_begun(*events, now);
        client.handle_written(true, now);
    }
    client
}

/// What acks release of windows of 5, 3 and 4 events, and how that ends.
#[track_caller]
fn check(acks: &[u32], released: u64, windows: usize, fault: Option<AckFault>) {
    let now = Instant::now();
    let stream: Vec<u8> = acks.iter().flat_map(|number| ack(*number)).collect();
    for pieces in [1, 2, 5, 6, 7, stream.len()] {
        let mut client = with(&[5, 3, 4], now);
        let found = stream.chunks(pieces.max(1)).find_map(|piece| client.handle_read(piece, now).err());
        assert_eq!((client.released(), client.windows(), found), (released, windows, fault), "in pieces of {pieces}");
    }
}

#[test]
fn acks_release_the_oldest_window_from_its_first_event_on() {
    check(&[], 0, 3, None);
    check(&[5], 5, 2, None);
    check(&[2, 4, 5, 3], 8, 1, None);
    check(&[5, 3, 4], 12, 0, None);
    check(&[2, 2], 2, 3, None);
    check(&[0, 1, 0, 0, 5, 0], 5, 2, None);
    check(&[5, 3, 4, 0], 12, 0, None);
}

#[test]
fn acks_that_cannot_be_believed_end_it_and_what_came_before_stays_released() {
    check(&[6], 0, 3, Some(AckFault::Beyond));
    check(&[u32::MAX], 0, 3, Some(AckFault::Beyond));
    check(&[5, 4], 5, 2, Some(AckFault::Beyond));
    check(&[5, 3, 4, 1], 12, 0, Some(AckFault::Beyond));
    check(&[3, 2, 5], 3, 3, Some(AckFault::Backwards));
    let after = |bytes: &[u8], fault| {
        let now = Instant::now();
        let mut client = with(&[5], now);
        client.handle_read(&ack(2), now).expect("good");
        assert_eq!(client.handle_read(bytes, now), Err(fault));
        assert_eq!(client.handle_read(&ack(5), now), Err(fault), "a fault stays");
        assert_eq!((client.released(), client.windows()), (2, 1));
    };
    after(b"1A\0\0\0\x05", AckFault::Version);
    after(b"\x15\x03\x01", AckFault::Version);
    after(b"HTTP/1.1 400", AckFault::Version);
    after(b"2W", AckFault::FrameType);
    after(b"2J\0", AckFault::FrameType);
}

#[test]
fn signs_of_life_without_end_are_none() {
    let now = Instant::now();
    for number in [0, 2] {
        let mut client = with(&[5], now);
        client.handle_read(&ack(2), now).expect("good");
        client.handle_read(&ack(number).repeat(IDLE_ACKS_MAX as usize), now).expect("as many as may be");
        client.handle_read(&ack(3), now).expect("one that releases something is no such sign");
        client.handle_read(&ack(0).repeat(IDLE_ACKS_MAX as usize), now).expect("and after it they count anew");
        let mut flooded = with(&[5], now);
        flooded.handle_read(&ack(2), now).expect("good");
        flooded.handle_read(&ack(number).repeat(IDLE_ACKS_MAX as usize), now).expect("as many as may be");
        assert_eq!(flooded.handle_read(&ack(number), now), Err(AckFault::Endless));
        assert_eq!((flooded.released(), flooded.windows()), (2, 1));
    }
    // Also where there is nothing to wait for.
    let mut idle = with(&[5], now);
    idle.handle_read(&ack(5), now).expect("good");
    assert_eq!(idle.handle_read(&ack(0).repeat(IDLE_ACKS_MAX as usize + 1), now), Err(AckFault::Endless));
}

#[test]
fn a_window_is_not_acked_as_a_whole_before_it_is_sent_as_a_whole() {
    let now = Instant::now();
    let mut client = with(&[3], now);
    client.handle_begun(3, now);
    client.handle_read(&ack(3), now).expect("the first is sent");
    assert_eq!(client.clone().handle_read(&ack(1), now), Err(AckFault::Beyond), "nothing of the second has left");
    client.handle_written(false, now);
    client.handle_read(&ack(2), now).expect("a part of the second may have come");
    assert_eq!(client.handle_read(&ack(3), now), Err(AckFault::Beyond));
    assert_eq!(client.released(), 5);
}

#[test]
fn a_server_that_is_working_is_waited_for_but_not_for_ever() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut client = Client::new(PATIENCE);
    assert_eq!((client.poll_timeout(), client.late(at(9_999))), (None, None), "there is nothing to wait for");
    client.handle_begun(5, start);
    assert_eq!(client.poll_timeout(), Some(at(60)));
    client.handle_written(true, at(10));
    assert_eq!((client.poll_timeout(), client.late(at(69)), client.late(at(70))), (Some(at(70)), None, Some(PATIENCE.life)));
    for second in (20..300).step_by(40) {
        client.handle_read(&ack(0), at(second)).expect("good");
        assert!(client.is_working());
        assert_eq!(client.waited(at(second)), Duration::from_secs(second));
        assert_eq!(client.poll_timeout(), Some(at((second + 60).min(300))));
    }
    assert_eq!((client.late(at(299)), client.late(at(300))), (None, Some(PATIENCE.progress)));
    client.handle_read(&ack(1), at(299)).expect("good");
    assert!(!client.is_working());
    assert_eq!((client.poll_timeout(), client.waited(at(300))), (Some(at(359)), Duration::from_secs(1)));
    client.handle_read(&ack(1), at(350)).expect("good");
    assert_eq!(client.poll_timeout(), Some(at(410)), "the same again is a sign of life and no progress");
    client.handle_read(&ack(5), at(360)).expect("good");
    assert_eq!((client.poll_timeout(), client.waited(at(9_999))), (None, Duration::ZERO));
    client.handle_begun(1, at(1_000));
    assert_eq!(client.poll_timeout(), Some(at(1_060)), "an idle connection does not age");
}

const LIMITS: Limits = Limits { window_events_max: 10_000, event_bytes_max: Some(1 << 20), inflated_bytes_max: 1 << 30 };

fn packed(packer: &mut Packer, windows: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for events in windows {
        packer.begin(events.len() as u32, &mut out);
        events.iter().for_each(|event| packer.event(event, &mut out));
        packer.end(&mut out);
    }
    out
}

#[test]
fn a_window_is_announced_and_its_events_are_numbered_from_one() {
    let windows = [vec![b"{}".to_vec(), b"{\"a\":1}".to_vec()], vec![b"{}".to_vec()]];
    let out = packed(&mut Packer::new(0), &windows);
    let first = b"2W\0\0\0\x022J\0\0\0\x01\0\0\0\x02{}2J\0\0\0\x02\0\0\0\x07{\"a\":1}";
    assert_eq!(out, [first.as_slice(), b"2W\0\0\0\x012J\0\0\0\x01\0\0\0\x02{}"].concat());
    assert_eq!(first.len(), 6 + 2 * Packer::EACH + 9);
    let out = packed(&mut Packer::new(6), &windows[..1]);
    assert_eq!(out[..8], *b"2W\0\0\0\x022C");
    assert_eq!(out[8..12], (out.len() as u32 - 12).to_be_bytes(), "all of it is in one frame");
}

/// What becomes of a stream in our own server, and the acks for it.
fn served(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut server = Server::new(LIMITS);
    let mut lines = Vec::new();
    let step = server.step(stream, &mut lines, usize::MAX - 1).expect("our own windows are good");
    assert_eq!((step.consumed, step.pause), (stream.len(), Pause::Hungry));
    assert!(server.is_between_windows());
    server.handle_committed(server.events());
    let mut acks = Vec::new();
    loop {
        let bytes = server.poll_transmit().len();
        acks.extend_from_slice(server.poll_transmit());
        server.handle_transmitted(bytes);
        if bytes == 0 {
            return (lines, acks);
        }
    }
}

proptest! {
    #[test]
    fn what_is_packed_arrives_in_our_own_server_and_its_acks_release_it(
        windows in vec(vec(vec(b' '..b'~', 0..60), 1..40), 1..5), level in 0u32..10, repeats in 1usize..200
    ) {
        let windows: Vec<Vec<Vec<u8>>> = windows.into_iter().map(|events| {
            // Long ones pass what the compressor is given at once.
            events.into_iter().map(|event| event.repeat(repeats)).collect()
        }).collect();
        let now = Instant::now();
        let stream = packed(&mut Packer::new(level), &windows);
        let (lines, acks) = served(&stream);
        let wanted: Vec<u8> = windows.iter().flatten().flat_map(|event| [event.as_slice(), b"\n"].concat()).collect();
        prop_assert!(lines == wanted, "{} bytes of {}", lines.len(), wanted.len());
        let sizes: Vec<u32> = windows.iter().map(|events| events.len() as u32).collect();
        let mut client = with(&sizes, now);
        client.handle_read(&acks, now).expect("our own acks are good");
        prop_assert_eq!((client.windows(), client.released()), (0, sizes.iter().map(|events| u64::from(*events)).sum::<u64>()));
    }

    #[test]
    fn any_answer_releases_the_same_however_it_is_cut_and_never_more_than_was_sent(
        sizes in vec(1u32..6, 0..6),
        numbers in vec(0u32..7, 0..12),
        flip in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        pieces in vec(1usize..9, 1..6),
    ) {
        let now = Instant::now();
        let mut stream: Vec<u8> = numbers.iter().flat_map(|number| ack(*number)).collect();
        if let Some((at, byte)) = flip.filter(|_| !stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let mut whole = with(&sizes, now);
        let fault = whole.handle_read(&stream, now).err();
        let mut cut = with(&sizes, now);
        let (mut rest, mut pieces, mut found) = (&stream[..], pieces.iter().cycle(), None);
        while !rest.is_empty() && found.is_none() {
            let (piece, behind) = rest.split_at((*pieces.next().expect("some")).min(rest.len()));
            let before = cut.released();
            found = cut.handle_read(piece, now).err();
            prop_assert!(cut.released() >= before);
            rest = behind;
        }
        prop_assert_eq!((cut.released(), cut.windows(), found), (whole.released(), whole.windows(), fault));
        prop_assert!(whole.released() <= sizes.iter().map(|events| u64::from(*events)).sum::<u64>());
        prop_assert!(whole.windows() > 0 || whole.poll_timeout().is_none());
    }
}
