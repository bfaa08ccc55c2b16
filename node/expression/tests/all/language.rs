//! The language as its reference says it.
// Tests: an unwrap is an assertion.

use crate::support;

use eport_expression::{Clock, Expression, Frame};
use support::{Fixed, Node, body, compile, document, environment, evaluate, item, refused};

#[test]
fn every_form_comes_to_what_the_reference_says() {
    let document = document();
    for (text, expected) in [
        ("1 + 2 * 3 - 4", "3"),
        ("(1 + 2) * -3", "-9"),
        ("net <= gross", "true"),
        ("gross != 105000.0", "false"),
        ("direction == 'I' and not (gross < 1)", "true"),
        ("direction in ['E', 'X'] or paid", "true"),
        ("direction in param.modes", "true"),
        ("gross in [1, 105000]", "true"),
        ("false implies paid", "true"),
        ("true implies not paid", "false"),
        ("if direction == 'I' then 'in' else 'out'", "in"),
        ("'it''s'", "it's"),
        ("net * param.tolerance", "110250.0000000"),
        ("present(to)", "false"),
        ("to ?? from", "2018-01-02"),
        ("present(owner.code) and owner.code == 'x'", "false"),
        ("owner.code ?? 'none'", "none"),
        ("sum(i in items: i.total)", "6481.5200"),
        ("all(i in items: i.currency == 'USD')", "true"),
        ("any(i in items: i.qty > 1000)", "true"),
        ("count(i in items: i.qty > 1000)", "1"),
        ("distinct(i in items: i.currency)", "1"),
        ("distinct(i in items: i.qty * 0 + 1.10)", "1"),
        ("smallest(i in items: i.qty) ?? 0", "400"),
        ("largest(i in items: i.price) ?? 0", "12.5000"),
        ("largest(b in boxes: 1) ?? 7", "7"),
        ("all(i in items: i.no == index(i))", "true"),
        ("length(items) + length(boxes)", "2"),
        ("all(b in boxes: length(b) == 11)", "true"),
        ("sum(i in items: count(j in items: j.no <= i.no))", "3"),
        ("all(i in items: abs(i.total - i.price * i.qty) <= 0.00005 * i.qty + 0.005)", "true"),
        ("round(-2.345, 2)", "-2.35"),
        ("divide(2, 3, 5) ?? 0", "0.66667"),
        ("divide(2, gross - net, 5) ?? -1", "-1"),
        ("least(3, 2) + greatest(3, 2)", "5"),
        ("left('6701', 2)", "67"),
        ("slice('集装箱号码', 2, 2)", "装箱"),
        ("slice('ab', 9, 2)", ""),
        ("length('集装箱')", "3"),
        ("concat('a', concat('', '集'))", "a集"),
        ("starts_with('5101', '51') and is_digits('5101') and not is_digits('')", "true"),
        ("number('18350.5') ?? 0", "18350.5"),
        ("number('1e9') ?? 0", "0"),
        ("number('123456789012345678901') ?? 0", "0"),
        ("today()", "2018-02-01"),
        ("add_days(from, 15) < today()", "true"),
        ("add_months(from, 6)", "2018-07-02"),
        ("days_between(from, today())", "30"),
        ("year(from)", "2018"),
        ("date('2018-04-20') > from", "true"),
        ("date_of(now()) == today()", "true"),
        ("minutes_between(now(), add_minutes(now(), 90))", "90"),
        ("exists('hs', '8471300000') and not exists('hs', 'x')", "true"),
        ("exists('pairs', 'A', 'B')", "true"),
        ("column('hs', 'unit1', '8471300000') ?? '-'", "001"),
        ("column('hs', 'unit1', 'x') ?? '-'", "-"),
        ("number(column('hs', 'rate', '8471300000') ?? '0') ?? 0", "0.09"),
        ("valid('EVEN', 'ab')", "true"),
        ("length(this.items) == length(body.items)", "true"),
    ] {
        assert_eq!(evaluate(text, &document), expected, "{text}");
    }
}

#[test]
fn decimals_are_exact_where_fixed_sizes_and_floats_are_not() {
    let mut document = document();
    document["items"][0]["qty"] = "12345678901234.56789".into();
    document["items"][0]["price"] = "123456789012345.6789".into();
    assert_eq!(
        evaluate("smallest(i in items: 0 - i.qty * i.price) ?? 0", &document),
        format!("-{}", exact())
    );
    assert_eq!(evaluate("0.1 + 0.2 == 0.3", &document), "true");
    assert_eq!(evaluate("105 <= 100 * 1.05 and not (105.00001 <= 100 * 1.05)", &document), "true");
}

