//! The access log as evidence: what was changed, taken out or cut is found and named.

use eport_access::{
    Coalescer, Event, Head, LINE_LEN_MAX, Line, Log, Problem, SegmentName, Verifier, recover,
};

fn denied(subject: &str) -> Line {
    Line {
        subject: subject.into(),
        code: "EP6002".into(),
        request: "GET /v1/audit".into(),
        ..Line::of(Event::Denied)
    }
}

/// Two segments of five lines each with the head after each line.
fn written() -> (Vec<(SegmentName, String)>, Vec<Head>) {
    let mut log = Log::new("gz-a-1", Head::default());
    let (mut segments, mut heads) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let name = SegmentName(log.head().seq + 1);
        let mut text = log.header();
        for n in 0..5 {
            text += &log.append(denied(&format!("operator/{n}")));
            heads.push(log.head());
        }
        segments.push((name, text));
    }
    (segments, heads)
}

fn verify(segments: &[(SegmentName, String)], anchors: &[Head]) -> eport_access::Verified {
    let mut v = Verifier::new(anchors.iter().copied());
    for (name, text) in segments {
        v.segment(*name, text.as_bytes(), |_| {});
    }
    v.finish()
}

#[test]
fn a_whole_log_is_proven_to_its_published_head() {
    let (segments, heads) = written();
    let found = verify(&segments, &heads[9..]);
    assert!(found.ok() && found.end_proven(), "{found:?}");
    assert_eq!((found.first, found.last, found.lines), (1, 10, 10));
    let found = verify(&segments, &heads[6..7]);
    assert!(found.ok() && !found.end_proven() && found.proven == 7, "{found:?}");
    assert!(!verify(&segments, &[]).end_proven(), "without a published head the end is not proven");
    // What retention took away at the beginning is no fault.
    let found = verify(&segments[1..], &heads[9..]);
    assert!(found.end_proven() && found.first == 6, "{found:?}");
}

#[test]
fn every_flipped_bit_of_a_line_is_found() {
    let (segments, heads) = written();
    for at in 0..segments[0].1.len() {
        let mut bytes = segments[0].1.clone().into_bytes();
        bytes[at] ^= 1;
        let mut v = Verifier::new(heads[9..].iter().copied());
        v.segment(segments[0].0, &bytes, |_| {});
        v.segment(segments[1].0, segments[1].1.as_bytes(), |_| {});
        let found = v.finish();
        // The node's name in the header is for people; the file says which node it is of.
        let name = 19..25;
        assert!(!found.ok() || name.contains(&at), "byte {at}: {found:?}");
    }
}

#[test]
fn a_cut_end_is_found_against_the_published_head_wherever_it_is_cut() {
    let (segments, heads) = written();
    for len in 0..segments[1].1.len() {
        let cut = [segments[0].clone(), (segments[1].0, segments[1].1[..len].to_owned())];
        let found = verify(&cut, &heads[9..]);
        assert!(!found.ok(), "cut at {len}");
        assert!(!found.end_proven());
    }
    let found = verify(&segments[..1], &heads[9..]);
    assert_eq!(found.problems, [Problem::Cut { last: 5, anchor: 10 }]);
}

#[test]
fn a_line_taken_out_or_a_missing_segment_is_named() {
    let (mut segments, heads) = written();
    let lines: Vec<&str> = segments[0].1.split_inclusive('\n').collect();
    segments[0].1 = [&lines[..2], &lines[3..]].concat().concat();
    let found = verify(&segments, &heads[9..]);
    assert_eq!(found.problems[0], Problem::Line { seq: 2 });
    // Somebody wrote the whole log anew: it hangs together, but it is not the published one.
    let mut log = Log::new("gz-a-1", Head::default());
    let mut text = log.header();
    (0..10).for_each(|_| text += &log.append(denied("operator/nobody")));
    let found = verify(&[(SegmentName(1), text)], &heads[9..]);
    assert_eq!(found.problems, [Problem::Anchor { seq: 10 }]);
}

#[test]
fn after_a_crash_a_cut_line_goes_and_a_changed_one_does_not() {
    let (segments, heads) = written();
    let (name, text) = &segments[1];
    let whole = recover(*name, text.as_bytes()).unwrap();
    assert_eq!((whole.head, whole.len), (heads[9], text.len() as u64));
    let torn = &text[..text.len() - 3];
    let found = recover(*name, torn.as_bytes()).unwrap();
    assert_eq!(found.head, heads[8]);
    assert!(text[..found.len as usize].ends_with('\n'));
    assert!(recover(*name, text.replace("operator/1", "operator/9").as_bytes()).is_err());
    for nonsense in ["", "\n", "eport-access-log 1 a 7 zz\n", "\u{fffd}\n\n"] {
        assert!(recover(*name, nonsense.as_bytes()).is_err(), "{nonsense:?}");
    }
}

#[test]
fn a_line_from_outside_stays_one_line_of_bounded_length() {
    let mut log = Log::new("gz-a-1", Head::default());
    let header = log.header();
    let evil =
        Line { request: "GET /\n\"\u{1F4A5}".repeat(10_000), subject: "é".repeat(5_000), ..denied("x") };
    let line = log.append(evil);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.len() <= LINE_LEN_MAX, "{}", line.len());
    assert!(verify(&[(SegmentName(1), header + &line)], &[log.head()]).end_proven());
}

#[test]
fn a_flood_of_denials_takes_few_lines_and_says_how_many_there_were() {
    let mut c = Coalescer::default();
    assert!(c.note(denied("a"), 0).is_some());
    for n in 1..1_000 {
        assert!(c.note(denied("a"), n).is_none());
    }
    assert!(c.note(denied("b"), 5).is_some(), "another's denial is a line of its own");
    assert!(c.due(9_999).is_empty());
    let lines = c.due(10_000);
    assert_eq!(lines.iter().map(|l| (l.subject.as_str(), l.times)).collect::<Vec<_>>(), [("a", 999)]);
    assert!(c.note(denied("a"), 10_001).is_some(), "and then the first is written at once again");
    // As many different ones as anybody likes: bounded, and none is lost from the count.
    let mut c = Coalescer::default();
    let (mut written, all) = (0, 5_000u64);
    for n in 0..all {
        written += u64::from(c.note(denied(&format!("s{n}")), 0).is_some());
    }
    assert!(written <= 1_025, "{written}");
    assert_eq!(written + c.drain().iter().map(|l| l.times).sum::<u64>(), all);
}
