//! A whole session with a peer that sends any frames in any order, while the user types, workers report and connections break.
//!
//! Each byte of the input chooses what happens next; what the session then wants done is carried out as the owner would, with workers
//! that touch no disk. Invariants: what is held stays within the limits of the wire; no data reaches a worker before consent, beyond
//! the window, or with a gap; nothing is acknowledged that the face did not write; every transfer ends once, the session too.

mod play;
mod worker;

use play::Play;

/// Steps of one input; longer ones find nothing that shorter ones do not.
const STEPS: usize = 4_000;

/// See the module.
pub fn session(data: &[u8]) {
    let mut play = Play::new(data);
    for _ in 0..STEPS {
        if !play.step() {
            break;
        }
    }
    play.finish();
}

/// Stories that get far: lines, a download from offer to end, an upload, a flood, a loss.
pub fn seeds() -> Vec<Vec<u8>> {
    use play::op;
    let rules = [0, 1, 2, 3];
    let stories: [&[u8]; 6] = [
        &[op::LINE, 3, b'a', b'b', b'c', op::SETTLE, op::TYPE, 0, op::ACK, 0, op::LINE, 1, b'x', op::BYE, 0],
        &[
            op::OFFER,
            0,
            0,
            op::LIST,
            op::WORK,
            0,
            op::TYPE,
            1,
            op::WORK,
            0,
            op::DATA,
            0,
            op::DATA,
            0,
            op::WORK,
            0,
            op::WORK,
            0,
        ],
        &[
            op::OFFER,
            0,
            2,
            op::LIST,
            op::WORK,
            0,
            op::TYPE,
            1,
            op::WORK,
            0,
            op::DATA,
            0,
            op::DATA,
            0,
            op::LOSE,
            0,
            op::RESUME,
            0,
        ],
        &[op::TYPE, 5, op::UPLOAD, 0, op::ANSWER, 0, 1, op::CREDIT, 1, op::ANSWER, 3, 1, op::UPLOAD, 3, op::UPLOAD, 5],
        &[op::OFFER, 0, 0, op::ANSWER, 2, 1, op::OFFER, 0, 1, op::LIST, op::WORK, 1, op::ANSWER, 2, 2, op::TIME, 9],
        &[op::TYPE, 6, op::ACK, 0, op::BYE, 0, op::SETTLE, op::ACK, 0, op::LOSE, 0],
    ];
    let mut seeds = Vec::new();
    for rule in rules {
        for story in stories {
            seeds.push([&[rule], story].concat());
            seeds.push([&[rule], story.repeat(40).as_slice()].concat());
        }
    }
    seeds
}