/// 12345678901234.56789 × 123456789012345.6789 by integers: 1234567890123456789 × 1234567890123456789 with 9 digits behind.
fn exact() -> String {
    let product = 1_234_567_890_123_456_789u128 * 1_234_567_890_123_456_789;
    let text = product.to_string();
    format!("{}.{}", &text[..text.len() - 9], &text[text.len() - 9..])
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_and_code() {
    for (text, expected) in [
        ("", "P-EXPR-SYNTAX 0"),
        ("1 +", "P-EXPR-SYNTAX 3"),
        ("1 2", "P-EXPR-SYNTAX 2"),
        ("(1", "P-EXPR-SYNTAX 2"),
        ("'open", "P-EXPR-SYNTAX 0"),
        ("gross § net", "P-EXPR-SYNTAX 6"),
        ("1 < 2 < 3", "P-EXPR-SYNTAX 6"),
        ("if paid then 1", "P-EXPR-SYNTAX 14"),
        ("and", "P-EXPR-SYNTAX 0"),
        ("gros <= net", "P-EXPR-NAME 0"),
        ("paid and owner.name == 'x'", "P-EXPR-NAME 9"),
        ("param.nothing", "P-EXPR-NAME 0"),
        ("direction in param.nothing", "P-EXPR-NAME 13"),
        ("sine(1)", "P-EXPR-NAME 0"),
        ("exists('nowhere', 'x')", "P-EXPR-NAME 7"),
        ("column('hs', 'colour', 'x') ?? ''", "P-EXPR-NAME 13"),
        ("valid('ODD', 'x')", "P-EXPR-NAME 6"),
        ("all(i in items: any(i in items: true))", "P-EXPR-NAME 16"),
        ("index(gross) == 1", "P-EXPR-NAME 0"),
        ("gross + 'x'", "P-EXPR-TYPE 8"),
        ("gross and paid", "P-EXPR-TYPE 0"),
        ("direction < 'J'", "P-EXPR-TYPE 0"),
        ("gross == 'x'", "P-EXPR-TYPE 9"),
        ("if paid then 1 else 'x'", "P-EXPR-TYPE 20"),
        ("items", "P-EXPR-TYPE 0"),
        ("owner == 'x'", "P-EXPR-TYPE 0"),
        ("sum(i in items: i.hs)", "P-EXPR-TYPE 16"),
        ("sum(i in gross: 1)", "P-EXPR-TYPE 9"),
        ("exists('pairs', 'A')", "P-EXPR-TYPE 0"),
        ("round(gross, net)", "P-EXPR-TYPE 0"),
        ("add_days(from, 1.5)", "P-EXPR-TYPE 0"),
        ("date('2018-02-30') == from", "P-EXPR-TYPE 5"),
        ("direction in [1]", "P-EXPR-TYPE 14"),
        ("paid in ['a']", "P-EXPR-TYPE 0"),
        ("to > from", "P-EXPR-ABSENT 0"),
        ("present(to) or to > from", "P-EXPR-ABSENT 15"),
        ("sum(i in items: i.qty2)", "P-EXPR-ABSENT 16"),
        ("divide(1, gross, 2) > 0", "P-EXPR-ABSENT 0"),
        ("all(i in items: all(j in items: all(k in items: all(l in items: i.no == l.no))))", "P-EXPR-COST 0"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    let product = ["gross"; 12].join(" * ");
    assert!(refused(&product).starts_with("P-EXPR-SIZE"), "digits are bounded");
    assert!(refused(&"(".repeat(5000)).starts_with("P-EXPR-SIZE"));
    assert!(refused(&"(".repeat(4000)).starts_with("P-EXPR-SIZE"));
    assert!(refused(&"not ".repeat(1000)).starts_with("P-EXPR-SIZE"));
    assert!(refused(&"-".repeat(4000)).starts_with("P-EXPR-SIZE"));
    assert!(refused(&vec!["1"; 1500].join("+")).starts_with("P-EXPR-SIZE"), "parts are bounded");
}

#[test]
fn a_field_that_may_be_absent_is_used_once_the_expression_has_made_sure_of_it() {
    let document = document();
    for (text, expected) in [
        ("present(to) and to > from", "false"),
        ("not present(to) or to > from", "true"),
        ("present(to) implies to > from", "true"),
        ("if present(to) then to else from", "2018-01-02"),
        ("if not present(to) then from else to", "2018-01-02"),
        ("all(i in items: present(i.qty2) implies i.qty2 == 3)", "true"),
        ("not (not present(to) or not paid) and to > from", "false"),
    ] {
        assert_eq!(evaluate(text, &document), expected, "{text}");
    }
}

#[test]
fn names_begin_in_the_innermost_record_and_positions_are_known() {
    let (outer, inner) = (body(), item());
    let text = "no == index(this) and net <= gross and body.direction == 'I' and qty > 0";
    let expression = Expression::condition(text, &[&outer, &inner], &environment()).unwrap();
    let document = document();
    let frames =
        [Frame { value: Node(&document), index: 0 }, Frame { value: Node(&document["items"][1]), index: 1 }];
    assert_eq!(expression.holds(&frames, &mut Fixed), Ok(true));
    let wrong = [frames[0], Frame { index: 0, ..frames[1] }];
    assert_eq!(expression.holds(&wrong, &mut Fixed), Ok(false));
}

#[test]
fn a_value_that_is_missing_or_of_another_type_stops_the_expression_and_is_never_taken_for_something() {
    let mut document = document();
    document["gross"] = "1e9".into();
    assert_eq!(evaluate("net <= gross", &document), "Unknown");
    document["gross"] = serde_json::json!(["105000"]);
    assert_eq!(evaluate("net <= gross", &document), "Unknown");
    document["gross"] = "123456789012345.5".into();
    assert_eq!(evaluate("net <= gross", &document), "Unknown", "more digits than the field has");
    document.as_object_mut().unwrap().remove("gross");
    assert_eq!(evaluate("net <= gross", &document), "Unknown");
    assert_eq!(evaluate("not paid and net <= gross", &document), "false", "what decides before is enough");
    document["boxes"] = vec!["CSQU3054383"; 1000].into();
    assert_eq!(evaluate("all(b in boxes: true)", &document), "Unknown", "a list beyond its length");
    assert_eq!(evaluate("exists('away', 'x')", &document), "Table");
}

#[test]
fn an_expression_says_what_it_depends_on() {
    assert_eq!(compile("net <= gross").clock(), Clock::Never);
    assert_eq!(compile("from <= today()").clock(), Clock::Day);
    assert_eq!(compile("today() == from and now() == now()").clock(), Clock::Instant);
    let tables: Vec<String> =
        compile("exists('hs', direction) and exists('pairs', direction, direction) and exists('hs', 'x')")
            .tables()
            .map(String::from)
            .collect();
    assert_eq!(tables, ["hs", "pairs"]);
}
