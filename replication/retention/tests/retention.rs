//! Schedules, retention and what is late, with given instants.
#![allow(clippy::unwrap_used)]

use eport_model::{Timestamp, codes};
use eport_retention::{
    Diary, Held, Made, Period, Plan, Retention, Schedule, Step, Tested, Why, expendable, keep,
};
use std::collections::BTreeSet;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// An instant of January 2026 by the clock in Shanghai. The 5th was a Monday.
fn january(day: i64, hour: i64, minute: i64) -> Timestamp {
    const FIRST: i64 = 1_767_196_800_000;
    at(FIRST + (day - 1) * DAY + hour * HOUR + minute * 60_000)
}

fn plan(schedule: &str) -> Plan {
    Plan {
        schedule: schedule.parse().unwrap(),
        full_every: "7d".parse().unwrap(),
        restore_test: Some("weekly".parse().unwrap()),
        retention: Retention { last: 2, days: 3, weeks: 2 },
    }
}

fn made(seq: u64, when: Timestamp, full: bool) -> Made {
    Made { seq, at: when, full, bytes: 1 }
}

fn passed(seq: u64, when: Timestamp) -> Tested {
    Tested { seq, at: when, fault: String::new(), judged: true, records: 1, took_ms: 1 }
}

#[test]
fn a_schedule_is_written_as_it_is_read_and_nonsense_is_refused() {
    for text in ["30s", "15m", "6h", "7d", "daily 02:30", "daily 00:00", "daily 23:59"] {
        assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
    }
    assert_eq!("weekly".parse::<Period>().unwrap().as_millis(), 7 * DAY);
    for bad in [
        "",
        "h",
        "0h",
        "-1h",
        "+1h",
        "1.5h",
        "6 h",
        "6x",
        "99999999999999999999d",
        "4000d",
        "daily 24:00",
        "daily 2:30",
        "daily 02:60",
        "daily ab:cd",
        "daily +1:30",
        "小时",
        "6時",
    ] {
        assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_daily_backup_is_due_at_its_minute_in_shanghai_and_once_a_day() {
    let schedule: Schedule = "daily 02:30".parse().unwrap();
    assert_eq!(schedule.after(january(5, 2, 29)), january(5, 2, 30));
    assert_eq!(schedule.after(january(5, 2, 30)), january(6, 2, 30));
    assert_eq!(schedule.after(january(5, 23, 0)), january(6, 2, 30));
    // Half past one in Shanghai is still the day before in UTC.
    assert_eq!(schedule.after(january(6, 1, 30)), january(6, 2, 30));
}

#[test]
fn the_first_backup_is_due_at_once_full_and_tested_and_the_next_when_its_time_has_come() {
    let (plan, mut diary, now) = (plan("6h"), Diary::default(), january(5, 12, 0));
    diary.found(&[], now);
    assert_eq!(diary.next(&plan, now), Step::Backup { full: true, test: true });
    diary.made(made(1, now, true), vec![]);
    diary.tested(passed(1, now));
    assert_eq!(diary.next(&plan, now), Step::Wait(january(5, 18, 0)));
    assert_eq!(diary.next(&plan, january(5, 17, 59)), Step::Wait(january(5, 18, 0)));
    assert_eq!(diary.next(&plan, january(5, 18, 0)), Step::Backup { full: false, test: false });
    assert_eq!(diary.next(&plan, january(12, 12, 0)), Step::Backup { full: true, test: true });
}

#[test]
fn a_clock_that_was_set_back_makes_a_backup_due_and_not_late_for_years() {
    let (plan, mut diary, now) = (plan("6h"), Diary::default(), january(5, 12, 0));
    diary.found(&[made(1, january(5 + 3_650, 0, 0), true)], now);
    diary.tested(passed(1, january(5 + 3_650, 0, 0)));
    assert_eq!(diary.next(&plan, now), Step::Backup { full: true, test: true });
    assert_eq!(diary.troubles(&plan, now), []);
    diary.failed(codes::BACKUP_TARGET, "x", january(5 + 3_650, 0, 0));
    assert!(matches!(diary.next(&plan, now), Step::Backup { .. }));
}

#[test]
fn failed_attempts_are_repeated_with_growing_pauses_and_named() {
    let (plan, mut diary, start) = (plan("6h"), Diary::default(), january(5, 12, 0));
    diary.found(&[], start);
    let mut now = start;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        diary.failed(codes::BACKUP_TARGET, "the disk is full", now);
        let Step::Wait(until) = diary.next(&plan, now) else { panic!("a pause") };
        pauses.push((until.as_millis() - now.as_millis()) / 1_000);
        now = until;
        assert!(matches!(diary.next(&plan, now), Step::Backup { .. }));
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    let troubles = diary.troubles(&plan, now);
    assert_eq!(troubles[0].code, codes::BACKUP_FAILED);
    assert!(troubles[0].text.contains("10 failed") && troubles[0].text.contains("the disk is full"));
    assert!(
        diary.troubles(&plan, at(start.as_millis() + 4 * HOUR)).iter().any(|t| t.code == codes::BACKUP_LATE)
    );
    diary.made(made(1, now, true), vec![]);
    assert_eq!(diary.troubles(&plan, now), []);
}

#[test]
fn a_backup_is_late_after_half_a_period_and_a_restore_test_too() {
    let (plan, mut diary) = (plan("6h"), Diary::default());
    diary.found(&[made(1, january(5, 0, 0), true)], january(5, 0, 0));
    diary.tested(passed(1, january(5, 0, 0)));
    assert_eq!(diary.troubles(&plan, january(5, 8, 59)), []);
    let late = diary.troubles(&plan, january(5, 9, 1));
    assert_eq!(late.iter().map(|t| t.code).collect::<Vec<_>>(), [codes::BACKUP_LATE]);
    diary.made(made(2, january(15, 13, 0), true), vec!["platform 440300 is not kept here".into()]);
    let troubles: Vec<_> = diary.troubles(&plan, january(15, 13, 0)).iter().map(|t| t.code).collect();
    assert_eq!(troubles, [codes::BACKUP_INCOMPLETE, codes::RESTORE_TEST_FAILED]);
    diary.tested(Tested { fault: "440300: the rows differ".into(), ..passed(2, january(15, 13, 1)) });
    let failed = diary.troubles(&plan, january(15, 13, 1));
    assert!(failed.iter().any(|t| t.text.contains("000002") && t.text.contains("the rows differ")));
    // A failed test is repeated with the next backup, and a chain that failed it is not continued.
    assert_eq!(diary.next(&plan, january(15, 19, 0)), Step::Backup { full: true, test: true });
    // A test for which there was no space says nothing about the chain.
    diary.tested(Tested { fault: "no space".into(), judged: false, ..passed(2, january(15, 13, 1)) });
    assert_eq!(diary.next(&plan, january(15, 19, 0)), Step::Backup { full: false, test: true });
}

fn held(list: &[(u64, bool, Timestamp)]) -> Vec<Held> {
    list.iter().map(|(seq, full, created)| Held { seq: *seq, full: *full, created: *created }).collect()
}

#[test]
fn the_newest_of_days_and_weeks_stay_with_the_chain_that_they_need() {
    // Two a day from the 1st (a Thursday) to the 13th; a full one each Monday and on the first day.
    let mut list = Vec::new();
    for day in 1..=13 {
        for (n, hour) in [3, 15].into_iter().enumerate() {
            let full = n == 0 && (day == 1 || day == 5 || day == 12);
            list.push((list.len() as u64 + 1, full, january(day, hour, 0)));
        }
    }
    let list = held(&list);
    let retention = Retention { last: 2, days: 3, weeks: 3 };
    let kept = keep(&list, retention, None);
    let because = |why: Why| kept.iter().filter(|(_, w)| **w == why).map(|(s, _)| *s).collect::<Vec<_>>();
    assert_eq!(because(Why::Last), [25, 26]);
    // The newest of the 12th and the 11th; that of the 13th is among the last ones, that of the 11th ends its week as well.
    assert_eq!(because(Why::Day), [22, 24]);
    // The week of the 1st ends with the 4th.
    assert_eq!(because(Why::Week), [8]);
    assert_eq!(kept.get(&23), Some(&Why::Needed(24)));
    // Everything from the full one of the 5th on to that of the 11th, and the first chain to its Sunday.
    assert_eq!(expendable(&list, retention, None), Vec::<u64>::new());
    // Without the week of the 1st its whole chain goes, from the oldest on.
    let two = Retention { weeks: 2, ..retention };
    assert_eq!(expendable(&list, two, None), (1..=8).collect::<Vec<_>>());
    // One week: the middle chain stays only for the 11th; that day goes too with two days.
    let one = Retention { last: 2, days: 2, weeks: 1 };
    assert_eq!(expendable(&list, one, None), (1..=22).collect::<Vec<_>>());
    // What passed a restore test stays with what it needs, and only that.
    assert_eq!(expendable(&list, one, Some(10)), (1..=8).chain(11..=22).collect::<Vec<_>>());
}

#[test]
fn whatever_the_settings_every_kept_backup_has_its_chain_and_the_newest_stays() {
    let mut seed = 7u64;
    let mut draw = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    for round in 0..2_000 {
        let mut list = Vec::new();
        let mut now = 0;
        for seq in 1..=draw(30) + 1 {
            // Also clocks that go back.
            now += draw(DAY as u64 * 3) as i64 - DAY / 4;
            list.push((seq * 2, draw(4) == 0, at(now)));
        }
        let list = held(&list);
        let retention = Retention { last: draw(4) as u32, days: draw(4) as u32, weeks: draw(4) as u32 };
        let tested = (draw(2) == 0).then(|| list[draw(list.len() as u64) as usize].seq);
        let gone: BTreeSet<u64> = expendable(&list, retention, tested).into_iter().collect();
        assert!(!gone.contains(&list.last().unwrap().seq), "round {round}");
        assert!(tested.is_none_or(|t| !gone.contains(&t)), "round {round}");
        for (n, b) in list.iter().enumerate().filter(|(_, b)| !gone.contains(&b.seq)) {
            let from = list[..=n].iter().rposition(|h| h.full).unwrap_or(0);
            for needed in &list[from..=n] {
                assert!(!gone.contains(&needed.seq), "round {round}: {} needs {}", b.seq, needed.seq);
            }
        }
    }
}

#[test]
fn nothing_goes_while_the_last_restore_test_failed() {
    let list: Vec<_> = (1..=9).map(|n| (n, true, january(5, n as i64, 0))).collect();
    let (list, mut plan, mut diary) = (held(&list), plan("1h"), Diary::default());
    plan.retention = Retention { last: 1, days: 0, weeks: 0 };
    diary.tested(passed(3, january(5, 3, 0)));
    assert_eq!(diary.expendable(&plan, &list), [1, 2, 4, 5, 6, 7, 8]);
    diary.tested(Tested { fault: "it does not open".into(), ..passed(9, january(5, 9, 0)) });
    assert_eq!(diary.expendable(&plan, &list), Vec::<u64>::new());
    diary.tested(Tested { fault: "no space".into(), judged: false, ..passed(9, january(5, 9, 0)) });
    assert_eq!(diary.expendable(&plan, &list).len(), 7);
}

#[test]
fn an_empty_target_that_held_backups_is_noticed_and_another_target_begins_anew() {
    let mut diary = Diary::default();
    diary.aim("/mnt/a");
    diary.found(&[made(1, at(0), true)], at(0));
    assert!(diary.is_bereft("/mnt/a", &[]));
    assert!(!diary.is_bereft("/mnt/a", &[made(2, at(0), true)]));
    diary.aim("/mnt/b");
    assert!(!diary.is_bereft("/mnt/b", &[]));
    assert_eq!(diary.newest, None);
}
