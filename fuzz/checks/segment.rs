//! Any bytes as a segment of a buffer: see `opened.rs`, which says what must hold. Where no CRC was made to fit, what is held
//! and what is lost are together what there was.
//!
//! Of the first byte, the two lowest bits choose which segment it is, the third takes the checkpoint away, the fourth makes the
//! CRCs fit what they are for, and the fifth takes the other segments away. The second byte has no meaning. The rest is the file.

use elbow::buffer::format::BLOCK;
use elbow::buffer::format::FRAME_HEADER;
use elbow::buffer::format::MARKER;
use elbow::buffer::format::Seed;
use elbow::buffer::format::segment_name;

use crate::made;
use crate::opened;

/// Makes the CRCs right, with places as large as there can be.
fn mend(bytes: &mut [u8], number: u64) {
    let uuid = *made::UUID;
    if let Some(head) = bytes.get_mut(..68) {
        head[..12].copy_from_slice(b"ELBOWSEG\x01\0\0\0");
        head[16..32].copy_from_slice(&uuid);
        bound(&mut head[40..64]);
        let crc = crc32c::crc32c(&head[..64]);
        head[64..68].copy_from_slice(&crc.to_le_bytes());
    }
    let seed = Seed::new(&uuid, number);
    for at in (0..bytes.len()).step_by(BLOCK as usize).skip(1) {
        let frame = &mut bytes[at..];
        if frame.len() < FRAME_HEADER || frame[..8] != MARKER {
            continue;
        }
        let payload_bytes = u32::from_le_bytes(frame[8..12].try_into().expect("four bytes")) as usize;
        if let Some(payload) = frame[FRAME_HEADER..].get(..payload_bytes) {
            let crc = seed.crc([payload]);
            frame[56..60].copy_from_slice(&crc.to_le_bytes());
        }
        bound(&mut frame[16..48]);
        let crc = seed.crc([&frame[..60]]);
        frame[60..64].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Numbers below 2^61: nobody counts further, and whoever can make CRCs fit can do worse.
pub(crate) fn bound(numbers: &mut [u8]) {
    numbers.iter_mut().skip(7).step_by(8).for_each(|high| *high &= 0x1f);
}

pub(crate) fn check(input: &[u8]) {
    let [choice, _, bytes @ ..] = input else { return };
    let number = u64::from(choice & 3).min(2);
    let mut bytes = bytes.to_vec();
    let is_mended = choice & 8 != 0;
    if is_mended {
        mend(&mut bytes, number);
    }
    let mut files = opened::whole().clone();
    if choice & 4 != 0 {
        files.remove("checkpoint");
    }
    if choice & 16 != 0 {
        files.retain(|name, _| name == "checkpoint");
    }
    files.insert(segment_name(number), bytes);
    let found = opened::check(&files, is_mended);
    if choice & 4 == 0 && !is_mended {
        let found = found.expect("there is a checkpoint");
        let lost: u64 = found.gaps.iter().map(|gap| gap.lost_events).sum();
        let all = made::point(made::ENTRIES).event - made::point(1).event;
        assert_eq!(found.held.event + lost, all);
    }
}
