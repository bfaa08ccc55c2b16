//! Whatever text is given is compiled or refused without panic, and whatever is compiled ends within its bound, whatever the
//! document is.
// Tests: an unwrap is an assertion.

use crate::support;

use eport_expression::{Expression, Frame, Value};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;
use support::{Fixed, Node, body, document, environment};

/// Pieces that make well-formed expressions likely.
const PIECES: &[&str] = &[
    "gross",
    "net",
    "paid",
    "from",
    "to",
    "at",
    "direction",
    "owner.code",
    "items",
    "boxes",
    "i.qty",
    "i.no",
    "b",
    "param.tolerance",
    "param.modes",
    "body",
    "this",
    "1",
    "0.005",
    "99999999999999999999",
    "'I'",
    "''",
    "true",
    "and",
    "or",
    "not",
    "implies",
    "if",
    "then",
    "else",
    "in",
    "==",
    "<=",
    "<",
    "+",
    "-",
    "*",
    "??",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    ".",
    "sum(i in items:",
    "all(b in boxes:",
    "count(i in items:",
    "distinct(i in items:",
    "largest(i in items:",
    "present(",
    "length(",
    "round(",
    "divide(",
    "add_days(",
    "add_months(",
    "today()",
    "now()",
    "exists('hs',",
    "column('hs','unit1',",
    "index(i)",
    "number(",
    "slice(",
    "§",
    "\u{0}",
    "长",
];

fn text(rng: &mut ChaCha8Rng) -> String {
    let n = rng.random_range(1..14);
    let mut out = String::new();
    for _ in 0..n {
        out.push_str(PIECES.choose(rng).unwrap());
        out.push(' ');
    }
    let open = out.matches('(').count().saturating_sub(out.matches(')').count());
    if rng.random_bool(0.8) {
        out.push_str(&")".repeat(open));
    }
    out
}

/// An expression that is well typed by construction.
fn number(rng: &mut ChaCha8Rng, depth: u32, items: u32) -> String {
    let deeper = |rng: &mut ChaCha8Rng| number(rng, depth - 1, items);
    match if depth == 0 { rng.random_range(0..3) } else { rng.random_range(0..11) } {
        0 => "gross".into(),
        1 => format!("{}.{}", rng.random_range(0..10_000), rng.random_range(0..1_000)),
        2 => {
            if items > 0 {
                format!("i{}.qty", items - 1)
            } else {
                "net".into()
            }
        }
        3 => format!("({} + {})", deeper(rng), deeper(rng)),
        4 => format!("({} - {})", deeper(rng), deeper(rng)),
        5 => format!("({} * {})", deeper(rng), deeper(rng)),
        6 => format!("round({}, {})", deeper(rng), rng.random_range(0..9)),
        7 => format!("(divide({}, {}, 7) ?? {})", deeper(rng), deeper(rng), deeper(rng)),
        8 => format!("(if {} then {} else {})", condition(rng, depth - 1, items), deeper(rng), deeper(rng)),
        9 => format!("sum(i{items} in items: {})", number(rng, depth - 1, items + 1)),
        _ => format!("count(i{items} in items: {})", condition(rng, depth - 1, items + 1)),
    }
}

fn condition(rng: &mut ChaCha8Rng, depth: u32, items: u32) -> String {
    match if depth == 0 { 0 } else { rng.random_range(0..6) } {
        0 => format!("{} <= {}", number(rng, 0, items), number(rng, 0, items)),
        1 => format!("({} and {})", condition(rng, depth - 1, items), condition(rng, depth - 1, items)),
        2 => format!("({} implies {})", condition(rng, depth - 1, items), condition(rng, depth - 1, items)),
        3 => format!("(not {})", condition(rng, depth - 1, items)),
        4 => format!("(present(to) and to > from or {})", condition(rng, depth - 1, items)),
        _ => format!("({} == {})", number(rng, depth - 1, items), number(rng, depth - 1, items)),
    }
}

/// A document damaged somewhere.
fn damaged(rng: &mut ChaCha8Rng) -> Json {
    let mut document = document();
    let values = [
        Json::Null,
        "".into(),
        "-1".into(),
        "1e5".into(),
        7.into(),
        true.into(),
        Json::Array(vec![7.into(); 60]),
    ];
    let keys = ["gross", "net", "paid", "from", "to", "items", "boxes", "owner", "direction"];
    for _ in 0..rng.random_range(0..3) {
        let value = values.choose(rng).unwrap().clone();
        match rng.random_range(0..3) {
            0 => drop(document.as_object_mut().unwrap().remove(*keys.choose(rng).unwrap())),
            1 => document[*keys.choose(rng).unwrap()] = value,
            _ => {
                if let Some(item) = document["items"].get_mut(0).and_then(Json::as_object_mut) {
                    item.insert("qty".into(), value);
                }
            }
        }
    }
    document
}

fn runs(expression: &Expression, rng: &mut ChaCha8Rng) {
    let document = damaged(rng);
    let (found, steps) = expression.counted(&[Frame { value: Node(&document), index: 0 }], &mut Fixed);
    assert!(steps <= expression.cost(), "{}: {steps} > {}", expression.text(), expression.cost());
    if matches!(found, Ok(Value::Absent)) {
        assert!(expression.optional(), "{} came to nothing: {document}", expression.text());
    }
}

#[test]
fn arbitrary_texts_never_panic_and_what_compiles_ends_within_its_bound() {
    let (shape, env) = (body(), environment());
    let mut rng = ChaCha8Rng::seed_from_u64(20_180_420);
    let (mut compiled, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let text = text(&mut rng);
        match Expression::compile(&text, &[&shape], &env) {
            Ok(expression) => {
                compiled += 1;
                runs(&expression, &mut rng);
            }
            Err(e) => {
                refused += 1;
                assert!(e.at <= text.chars().count(), "{text}: {e}");
            }
        }
    }
    assert!(compiled > 500 && refused > 10_000, "{compiled} compiled, {refused} refused");
}

#[test]
fn well_typed_expressions_end_within_their_bound_and_come_to_a_number() {
    let (shape, env) = (body(), environment());
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut compiled, mut numbers) = (0, 0);
    for _ in 0..3_000 {
        let text = number(&mut rng, 5, 0);
        let expression = match Expression::compile(&text, &[&shape], &env) {
            Ok(expression) => expression,
            // Large ones are refused for their size or cost, never for their types.
            Err(e) => {
                assert!(["P-EXPR-SIZE", "P-EXPR-COST"].contains(&e.code.as_str()), "{text}: {e}");
                continue;
            }
        };
        compiled += 1;
        runs(&expression, &mut rng);
        let good = document();
        if let Ok(value) = expression.evaluate(&[Frame { value: Node(&good), index: 0 }], &mut Fixed) {
            assert!(matches!(value, Value::Number(_)), "{text}");
            numbers += 1;
        }
    }
    assert!(compiled > 2_000 && numbers == compiled, "{compiled} compiled, {numbers} came to a number");
}
