//! Random histories of two sessions: whatever is lost, every line arrives once and in order, and every offer ends once.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Step {
    Say(usize),
    Send(usize),
    Command(usize, &'static str),
    Answer(usize, bool),
    Deliver(usize),
    Work(usize, usize),
    Show(usize, u64),
    Cut,
    Reconnect,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let side = || 0..2_usize;
    let command = prop_oneof![Just("/cancel"), Just("/decline"), Just("/accept"), Just("/transfers")];
    let step = prop_oneof![
        4 => side().prop_map(Step::Say),
        2 => side().prop_map(Step::Send),
        1 => (side(), command).prop_map(|(side, command)| Step::Command(side, command)),
        2 => (side(), prop::bool::weighted(0.8)).prop_map(|(side, yes)| Step::Answer(side, yes)),
        10 => side().prop_map(Step::Deliver),
        6 => (side(), any::<usize>()).prop_map(|(side, place)| Step::Work(side, place)),
        4 => (side(), 1..4_u64).prop_map(|(side, count)| Step::Show(side, count)),
        1 => Just(Step::Cut),
        2 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..most)
}

/// Plays a history and checks after each step what always holds.
struct Play {
    pair: Pair,
    said: [Vec<String>; 2],
    /// So many messages were compared with what was said.
    compared: [usize; 2],
}

impl Play {
    fn new() -> Self {
        Self { pair: Pair::connected(rules(RECONNECT_FOREVER)), said: [Vec::new(), Vec::new()], compared: [0; 2] }
    }

    fn step(&mut self, count: usize, step: Step) {
        let sides = &mut self.pair.sides;
        match step {
            Step::Say(side) => {
                let text = format!("line {count}");
                sides[side].enter(&text);
                self.said[side].push(text);
            }
            Step::Send(side) => {
                sides[side].list = list(&format!("file {}", count % 3));
                sides[side].enter("/send file");
            }
            Step::Command(side, command) => sides[side].enter(command),
            Step::Answer(side, yes) => {
                if !sides[side].questions.is_empty() {
                    sides[side].answer(yes);
                }
            }
            Step::Deliver(from) => drop(self.pair.deliver(from)),
            Step::Work(side, place) => sides[side].work(place),
            Step::Show(side, count) => sides[side].show(count),
            Step::Cut => self.pair.cut(),
            Step::Reconnect => self.pair.reconnect(),
        }
        for side in 0..2 {
            let other = &self.pair.sides[1 - side];
            // Nothing is said to be delivered that the other side has not shown; nothing comes twice.
            assert!(self.pair.sides[side].delivered.len() <= other.has_shown());
            while let Some((_, text)) = other.posted.get(self.compared[side]) {
                assert_eq!(Some(text), self.said[side].get(self.compared[side]));
                self.compared[side] += 1;
            }
        }
    }

    /// Answers what is asked and lets all come to rest.
    fn rest(&mut self) {
        loop {
            self.pair.quiesce();
            let asked = self.pair.sides.iter_mut().find(|side| !side.questions.is_empty());
            let Some(side) = asked else { return };
            side.answer(true);
        }
    }
}

/// Every number that was offered ended once, and nothing else did.
fn each_offer_ended_once(side: &Side) {
    let mut open: BTreeMap<TransferId, usize> = BTreeMap::new();
    for notice in &side.notices {
        if let Notice::Offer { transfer, was, .. } = notice {
            assert!(open.insert(*transfer, 0).is_none(), "{transfer} is offered twice");
            was.map(|was| open.remove(&was));
        }
    }
    for (transfer, end) in side.ends() {
        // What ends before its list came was never told as an offer.
        let count = open.entry(transfer).or_default();
        *count += 1;
        assert_eq!(*count, 1, "{transfer} ends twice, at last {end}");
    }
    assert!(open.values().all(|count| *count == 1), "{open:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_arrives_once_and_every_offer_ends_once_whatever_is_lost(history in steps(400)) {
        let mut play = Play::new();
        for (count, step) in history.into_iter().enumerate() {
            play.step(count, step);
        }
        play.rest();
        let sides = &mut play.pair.sides;
        for side in 0..2 {
            let shown: Vec<_> = sides[1 - side].posted.iter().map(|(_, text)| text.clone()).collect();
            prop_assert_eq!(&shown, &play.said[side]);
            let ids: Vec<u64> = (1..).take(play.said[side].len()).collect();
            prop_assert_eq!(&sides[side].delivered, &ids);
            prop_assert_eq!(sides[side].session.transfers(|_, _| (0, 0)).len(), 0);
            each_offer_ended_once(&sides[side]);
        }
    }

    #[test]
    fn a_quit_after_any_history_ends_both_politely(history in steps(200), leaver in 0..2_usize, signal: bool) {
        let mut play = Play::new();
        for (count, step) in history.into_iter().enumerate() {
            if !matches!(step, Step::Cut | Step::Reconnect) {
                play.step(count, step);
            }
        }
        let side = &mut play.pair.sides[leaver];
        if signal {
            side.session.signal();
        } else {
            side.session.input(Input::Line("/quit".into()));
        }
        side.perform();
        play.rest();
        prop_assert!(play.pair.sides.iter().all(|side| side.hung_up));
        play.pair.cut();
        for side in 0..2 {
            each_offer_ended_once(&play.pair.sides[side]);
            prop_assert_eq!(play.pair.sides[side].session.undelivered, 0);
            prop_assert_eq!(play.pair.sides[1 - side].posted.len(), play.said[side].len());
        }
        let ends = [leaver, 1 - leaver].map(|side| play.pair.sides[side].ended);
        match ends {
            [Some(SessionEnd::Signal), Some(SessionEnd::Polite { by_peer: true, .. })] => prop_assert!(signal),
            [Some(SessionEnd::Polite { by_peer: false, .. }), Some(SessionEnd::Polite { by_peer: true, .. })] => {
                prop_assert!(!signal);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn restarts_of_the_peer_lose_nothing_that_this_side_keeps(parts in prop::collection::vec(steps(60), 1..4)) {
        let mut play = Play::new();
        let last = parts.len();
        for (part, history) in parts.into_iter().enumerate() {
            for (count, step) in history.into_iter().enumerate() {
                play.step(count, step);
            }
            if part + 1 < last {
                play.pair.restart(1, rules(RECONNECT_FOREVER));
                let resent: Vec<String> = play.pair.sides[0].session.outgoing.undelivered()
                    .filter_map(|(frame, _)| match &frame.control {
                        Control::Line { text, .. } => Some(text.clone()),
                        _ => None,
                    })
                    .collect();
                // What the killed program had shown may come again; of what it said, nothing more comes.
                play.said = [resent, Vec::new()];
                play.compared = [0; 2];
                play.pair.sides[0].posted.clear();
                play.pair.sides[0].delivered.clear();
            }
        }
        play.rest();
        let survivor = &play.pair.sides[0];
        let shown: Vec<_> = play.pair.sides[1].posted.iter().map(|(_, text)| text.clone()).collect();
        prop_assert_eq!(&shown, &play.said[0]);
        prop_assert_eq!(survivor.delivered.len(), shown.len());
        prop_assert_eq!(survivor.session.transfers(|_, _| (0, 0)).len(), 0);
        play.pair.sides[0].enter("/quit");
        play.rest();
        play.pair.cut();
        each_offer_ended_once(&play.pair.sides[0]);
    }
}
