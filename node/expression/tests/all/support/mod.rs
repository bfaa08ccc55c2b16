//! A small document shape, JSON as a source, and a host with fixed tables.
// Each test binary uses a part of it.
#![allow(dead_code)]

use eport_expression::{
    Digits, Environment, Expression, Frame, Host, Kind, Member, Shape, Source, Stop, TableShape, Value,
    decimal,
};
use eport_model::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeSet;

#[derive(Clone, Copy)]
pub struct Node<'a>(pub &'a Json);

impl<'a> Source<'a> for Node<'a> {
    fn member(self, name: &str) -> Option<Self> {
        self.0.get(name).map(Node)
    }
    fn items(self) -> Option<usize> {
        self.0.as_array().map(Vec::len)
    }
    fn item(self, n: usize) -> Option<Self> {
        self.0.get(n).map(Node)
    }
    fn text(self) -> Option<&'a str> {
        self.0.as_str()
    }
    fn whole(self) -> Option<i64> {
        self.0.as_i64()
    }
    fn truth(self) -> Option<bool> {
        self.0.as_bool()
    }
}

pub struct Fixed;

impl Host for Fixed {
    fn now(&mut self) -> Timestamp {
        // 2018-01-31T22:00:00Z, the first of February in Shanghai.
        Timestamp::from_millis(1_517_436_000_000)
    }
    fn offset_minutes(&self) -> i32 {
        480
    }
    fn valid(&mut self, rule: &str, text: &str) -> bool {
        rule == "EVEN" && text.len().is_multiple_of(2)
    }
    fn row(&mut self, table: &str, keys: &[&str], column: Option<&str>) -> Result<Option<String>, Stop> {
        match (table, keys, column) {
            ("hs", ["8471300000"], Some("unit1")) => Ok(Some("001".into())),
            ("hs", ["8471300000"], Some("rate")) => Ok(Some("0.09".into())),
            ("hs", ["8471300000"], _) => Ok(Some(String::new())),
            ("pairs", ["A", "B"], None) => Ok(Some(String::new())),
            ("away", ..) => Err(Stop::Table),
            _ => Ok(None),
        }
    }
}

fn value(name: &str, always: bool, kind: Kind) -> Member {
    Member { name: name.into(), always, shape: Shape::Value(kind) }
}

pub fn item() -> Shape {
    Shape::Record(vec![
        value("no", true, Kind::Number(Digits::whole(2))),
        value("hs", true, Kind::Text { max: 10 }),
        value("qty", true, Kind::Number(Digits { whole: 14, fraction: 5 })),
        value("price", true, Kind::Number(Digits { whole: 15, fraction: 4 })),
        value("total", true, Kind::Number(Digits { whole: 15, fraction: 4 })),
        value("currency", true, Kind::Text { max: 3 }),
        value("qty2", false, Kind::Number(Digits { whole: 14, fraction: 5 })),
    ])
}

pub fn body() -> Shape {
    let list = |item: Shape, max| Shape::List { max, item: Box::new(item) };
    let owner = Shape::Record(vec![value("code", false, Kind::Text { max: 18 })]);
    Shape::Record(vec![
        value("direction", true, Kind::Text { max: 1 }),
        value("gross", true, Kind::Number(Digits { whole: 14, fraction: 5 })),
        value("net", true, Kind::Number(Digits { whole: 14, fraction: 5 })),
        value("paid", true, Kind::Bool),
        value("from", true, Kind::Date),
        value("to", false, Kind::Date),
        value("at", false, Kind::Instant),
        Member { name: "owner".into(), always: false, shape: owner },
        Member { name: "items".into(), always: true, shape: list(item(), 50) },
        Member {
            name: "boxes".into(),
            always: false,
            shape: list(Shape::Value(Kind::Text { max: 11 }), 999),
        },
    ])
}

pub fn environment() -> Environment {
    let mut env = Environment::default();
    env.numbers.insert("tolerance".into(), decimal("1.05").unwrap());
    env.sets.insert("modes".into(), ["I", "E"].into_iter().map(String::from).collect());
    env.rules.insert("EVEN".into());
    let columns: BTreeSet<String> = ["unit1", "rate"].into_iter().map(String::from).collect();
    env.tables.insert("hs".into(), TableShape { keys: 1, columns });
    env.tables.insert("pairs".into(), TableShape { keys: 2, columns: BTreeSet::new() });
    env.tables.insert("away".into(), TableShape { keys: 1, columns: BTreeSet::new() });
    env
}

pub fn document() -> Json {
    serde_json::json!({
        "direction": "I", "gross": "105000", "net": "105000.00000", "paid": true, "from": "2018-01-02",
        "items": [
            { "no": 1, "hs": "8471300000", "qty": "400", "price": "12.5000", "total": "5000.0000", "currency": "USD" },
            { "no": 2, "hs": "8516909000", "qty": "1200", "price": "1.2346", "total": "1481.5200", "currency": "USD",
              "qty2": "3" },
        ],
    })
}

pub fn compile(text: &str) -> Expression {
    Expression::compile(text, &[&body()], &environment()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub fn refused(text: &str) -> String {
    match Expression::compile(text, &[&body()], &environment()) {
        Ok(found) => panic!("{text} is {}", found.kind()),
        Err(e) => format!("{} {}", e.code, e.at),
    }
}

pub fn evaluate(text: &str, document: &Json) -> String {
    let expression = compile(text);
    let (found, steps) = expression.counted(&[Frame { value: Node(document), index: 0 }], &mut Fixed);
    assert!(steps <= expression.cost(), "{text}: {steps} steps, {} promised", expression.cost());
    match found {
        Ok(Value::Absent) => "absent".into(),
        Ok(value) => value.to_string(),
        Err(stop) => format!("{stop:?}"),
    }
}
