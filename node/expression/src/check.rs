//! From the parsed form to the checked one: names, types, what may be absent, digits.

use crate::ast::{Ast, AstKind, Binary, Fold};
use crate::functions::{COLUMN_LEN_MAX, Function, result};
use crate::names::{Facts, Found, Names, Scope};
use crate::number::digits_of;
use crate::steps::{Arithmetic, Op, Relation, Set};
use crate::value::parse_date;
use crate::{
    Clock, DIGITS_MAX, Digits, Environment, ErrorCode, ExpressionError, Kind, Shape, Value, decimal,
};

pub(crate) struct Checked {
    pub(crate) op: Op,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    pub(crate) clock: Clock,
    pub(crate) tables: Vec<Box<str>>,
}

pub(crate) fn check(ast: &Ast, scopes: &[&Shape], env: &Environment) -> Result<Checked, ExpressionError> {
    let scopes = scopes.iter().map(|shape| Scope { var: None, shape }).collect();
    let mut checker = Checker { names: Names { scopes }, env, clock: Clock::Never, tables: Vec::new() };
    let typed = checker.check(ast, &Facts::new())?;
    Ok(Checked {
        op: typed.op,
        kind: typed.kind,
        optional: typed.optional,
        clock: checker.clock,
        tables: checker.tables,
    })
}

struct Typed {
    op: Op,
    kind: Kind,
    optional: bool,
}

type Outcome = Result<Typed, ExpressionError>;

struct Checker<'e> {
    names: Names<'e>,
    env: &'e Environment,
    clock: Clock,
    tables: Vec<Box<str>>,
}

fn fault(ast: &Ast, code: ErrorCode, detail: impl Into<String>) -> ExpressionError {
    ExpressionError::new(ast.at, code, detail)
}

fn wrong(ast: &Ast, needed: &str, found: Kind) -> ExpressionError {
    fault(ast, ErrorCode::Type, format!("{needed} is needed, this is {found}"))
}

fn solid(op: Op, kind: Kind) -> Outcome {
    Ok(Typed { op, kind, optional: false })
}

