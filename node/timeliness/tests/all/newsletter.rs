//! newsletter-tables.md: the tables from their counts, and what was printed wrong.

use eport_timeliness::{BasePolicy, Figure, Printed, change, check_change, check_total, rank};

/// User; 2009-01, 2009-12, 2010-01, 2009-02, 2010-02; printed yoy and mom of January and of February.
type Row = (&'static str, [i64; 5], [&'static str; 4]);

const USERS: [Row; 8] = [
    ("中海", [3086, 1520, 1996, 4636, 974], ["-35.32", "31.32", "-78.99", "-51.20"]),
    ("中远", [1348, 2998, 2786, 741, 2305], ["106.68", "-7.07", "211.07", "-17.26"]),
    ("外代", [1199, 1460, 1102, 863, 936], ["-8.09", "-24.52", "8.46", "-15.06"]),
    ("中外运", [1177, 1575, 1428, 729, 1803], ["21.33", "-9.33", "147.33", "26.26"]),
    ("俊励", [572, 2241, 1991, 964, 1471], ["248.08", "-11.16", "-26.12", "-10.95"]),
    ("怡联", [85, 1205, 1207, 85, 1081], ["1320.00", "0.17", "1171.76", "-2.92"]),
    ("航商", [169, 272, 341, 91, 288], ["101.78", "25.37", "216.48", "-15.54"]),
    ("民生", [0, 26, 100, 0, 68], ["100.00", "284.62", "100.00", "-32.00"]),
];
const TOTAL: Row = ("总数", [7636, 11297, 10951, 8109, 8926], ["43.41", "-3.06", "10.08", "-18.49"]);

const TERMINALS: [(&str, i64, i64); 10] = [
    ("中外运外贸仓码头", 21945, 12707),
    ("南沙二期码头", 12355, 6838),
    ("黄埔老港码头", 8418, 6524),
    ("南海三山码头", 7277, 4189),
    ("嘉利码头", 7197, 4142),
    ("顺德北滘港", 5153, 3483),
    ("佛山新港码头", 5012, 2475),
    ("南沙一期码头", 4318, 2245),
    ("南海九江码头", 3846, 1968),
    ("集司码头", 3455, 1545),
];

fn figure(text: &str) -> Figure {
    Figure(text.replace('.', "").parse().unwrap())
}

/// Current and base of each printed percentage.
fn pairs(counts: &[i64; 5]) -> [(i64, i64); 4] {
    let [y1, december, jan, y2, feb] = *counts;
    [(jan, y1), (jan, december), (feb, y2), (feb, jan)]
}

#[test]
fn all_thirty_six_percentages_follow_from_the_counts() {
    let expected = |row: &Row| match row.0 {
        "俊励" => ["248.08", "-11.16", "52.59", "-26.12"],
        "怡联" => ["1320.00", "0.17", "1171.76", "-10.44"],
        _ => row.2,
    };
    let mut seen = 0;
    for row in USERS.iter().chain([&TOTAL]) {
        for ((now, base), text) in pairs(&row.1).into_iter().zip(expected(row)) {
            assert_eq!(change(now, Some(base), BasePolicy::Hundred), Some(figure(text)), "{}", row.0);
            // Under the other policy only what has a base of 0 differs.
            let null = change(now, Some(base), BasePolicy::Null);
            assert_eq!(null, (base != 0).then(|| figure(text)));
            seen += 1;
        }
    }
    assert_eq!(seen, 36);
    for column in 0..5 {
        assert_eq!(USERS.iter().map(|r| r.1[column]).sum::<i64>(), TOTAL.1[column]);
    }
}

#[test]
fn exactly_the_figures_printed_wrong_are_listed() {
    let places = ["2010-01 yoy", "2010-01 mom", "2010-02 yoy", "2010-02 mom"];
    let mut findings = Vec::new();
    for (name, counts, printed) in USERS.iter().chain([&TOTAL]) {
        for ((place, (current, base)), text) in places.iter().zip(pairs(counts)).zip(printed) {
            let place = format!("{name} {place}");
            let printed = Printed { place, printed: figure(text), current, base: Some(base) };
            findings.extend(check_change(&printed, BasePolicy::Hundred));
        }
    }
    findings.extend(check_total("January", 78_976, TERMINALS.iter().map(|t| t.1)));
    findings.extend(check_total("February", 46_118, TERMINALS.iter().map(|t| t.2)));
    let told: Vec<_> = findings
        .iter()
        .map(|f| (f.place.as_str(), f.printed.as_str(), f.computed.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("俊励 2010-02 yoy", "-26.12", "52.59"),
            ("俊励 2010-02 mom", "-10.95", "-26.12"),
            ("怡联 2010-02 mom", "-2.92", "-10.44"),
            ("February", "46118", "46116"),
        ]
    );
}

#[test]
fn the_ten_terminals_hold_their_shares_and_keep_their_order() {
    let rows = |february: bool| -> Vec<(String, i64)> {
        TERMINALS.iter().rev().map(|t| (t.0.to_owned(), if february { t.2 } else { t.1 })).collect()
    };
    let (january, february) = (rank(&rows(false), 10, 102_726), rank(&rows(true), 10, 59_630));
    assert_eq!(january.last().unwrap().cumulative, Some(figure("76.88")));
    assert_eq!(february.last().unwrap().cumulative, Some(figure("77.34")));
    let order = |r: &[eport_timeliness::Ranked]| r.iter().map(|r| r.code.clone()).collect::<Vec<_>>();
    assert_eq!(order(&january), order(&february));
    assert_eq!(order(&january), TERMINALS.map(|t| t.0.to_owned()));
    let mom = TERMINALS.map(|t| change(t.2, Some(t.1), BasePolicy::Hundred).unwrap().to_string());
    assert_eq!(
        mom,
        ["-42.10", "-44.65", "-22.50", "-42.44", "-42.45", "-32.41", "-50.62", "-48.01", "-48.83", "-55.28"]
    );
}

#[test]
fn mutual_recognition_and_the_gate_trial() {
    assert_eq!(change(921, Some(302), BasePolicy::Hundred), Some(figure("204.97")));
    assert_eq!(eport_timeliness::share(181, 217), Some(figure("83.41")));
    assert_eq!(eport_timeliness::share(36, 217), Some(figure("16.59")));
}

#[test]
fn ties_share_a_rank_and_stand_in_the_order_of_their_codes() {
    let rows = [("b", 5), ("a", 5), ("c", 7), ("d", 1)].map(|(c, v)| (c.to_owned(), v));
    let ranked: Vec<_> = rank(&rows, 4, 18).into_iter().map(|r| (r.rank, r.code)).collect();
    assert_eq!(ranked, [(1, "c"), (2, "a"), (2, "b"), (4, "d")].map(|(n, c)| (n, c.to_owned())));
}
