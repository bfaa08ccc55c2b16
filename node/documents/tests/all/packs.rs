//! What reading a pack promises: every problem with its place, nothing unbounded, nothing that contradicts itself.
// Tests: an unwrap is an assertion.

use eport_documents::pack::{compare, numbered};
use eport_documents::{Pack, Packs};

const GOOD: &str = include_str!("../../../packs/arrival_report/pack.toml");

/// A small pack in which everything can go wrong.
const SMALL: &str = r#"format = 2
name = "small"
version = "1.0.0"
title = { zh = "小", en = "Small" }
systems = ["SYS-30"]
utc_offset_minutes = 480
numbers = { limit = "1.05" }
sets = { modes = ["2", "3"] }
[codes]
required = "E-R"
unknown = "E-U"
type = "E-T"
length = "E-L"
format = "E-F"
range = "E-N"
decimal = "E-D"
instant = "E-I"
table = "E-K"
function_code = "E-C"
version = "E-V"
[[table]]
name = "units"
key = ["code"]
columns = ["name"]
[[document]]
doc_type = "small_document"
title = { zh = "小单", en = "Small document" }
number_letter = "E"
number_letter_field = "flow"
bytes_max = 1024
version_max = 9
client_ref_length_max = 36
function_codes = { first = ["9"], later = ["5"] }
groups = { a = { zh = "甲", en = "First" }, b = { zh = "乙", en = "Second" } }
field = [
  { name = "flow", zh = "向", en = "Flow", type = "an1", required = true, values = ["I", "E"] },
  { name = "gross", zh = "毛重", en = "Gross", type = "dec(19,5)", required = true, to = "a" },
  { name = "day", zh = "日", en = "Day", type = "date", required_if = "flow == 'I'" },
  { name = "lines", zh = "行", en = "Lines", type = "list", length = [0, 50], field = [
    { name = "no", zh = "号", en = "No", type = "int", range = [1, 50], required = true },
    { name = "unit", zh = "单位", en = "Unit", type = "an..3", table = "units" },
  ] },
]
[[document.rule]]
id = "R-1"
zh = "序号连续"
en = "numbers run on"
each = "lines"
check = "no == index(this)"
code = "E-NO"
at = "no"
[[document.recipient]]
agency = "CUS"
role = "lead"
full = "a"
[[document.state]]
name = "START"
zh = "起"
en = "Start"
start = true
next = ["END"]
[[document.state]]
name = "END"
zh = "止"
en = "End"
receipts = ["CUS:01"]
[[document.milestone]]
code = "X01"
state = "END"
time = "day"
subject = "flow"
[[document.cross_check]]
rule = "XC-99"
with = ["small_document"]
keys = { flow = "lines.unit" }
points = ["submit"]
[[document.ledger]]
name = "book"
entry = "reserve"
each = "lines"
account = ["flow", "unit"]
quantity = "no * gross"
commit_on = "END"
[[document.statistic]]
name = "weight"
zh = "重量"
en = "Weight"
measure = "gross"
by = ["flow"]
[[document.sharing]]
rule = "own"
subject = "declarant"
relation = "party"
classes = "BC"
actions = ["read"]
purposes = ["OWN"]
masks = { gross = "suppress" }
basis = "sharing §3"
"#;

fn problems(text: &str) -> Vec<String> {
    match Pack::parse_file("p.toml", text) {
        Ok(_) => panic!("it is accepted"),
        Err(e) => e.problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.code.as_str())).collect(),
    }
}

