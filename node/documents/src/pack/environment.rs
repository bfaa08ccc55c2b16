//! Numbers, sets, tables and check rules that the expressions of a pack may name.

use super::is_name;
use super::problem::{ProblemCode, Problems};
use super::spec::PackSpec;
use crate::checks::Rule;
use eport_expression::{Environment, TableShape, decimal};

/// Most texts of a set.
const SET_MAX: usize = 2_000;

/// The environment, and the tables that count only where a version is in force.
pub(super) fn environment(spec: &PackSpec, problems: &mut Problems<'_>) -> (Environment, Vec<String>) {
    let mut env = Environment::default();
    for (name, text) in &spec.numbers {
        let read = text
            .get_ref()
            .strip_prefix('-')
            .map_or_else(|| decimal(text.get_ref()), |digits| decimal(digits).map(|n| -n));
        match read {
            Some(number) if is_name(name) => drop(env.numbers.insert(name.clone(), number)),
            Some(_) => problems.add(&text.span(), ProblemCode::Name, format!("{name:?} is no name")),
            None => problems.add(
                &text.span(),
                ProblemCode::Shape,
                "plain digits with at most one point are needed",
            ),
        }
    }
    for (name, set) in &spec.sets {
        let texts = set.get_ref();
        if !is_name(name) {
            problems.add(&set.span(), ProblemCode::Name, format!("{name:?} is no name"));
        }
        if texts.is_empty() || texts.len() > SET_MAX {
            problems.add(&set.span(), ProblemCode::Size, format!("a set has 1 to {SET_MAX} texts"));
        }
        env.sets.insert(name.clone(), texts.iter().cloned().collect());
    }
    let mut optional = Vec::new();
    for table in &spec.table {
        let (span, table) = (table.span(), table.get_ref());
        if table.name.is_empty() || table.key.is_empty() || table.key.len() > 8 {
            problems.add(&span, ProblemCode::Field, "a table has a name and a key of 1 to 8 columns");
        }
        let shape = TableShape {
            keys: table.key.len(),
            columns: table.columns.iter().chain(&table.key).cloned().collect(),
        };
        if env.tables.insert(table.name.clone(), shape).is_some() {
            problems.add(&span, ProblemCode::Twice, format!("table {:?} is declared twice", table.name));
        }
        if table.if_published {
            optional.push(table.name.clone());
        }
    }
    env.rules = Rule::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    (env, optional)
}