impl Checker<'_> {
    fn check(&mut self, ast: &Ast, facts: &Facts) -> Outcome {
        match &ast.kind {
            AstKind::Number(text) => number(ast, text),
            AstKind::Text(text) => {
                let max = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                solid(Op::Constant(Value::Text(text.clone().into())), Kind::Text { max })
            }
            AstKind::Bool(b) => solid(Op::Constant(Value::Bool(*b)), Kind::Bool),
            AstKind::Path(path) => self.path(ast, path, facts),
            AstKind::Call(name, arguments) => self.call(ast, name, arguments, facts),
            AstKind::Fold { fold, var, over, body } => self.fold(ast, *fold, var, over, body, facts),
            AstKind::Not(inner) => {
                let inner = self.condition(inner, facts)?;
                solid(Op::Not(Box::new(inner)), Kind::Bool)
            }
            AstKind::Negative(inner) => {
                let (op, digits) = self.number(inner, facts)?;
                solid(Op::Negative(Box::new(op)), Kind::Number(digits))
            }
            AstKind::Binary(operator, a, b) => self.binary(ast, *operator, a, b, facts),
            AstKind::If(condition, yes, no) => self.choice(condition, yes, no, facts),
            AstKind::In(what, set) => self.membership(what, set, facts),
            AstKind::List(_) => Err(fault(ast, ErrorCode::Type, "a list stands only behind \"in\"")),
        }
    }

    /// A value that is certainly there.
    fn there(&mut self, ast: &Ast, facts: &Facts) -> Outcome {
        let typed = self.check(ast, facts)?;
        if typed.optional {
            return Err(fault(
                ast,
                ErrorCode::Absent,
                "it may be absent: ask present(…) before, or give a default with ??",
            ));
        }
        Ok(typed)
    }

    fn condition(&mut self, ast: &Ast, facts: &Facts) -> Result<Op, ExpressionError> {
        let typed = self.there(ast, facts)?;
        if typed.kind == Kind::Bool { Ok(typed.op) } else { Err(wrong(ast, "true or false", typed.kind)) }
    }

    fn number(&mut self, ast: &Ast, facts: &Facts) -> Result<(Op, Digits), ExpressionError> {
        let typed = self.there(ast, facts)?;
        match typed.kind {
            Kind::Number(digits) => Ok((typed.op, digits)),
            other => Err(wrong(ast, "a number", other)),
        }
    }

    fn path(&mut self, ast: &Ast, path: &[String], facts: &Facts) -> Outcome {
        if let [first, name] = path
            && first == "param"
        {
            let Some(value) = self.env.numbers.get(name) else {
                return Err(fault(ast, ErrorCode::Name, format!("no number of the pack is named {name:?}")));
            };
            return solid(Op::Constant(Value::Number(value.clone())), Kind::Number(digits_of(value)));
        }
        let Found { place, shape, optional } = self.names.find(ast.at, path, facts)?;
        match shape {
            Shape::Value(kind) => Ok(Typed { op: Op::Read(place, *kind), kind: *kind, optional }),
            Shape::List { .. } => {
                Err(fault(ast, ErrorCode::Type, "a list is used only in folds and length(…)"))
            }
            Shape::Record(_) => {
                Err(fault(ast, ErrorCode::Type, "a record is no value: name one of its fields"))
            }
        }
    }

    fn binary(&mut self, ast: &Ast, operator: Binary, a: &Ast, b: &Ast, facts: &Facts) -> Outcome {
        match operator {
            Binary::And | Binary::Or | Binary::Implies => {
                let left = Box::new(self.condition(a, facts)?);
                let mut known = facts.clone();
                // The right side is looked at only when the left one has not decided.
                self.names.learn(a, operator != Binary::Or, &mut known);
                let right = Box::new(self.condition(b, &known)?);
                let op = match operator {
                    Binary::And => Op::And(left, right),
                    Binary::Or => Op::Or(left, right),
                    _ => Op::Implies(left, right),
                };
                solid(op, Kind::Bool)
            }
            Binary::Otherwise => {
                let (first, second) = (self.check(a, facts)?, self.check(b, facts)?);
                let kind = united(first.kind, second.kind)
                    .ok_or_else(|| wrong(b, &format!("{} as before", first.kind), second.kind))?;
                let op = Op::Otherwise(Box::new(first.op), Box::new(second.op));
                Ok(Typed { op, kind, optional: first.optional && second.optional })
            }
            Binary::Add => self.arithmetic(ast, Arithmetic::Add, a, b, facts),
            Binary::Subtract => self.arithmetic(ast, Arithmetic::Subtract, a, b, facts),
            Binary::Multiply => self.arithmetic(ast, Arithmetic::Multiply, a, b, facts),
            Binary::Equal => self.comparison(Relation::Equal, a, b, facts),
            Binary::Different => self.comparison(Relation::Different, a, b, facts),
            Binary::Less => self.comparison(Relation::Less, a, b, facts),
            Binary::LessOrEqual => self.comparison(Relation::LessOrEqual, a, b, facts),
            Binary::Greater => self.comparison(Relation::Greater, a, b, facts),
            Binary::GreaterOrEqual => self.comparison(Relation::GreaterOrEqual, a, b, facts),
        }
    }

    fn arithmetic(&mut self, ast: &Ast, what: Arithmetic, a: &Ast, b: &Ast, facts: &Facts) -> Outcome {
        let ((left, m), (right, n)) = (self.number(a, facts)?, self.number(b, facts)?);
        let digits = if what == Arithmetic::Multiply { m.product(n) } else { m.sum(n) };
        bounded(ast, digits)?;
        solid(Op::Arithmetic(what, Box::new(left), Box::new(right)), Kind::Number(digits))
    }

    fn comparison(&mut self, relation: Relation, a: &Ast, b: &Ast, facts: &Facts) -> Outcome {
        let (left, right) = (self.there(a, facts)?, self.there(b, facts)?);
        if united(left.kind, right.kind).is_none() {
            return Err(wrong(b, &format!("{} as on the left", left.kind), right.kind));
        }
        let ordered = !matches!(relation, Relation::Equal | Relation::Different);
        if ordered && matches!(left.kind, Kind::Text { .. } | Kind::Bool) {
            return Err(wrong(a, "a number, a date or an instant", left.kind));
        }
        solid(Op::Compare(relation, Box::new(left.op), Box::new(right.op)), Kind::Bool)
    }

    fn choice(&mut self, condition: &Ast, yes: &Ast, no: &Ast, facts: &Facts) -> Outcome {
        let decided = self.condition(condition, facts)?;
        let (mut when, mut unless) = (facts.clone(), facts.clone());
        self.names.learn(condition, true, &mut when);
        self.names.learn(condition, false, &mut unless);
        let (first, second) = (self.check(yes, &when)?, self.check(no, &unless)?);
        let kind = united(first.kind, second.kind)
            .ok_or_else(|| wrong(no, &format!("{} as behind \"then\"", first.kind), second.kind))?;
        let op = Op::If(Box::new(decided), Box::new(first.op), Box::new(second.op));
        Ok(Typed { op, kind, optional: first.optional || second.optional })
    }

    fn membership(&mut self, what: &Ast, set: &Ast, facts: &Facts) -> Outcome {
        let typed = self.there(what, facts)?;
        let set = match (&set.kind, typed.kind) {
            (AstKind::Path(path), Kind::Text { .. }) if path.len() == 2 && path[0] == "param" => {
                let found = self.env.sets.get(&path[1]);
                let found = found.ok_or_else(|| {
                    fault(set, ErrorCode::Name, format!("no set of the pack is named {:?}", path[1]))
                })?;
                Set::Texts(found.clone())
            }
            (AstKind::List(items), Kind::Text { .. }) => {
                let text = |item: &Ast| match &item.kind {
                    AstKind::Text(text) => Ok(text.clone()),
                    _ => Err(fault(item, ErrorCode::Type, "a text between single quotes is needed")),
                };
                Set::Texts(items.iter().map(text).collect::<Result<_, _>>()?)
            }
            (AstKind::List(items), Kind::Number(_)) => {
                let number = |item: &Ast| match &item.kind {
                    AstKind::Number(digits) => decimal(digits),
                    _ => None,
                };
                let read = |item| {
                    number(item).ok_or_else(|| fault(item, ErrorCode::Type, "a plain number is needed"))
                };
                Set::Numbers(items.iter().map(read).collect::<Result<_, _>>()?)
            }
            (AstKind::List(_) | AstKind::Path(_), kind) => {
                return Err(wrong(what, "a text, or a number before a list of numbers,", kind));
            }
            _ => return Err(fault(set, ErrorCode::Type, "a list or a set of the pack is needed")),
        };
        solid(Op::In(Box::new(typed.op), set), Kind::Bool)
    }

    fn fold(&mut self, ast: &Ast, fold: Fold, var: &str, over: &Ast, body: &Ast, facts: &Facts) -> Outcome {
        let AstKind::Path(path) = &over.kind else {
            return Err(fault(over, ErrorCode::Type, "a fold goes over a list of the document"));
        };
        let found = self.names.find(over.at, path, facts)?;
        let Shape::List { max, item } = found.shape else {
            return Err(fault(over, ErrorCode::Type, "a fold goes over a list of the document"));
        };
        if self.names.scopes.iter().any(|s| s.var.as_deref() == Some(var)) {
            return Err(fault(ast, ErrorCode::Name, format!("{var:?} names an item already")));
        }
        self.names.scopes.push(Scope { var: Some(var.to_owned()), shape: item });
        let typed = self.there(body, facts);
        self.names.scopes.pop();
        let typed = typed?;
        let (kind, optional) = match (fold, typed.kind) {
            (Fold::All | Fold::Any, Kind::Bool) => (Kind::Bool, false),
            (Fold::Count, Kind::Bool) | (Fold::Distinct, _) => (Kind::Number(Digits::whole(10)), false),
            (Fold::Sum, Kind::Number(d)) => (Kind::Number(bounded(ast, d.times(*max))?), false),
            (Fold::Smallest | Fold::Largest, k @ (Kind::Number(_) | Kind::Date | Kind::Instant)) => (k, true),
            (Fold::All | Fold::Any | Fold::Count, k) => return Err(wrong(body, "true or false", k)),
            (Fold::Sum, k) => return Err(wrong(body, "a number", k)),
            (_, k) => return Err(wrong(body, "a number, a date or an instant", k)),
        };
        let op = Op::Fold { fold, over: found.place, max: *max, body: Box::new(typed.op) };
        Ok(Typed { op, kind, optional })
    }

    fn call(&mut self, ast: &Ast, name: &str, arguments: &[Ast], facts: &Facts) -> Outcome {
        match (name, arguments) {
            ("present", [Ast { kind: AstKind::Path(path), at }]) => {
                let found = self.names.find(*at, path, facts)?;
                solid(Op::Present(found.place), Kind::Bool)
            }
            ("length", [Ast { kind: AstKind::Path(path), at }])
                if matches!(
                    self.names.find(*at, path, facts),
                    Ok(Found { shape: Shape::List { .. }, .. })
                ) =>
            {
                let found = self.names.find(*at, path, facts)?;
                let Shape::List { max, .. } = found.shape else {
                    return Err(fault(ast, ErrorCode::Type, "a list is needed"));
                };
                solid(Op::Length(found.place, *max), Kind::Number(Digits::whole(10)))
            }
            ("index", [Ast { kind: AstKind::Path(path), .. }]) if path.len() == 1 => {
                self.index(ast, &path[0])
            }
            ("date", [Ast { kind: AstKind::Text(text), .. }]) => match parse_date(text) {
                Some(date) => solid(Op::Constant(Value::Date(date)), Kind::Date),
                None => Err(fault(&arguments[0], ErrorCode::Type, "a date like '2018-04-20' is needed")),
            },
            ("exists", [table, keys @ ..]) => self.table(ast, table, None, keys, facts),
            ("column", [table, column, keys @ ..]) => self.table(ast, table, Some(column), keys, facts),
            ("valid", [Ast { kind: AstKind::Text(rule), at }, text]) => {
                if !self.env.rules.contains(rule) {
                    let detail = format!("no check rule is named {rule:?}");
                    return Err(ExpressionError::new(*at, ErrorCode::Name, detail));
                }
                let typed = self.there(text, facts)?;
                if !matches!(typed.kind, Kind::Text { .. }) {
                    return Err(wrong(text, "a text", typed.kind));
                }
                solid(Op::Valid(rule.as_str().into(), Box::new(typed.op)), Kind::Bool)
            }
            _ => self.function(ast, name, arguments, facts),
        }
    }

    fn index(&mut self, ast: &Ast, name: &str) -> Outcome {
        let scopes = &self.names.scopes;
        let frame = match name {
            "this" => Some(self.names.this()),
            _ => scopes.iter().rposition(|s| s.var.as_deref() == Some(name)),
        };
        match frame {
            Some(frame) => solid(Op::Index(frame), Kind::Number(Digits::whole(10))),
            None => Err(fault(ast, ErrorCode::Name, "index(…) asks an item of a fold, or this")),
        }
    }

    fn table(
        &mut self,
        ast: &Ast,
        table: &Ast,
        column: Option<&Ast>,
        keys: &[Ast],
        facts: &Facts,
    ) -> Outcome {
        let named = |ast: &Ast| match &ast.kind {
            AstKind::Text(name) => Ok(name.clone()),
            _ => Err(fault(ast, ErrorCode::Type, "a name between single quotes is needed")),
        };
        let name = named(table)?;
        let Some(shape) = self.env.tables.get(&name) else {
            return Err(fault(table, ErrorCode::Name, format!("the pack declares no table {name:?}")));
        };
        let column_name = column.map(named).transpose()?;
        if let (Some(place), Some(wanted)) = (column, &column_name)
            && !shape.columns.contains(wanted)
        {
            let detail = format!("the pack declares no column {wanted:?} of table {name:?}");
            return Err(fault(place, ErrorCode::Name, detail));
        }
        if keys.len() != shape.keys {
            let detail =
                format!("table {name:?} has a key of {} columns, {} are given", shape.keys, keys.len());
            return Err(fault(ast, ErrorCode::Type, detail));
        }
        let mut ops = Vec::with_capacity(keys.len());
        for key in keys {
            let typed = self.there(key, facts)?;
            if !matches!(typed.kind, Kind::Text { .. }) {
                return Err(wrong(key, "a text", typed.kind));
            }
            ops.push(typed.op);
        }
        if !self.tables.iter().any(|t| **t == *name) {
            self.tables.push(name.as_str().into());
        }
        let (kind, optional) = match column_name {
            Some(_) => (Kind::Text { max: COLUMN_LEN_MAX }, true),
            None => (Kind::Bool, false),
        };
        let op = Op::Table { table: name.into(), column: column_name.map(Into::into), keys: ops };
        Ok(Typed { op, kind, optional })
    }

    fn function(&mut self, ast: &Ast, name: &str, arguments: &[Ast], facts: &Facts) -> Outcome {
        let small = |n: usize| match arguments.get(n).map(|a| &a.kind) {
            Some(AstKind::Number(digits)) => digits.parse::<u32>().ok().filter(|n| *n <= DIGITS_MAX),
            _ => None,
        };
        let need = |n: usize| {
            let detail = format!("argument {} of {name} is a whole number up to {DIGITS_MAX}", n + 1);
            small(n).ok_or_else(|| fault(ast, ErrorCode::Type, detail))
        };
        // The last `fixed` arguments are written out and no values.
        let (function, fixed) = match name {
            "abs" => (Function::Abs, 0),
            "round" => (Function::Round(need(1)?), 1),
            "divide" => (Function::Divide(need(2)?), 1),
            "least" => (Function::Least, 0),
            "greatest" => (Function::Greatest, 0),
            "number" => (Function::Number, 0),
            "length" => (Function::LengthOfText, 0),
            "left" => (Function::Slice { from: 1, len: need(1)? }, 1),
            "slice" => (Function::Slice { from: need(1)?.max(1), len: need(2)? }, 2),
            "concat" => (Function::Concat, 0),
            "starts_with" => (Function::StartsWith, 0),
            "is_digits" => (Function::IsDigits, 0),
            "today" => (Function::Today, 0),
            "now" => (Function::Now, 0),
            "date_of" => (Function::DateOf, 0),
            "year" => (Function::Year, 0),
            "add_days" => (Function::AddDays, 0),
            "add_months" => (Function::AddMonths, 0),
            "days_between" => (Function::DaysBetween, 0),
            "add_minutes" => (Function::AddMinutes, 0),
            "minutes_between" => (Function::MinutesBetween, 0),
            _ => {
                return Err(fault(
                    ast,
                    ErrorCode::Name,
                    format!("no function of this form is named {name:?}"),
                ));
            }
        };
        match function {
            Function::Today => self.clock = self.clock.max(Clock::Day),
            Function::Now => self.clock = Clock::Instant,
            _ => {}
        }
        let values = arguments.len().saturating_sub(fixed);
        let (mut ops, mut kinds) = (Vec::with_capacity(values), Vec::with_capacity(values));
        for argument in &arguments[..values] {
            let typed = self.there(argument, facts)?;
            ops.push(typed.op);
            kinds.push(typed.kind);
        }
        let Some((kind, optional)) = result(function, &kinds) else {
            let found: Vec<String> = kinds.iter().map(ToString::to_string).collect();
            let detail = format!("{name} does not take ({})", found.join(", "));
            return Err(fault(ast, ErrorCode::Type, detail));
        };
        if let Kind::Number(digits) = kind {
            bounded(ast, digits)?;
        }
        Ok(Typed { op: Op::Function(function, ops), kind, optional })
    }
}

fn number(ast: &Ast, text: &str) -> Outcome {
    let value = decimal(text).ok_or_else(|| fault(ast, ErrorCode::Syntax, "plain digits are needed"))?;
    let digits = digits_of(&value);
    solid(Op::Constant(Value::Number(value)), Kind::Number(digits))
}

fn bounded(ast: &Ast, digits: Digits) -> Result<Digits, ExpressionError> {
    if digits.bearable() {
        return Ok(digits);
    }
    let detail = format!("it may have {} digits, {DIGITS_MAX} are allowed", digits.whole + digits.fraction);
    Err(fault(ast, ErrorCode::Size, detail))
}

/// The type of what is either of these.
fn united(a: Kind, b: Kind) -> Option<Kind> {
    match (a, b) {
        (Kind::Text { max: a }, Kind::Text { max: b }) => Some(Kind::Text { max: a.max(b) }),
        (Kind::Number(a), Kind::Number(b)) => Some(Kind::Number(a.either(b))),
        (a, b) => (a == b).then_some(a),
    }
}