#[test]
fn a_good_pack_is_read() {
    for text in [GOOD, SMALL] {
        if let Err(e) = Pack::parse(text) {
            panic!("{:#?}", e.problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
    assert!(Packs::new([Pack::parse(SMALL).unwrap()]).is_ok());
}

#[test]
fn a_pack_that_contradicts_itself_is_refused_with_line_column_and_code() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        ("format = 2", "format = 3", "1:10 P-FORMAT"),
        ("format = 2", "format = ", "1:10 P-SHAPE"),
        ("version = \"1.0.0\"", "version = \"1.0\"", "3:11 P-NAME"),
        ("systems = [\"SYS-30\"]", "systems = [\"30\"]", "5:12 P-NAME"),
        ("utc_offset_minutes = 480", "utc_offset_minutes = 4800", "6:22 P-FIELD"),
        ("limit = \"1.05\"", "limit = \"1,05\"", "7:21 P-SHAPE"),
        ("limit = \"1.05\"", "limit = 1.05", "7:21 P-SHAPE"),
        ("modes = [\"2\", \"3\"]", "modes = []", "8:18 P-SIZE"),
        ("required = \"E-R\"", "required = \"E-R\"\ncolour = \"red\"", "11:1 P-SHAPE"),
        ("doc_type = \"small_document\"", "doc_type = \"Small\"", "26:12 P-NAME"),
        ("number_letter = \"E\"", "number_letter = \"e\"", "28:17 P-FIELD"),
        ("number_letter_field = \"flow\"", "number_letter_field = \"day\"", "29:23 P-REFERENCE"),
        ("bytes_max = 1024", "bytes_max = 99999999", "30:13 P-SIZE"),
        ("type = \"an1\"", "type = \"an0\"", "36:50 P-FIELD"),
        ("name = \"gross\"", "name = \"flow\"", "37:3 P-NAME"),
        ("name = \"gross\"", "name = \"and\"", "37:3 P-NAME"),
        ("to = \"a\"", "to = \"ax\"", "37:88 P-REFERENCE"),
        ("range = [1, 50]", "range = [9, 1]", "40:5 P-FIELD"),
        ("range = [1, 50], ", "", "40:5 P-FIELD"),
        ("type = \"date\"", "type = \"date\", positive = true", "38:3 P-FIELD"),
        ("length = [0, 50]", "length = [0, 5000000]", "39:3 P-FIELD"),
        ("type = \"date\"", "type = \"date\", rule = \"ID-99\"", "38:63 P-SHAPE"),
        ("flow == 'I'", "flow == I", "38:79 P-EXPR-SYNTAX"),
        ("flow == 'I'", "flaw == 'I'", "38:71 P-EXPR-NAME"),
        ("flow == 'I'", "flow", "38:71 P-EXPR-TYPE"),
        ("each = \"lines\"", "each = \"flow\"", "48:8 P-RULE"),
        ("each = \"lines\"", "each = \"colour\"", "48:8 P-REFERENCE"),
        ("check = \"no == index(this)\"", "check = \"no == index(this) and\"", "49:31 P-EXPR-SYNTAX"),
        ("check = \"no == index(this)\"", "check = \"unit == 'x'\"", "49:10 P-EXPR-ABSENT"),
        ("code = \"E-NO\"", "code = \"NO\"", "44:1 P-RULE"),
        ("at = \"no\"", "at = \"number\"", "51:6 P-REFERENCE"),
        ("agency = \"CUS\"", "agency = \"customs\"", "52:1 P-RECIPIENT"),
        ("full = \"a\"", "", "52:1 P-RECIPIENT"),
        ("full = \"a\"", "full = \"z\"", "52:1 P-REFERENCE"),
        ("start = true", "", "56:1 P-STATE"),
        ("next = [\"END\"]", "next = [\"FINISH\"]", "56:1 P-REFERENCE"),
        ("receipts = [\"CUS:01\"]", "receipts = [\"MSA:01\"]", "62:1 P-REFERENCE"),
        ("receipts = [\"CUS:01\"]", "receipts = [\"CUS:01\", \"CUS:01\"]", "62:1 P-STATE"),
        ("receipts = [\"CUS:01\"]", "next = [\"START\"]", "56:1 P-STATE"),
        ("state = \"END\"", "state = \"OVER\"", "67:1 P-REFERENCE"),
        ("time = \"day\"", "time = \"gross\"", "67:1 P-REFERENCE"),
        ("keys = { flow", "keys = { flaw", "72:1 P-REFERENCE"),
        ("quantity = \"no * gross\"", "quantity = \"unit\"", "82:12 P-RULE"),
        ("commit_on = \"END\"", "", "77:1 P-RULE"),
        ("measure = \"gross\"", "measure = \"flow\"", "88:11 P-RULE"),
        ("classes = \"BC\"", "classes = \"K\"", "94:11 P-RULE"),
        ("masks = { gross", "masks = { grass", "90:1 P-REFERENCE"),
        ("masks = { gross = \"suppress\"", "masks = { gross = \"blur\"", "97:19 P-SHAPE"),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let found = problems(&SMALL.replacen(from, to, 1));
        if !found.contains(&expected.to_owned()) {
            wrong.push(format!("{from} -> {to}: {found:?}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = SMALL
        .replacen("version = \"1.0.0\"", "version = \"one\"", 1)
        .replacen("flow == 'I'", "flaw == 'I'", 1)
        .replacen("code = \"E-NO\"", "code = \"NO\"", 1);
    assert_eq!(problems(&text), ["3:11 P-NAME", "38:71 P-EXPR-NAME", "44:1 P-RULE"]);
}

#[test]
fn two_packs_do_not_define_one_type_and_keys_of_comparisons_name_fields_of_the_other() {
    let twice = Packs::new([Pack::parse(SMALL).unwrap(), Pack::parse(SMALL).unwrap()]).unwrap_err();
    assert_eq!(twice.problems[0].code.as_str(), "P-TWICE");
    let text = SMALL.replacen("keys = { flow = \"lines.unit\" }", "keys = { flow = \"lines.colour\" }", 1);
    let unmatched = Packs::new([Pack::parse(&text).unwrap()]).unwrap_err();
    assert_eq!(
        unmatched.problems[0].to_string(),
        "small/pack.toml:72:1: P-REFERENCE: small_document has no field \"lines.colour\""
    );
}

#[test]
fn what_the_expressions_of_a_document_cost_together_is_bounded() {
    let costly = "all(l in lines: all(m in lines: all(n in lines: l.no + m.no > n.no - 1)))";
    let dear = SMALL.replacen("no == index(this)", costly, 1);
    assert_eq!(problems(&dear), ["49:10 P-EXPR-COST"]);
    let costly = "all(l in lines: all(m in lines: l.no + m.no + no > 0 and l.no * m.no > 0))";
    assert_eq!(
        problems(&SMALL.replacen("no == index(this)", costly, 1)),
        ["49:9 P-SIZE"],
        "fifty times over"
    );
}

#[test]
fn cut_or_changed_packs_never_panic() {
    // Every place of the file in turn would take half a minute; a step that shares no factor with its lines meets every kind.
    for at in (0..SMALL.len()).step_by(7).filter(|n| SMALL.is_char_boundary(*n)) {
        let _ = Pack::parse(&SMALL[..at]);
        for with in ["\"", "[", "'", "长"] {
            let mut changed = SMALL.to_owned();
            changed.insert_str(at, with);
            let _ = Pack::parse(&changed);
        }
    }
    assert!(Pack::parse(&"#".repeat(2 << 20)).is_err());
}

/// What differs when a part of the small pack is another one, and what of it may refuse what was right.
fn differences(from: &str, to: &str) -> Vec<(String, bool)> {
    assert!(SMALL.contains(from), "{from}");
    let (before, after) = (Pack::parse(SMALL).unwrap(), Pack::parse(&SMALL.replacen(from, to, 1)).unwrap());
    compare(&before, &after).into_iter().map(|d| (d.path, d.breaking)).collect()
}

#[test]
fn two_versions_differ_in_what_was_changed_and_it_is_said_what_may_refuse_documents_that_were_right() {
    let field = "documents/small_document/fields";
    for (from, to, path, breaking) in [
        ("zh = \"毛重\"", "zh = \"总重\"", format!("{field}/gross/title/zh"), false),
        ("type = \"an..3\"", "type = \"an..5\"", format!("{field}/lines.unit/type"), false),
        ("type = \"an..3\"", "type = \"an..2\"", format!("{field}/lines.unit/type"), true),
        ("values = [\"I\", \"E\"]", "values = [\"I\", \"E\", \"T\"]", format!("{field}/flow/values"), false),
        ("values = [\"I\", \"E\"]", "values = [\"I\"]", format!("{field}/flow/values"), true),
        ("length = [0, 50]", "length = [0, 20]", format!("{field}/lines/length"), true),
        ("length = [0, 50]", "length = [0, 99]", format!("{field}/lines/length"), false),
        ("required_if = \"flow == 'I'\"", "required = true", format!("{field}/day/required"), true),
        ("required_if = \"flow == 'I'\"", "required = false", format!("{field}/day/required"), false),
        (
            "each = \"lines\"\naccount",
            "each = \"lines\"\nunit = \"unit\"\naccount",
            "documents/small_document/ledgers/book.reserve/unit".into(),
            false,
        ),
        ("code = \"E-NO\"", "code = \"W-NO\"", "documents/small_document/rules/R-1/code".into(), true),
        ("limit = \"1.05\"", "limit = \"1.03\"", "numbers/limit".into(), true),
    ] {
        assert_eq!(differences(from, to), [(path, breaking)], "{from} -> {to}");
    }
    assert_eq!(differences("version = \"1.0.0\"", "version = \"1.0.1\""), []);
}

#[test]
fn a_version_number_says_whether_what_was_right_may_be_refused() {
    let read = |version: &str, from: &str, to: &str| {
        let text = SMALL.replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1);
        Pack::parse(&text.replacen(from, to, 1)).unwrap()
    };
    let old = Pack::parse(SMALL).unwrap();
    let (wider, narrower) = (("an..3\"", "an..4\""), ("an..3\"", "an..2\""));
    assert!(numbered(&old, &read("1.0.0", "", "")).is_ok(), "the same again");
    assert!(numbered(&old, &read("1.0.0", wider.0, wider.1)).is_err(), "a version is not used twice");
    assert!(numbered(&old, &read("1.1.0", wider.0, wider.1)).is_ok());
    assert!(numbered(&old, &read("1.1.0", narrower.0, narrower.1)).unwrap_err().contains("lines.unit/type"));
    assert!(numbered(&old, &read("2.0.0", narrower.0, narrower.1)).is_ok());
    assert!(numbered(&old, &read("0.9.0", wider.0, wider.1)).is_err(), "versions rise");
}

#[test]
fn a_document_type_tells_which_codes_of_a_table_it_names_itself() {
    let packs = Packs::builtin().unwrap();
    let declaration = packs.types().find(|t| &*t.doc_type == "goods_declaration").unwrap();
    let of = |table: &str| declaration.codes_of(&|name| name == table);
    // A set that a condition on a field of that table names, and nothing from conditions on other fields.
    let modes = of("trade_modes");
    let wanted =
        |c: &eport_documents::pack::NamedCode| c.code == "0110" && c.place == "required_if duty_nature";
    assert!(modes.iter().any(wanted), "{modes:?}");
    assert!(modes.iter().all(|c| c.code != "ADVANCE" && c.code != "I"), "{modes:?}");
    // The same text beside a field of another table says nothing of this one.
    assert!(of("currencies").iter().all(|c| c.code != "0110") && of("no_such_table").is_empty());
}
