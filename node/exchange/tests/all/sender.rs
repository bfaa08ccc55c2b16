//! The sending side: turns of lanes, windows, pauses.

use eport_exchange::{Answer, LANE_WINDOW, OFFER_MESSAGES_MAX, Refused, Sender, Taken};
use eport_model::{Epoch, JournalIndex};
use std::collections::BTreeMap;

/// Rows of a lane with their bytes.
type Rows = Vec<((char, usize), usize)>;
type Heads = BTreeMap<String, Rows>;

fn lane(name: char, rows: usize, bytes: usize) -> (String, Rows) {
    (name.to_string(), (0..rows).map(|n| ((name, n), bytes)).collect())
}

fn answer(results: Vec<Taken>, epoch: u64, held: u64) -> Answer {
    let (epoch, held) = (Epoch::from_u64(epoch), JournalIndex::from_u64(held));
    Answer { epoch, held, last: None, results: Ok(results) }
}

/// A sender that knows its receiver, over a line that has shown that it is fast.
fn met(heads: &Heads) -> Sender<(char, usize)> {
    let mut sender = Sender::default();
    assert_eq!(sender.pick(heads, 0), Some(Vec::new()), "first contact asks and sends nothing");
    for _ in 0..8 {
        assert_eq!(sender.answered(answer(Vec::new(), 1, 0), 0).held.len(), 0);
    }
    sender
}

/// What a line of so many bytes a millisecond did with a thousand messages of two kilobytes in an hour: how many arrived, and for
/// which part of the time until then it was taken up. An offer that takes longer than ten seconds brings no answer.
fn over_a_line(bytes_a_ms: usize) -> (usize, f64) {
    let mut heads: Heads = [lane('a', 1_000, 2_000)].into();
    let mut sender = met(&heads);
    let (mut now, mut taken) = (0u64, 0u64);
    while now < 3_600_000 && !heads["a"].is_empty() {
        let Some(picked) = sender.pick(&heads, now) else {
            now = sender.not_before();
            continue;
        };
        let took = (20 + picked.len() * 2_000 / bytes_a_ms) as u64;
        now += took.min(10_000);
        taken += took.min(10_000);
        if took > 10_000 {
            sender.failed("timeout".into(), now);
            continue;
        }
        let done =
            sender.answered(answer(vec![Taken::At(JournalIndex::from_u64(9)); picked.len()], 1, 9), now);
        let rows = heads.get_mut("a").unwrap();
        rows.retain(|(key, _)| !done.held.contains(key));
    }
    (1_000 - heads["a"].len(), taken as f64 / now as f64)
}

#[test]
fn a_slow_line_carries_everything_and_is_left_to_others_most_of_the_time() {
    // A megabit a second, of which the journals take half; then a tenth of that.
    for bytes_a_ms in [62, 6] {
        let (arrived, taken) = over_a_line(bytes_a_ms);
        assert_eq!(arrived, 1_000, "{bytes_a_ms} bytes a millisecond");
        assert!(taken < 0.6, "{bytes_a_ms}: it took the line for {taken:.2} of the time");
    }
    assert_eq!(over_a_line(100_000).0, 1_000);
}

#[test]
fn a_busy_lane_delays_no_other_and_each_keeps_its_order() {
    let heads: Heads = [lane('a', 10_000, 2_000), lane('b', 3, 2_000)].into();
    let picked = met(&heads).pick(&heads, 0).unwrap();
    assert_eq!(picked.len(), OFFER_MESSAGES_MAX);
    let b: Vec<usize> = (0..picked.len()).filter(|n| picked[*n].0 == 'b').collect();
    assert_eq!(b, [1, 3, 5], "one turn each");
    for name in ['a', 'b'] {
        let of: Vec<usize> = picked.iter().filter(|(l, _)| *l == name).map(|(_, n)| *n).collect();
        assert!(of.is_sorted());
    }
}

#[test]
fn large_messages_of_one_lane_leave_the_next_turn_to_another() {
    let heads: Heads = [lane('a', 50, 1 << 20), lane('b', 50, 1 << 20)].into();
    let mut sender = met(&heads);
    let mut turns = Vec::new();
    for _ in 0..4 {
        let picked = sender.pick(&heads, 0).unwrap();
        assert_eq!(picked.len(), 2);
        turns.extend(picked.iter().map(|(lane, _)| *lane));
        let _ = sender.answered(answer(vec![Taken::At(JournalIndex::from_u64(9)); 2], 1, 0), 0);
        sender.try_now();
    }
    assert_eq!(turns.iter().filter(|l| **l == 'a').count(), 4, "{turns:?}");
}

#[test]
fn a_row_leaves_only_when_it_is_held_and_a_window_bounds_what_is_under_way() {
    let heads: Heads = [lane('a', 2_000, 10)].into();
    let mut sender = met(&heads);
    for _ in 0..2 {
        let n = sender.pick(&heads, 0).unwrap().len();
        let done = sender.answered(answer(vec![Taken::At(JournalIndex::from_u64(700)); n], 1, 699), 0);
        assert!(done.held.is_empty());
        sender.try_now();
    }
    assert_eq!(sender.waiting(), LANE_WINDOW);
    assert_eq!(sender.pick(&heads, 0), Some(Vec::new()), "beyond the window it only asks");
    let done = sender.answered(answer(Vec::new(), 1, 700), 0);
    assert_eq!(done.held.len(), LANE_WINDOW);
}

#[test]
fn a_new_epoch_of_the_receiver_makes_acknowledgements_void() {
    let heads: Heads = [lane('a', 3, 10)].into();
    let mut sender = met(&heads);
    assert_eq!(sender.pick(&heads, 0).unwrap().len(), 3);
    let _ = sender.answered(answer(vec![Taken::At(JournalIndex::from_u64(70)); 3], 1, 60), 0);
    assert_eq!(sender.pick(&heads, 1_000), Some(Vec::new()));
    let moved = Answer { results: Err(Refused::Moved), ..answer(Vec::new(), 2, 90) };
    assert!(sender.answered(moved, 1_000).held.is_empty(), "record 70 of the new epoch is another one");
    assert_eq!(sender.pick(&heads, 1_000).unwrap().len(), 3);
}

#[test]
fn dead_letters_hold_nothing_up_and_a_silent_receiver_is_asked_at_longer_intervals() {
    let heads: Heads = [lane('a', 3, 10)].into();
    let mut sender = met(&heads);
    assert_eq!(sender.pick(&heads, 0).unwrap().len(), 3);
    let at = Taken::At(JournalIndex::from_u64(1));
    let results = vec![at.clone(), Taken::Dead("E-XCH-CONTENT".into(), String::new()), at];
    let done = sender.answered(answer(results, 1, 1), 0);
    assert_eq!((done.held.len(), done.dead[0].0), (2, ('a', 1)));
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        sender.failed("no answer".into(), now);
        pauses.push(sender.not_before() - now);
        assert_eq!(sender.pick(&heads, now), None);
        now = sender.not_before();
    }
    assert!(pauses.is_sorted() && pauses[0] >= 100 && *pauses.last().unwrap() == 15_000, "{pauses:?}");
    assert!(sender.pick(&heads, now).is_some());
}
