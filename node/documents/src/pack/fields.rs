//! From a field as it is written to the form that validation runs on.

use super::is_name;
use super::notation::Notation;
use super::problem::{ProblemCode, Problems};
use super::spec::{FieldSpec, Step};
use crate::field::{Characters, Field, Kind, Normalise, Presence, TableRule, TextRules};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;

/// Nesting of fields that a pack may describe.
const FIELD_DEPTH_MAX: usize = 8;

/// Most fields of one record.
const FIELDS_MAX: usize = 400;

/// Most items of a list.
const ITEMS_MAX: usize = 100_000;

/// A condition under which a field must be there, with what is needed to compile it once the whole document is known.
pub(super) struct Condition {
    /// Lists around the field, and the members from the innermost of them on.
    pub(super) lists: Vec<Vec<String>>,
    pub(super) path: Vec<String>,
    pub(super) text: Spanned<String>,
}

/// What the fields of a document are compiled with.
pub(super) struct Builder<'p, 't> {
    pub(super) problems: &'p mut Problems<'t>,
    pub(super) groups: &'p BTreeMap<char, super::Title>,
    pub(super) conditions: Vec<Condition>,
    /// Lists around, and members from the innermost of them on.
    lists: Vec<Vec<String>>,
    path: Vec<String>,
}

/// What a field takes from the one around it.
#[derive(Clone)]
struct Around {
    groups: Option<BTreeSet<char>>,
    class: char,
}

impl<'p, 't> Builder<'p, 't> {
    pub(super) fn new(problems: &'p mut Problems<'t>, groups: &'p BTreeMap<char, super::Title>) -> Self {
        Self { problems, groups, conditions: Vec::new(), lists: Vec::new(), path: Vec::new() }
    }

    /// The fields of a document's body.
    pub(super) fn body(&mut self, specs: Vec<Spanned<FieldSpec>>, span: &Range<usize>) -> Vec<Field> {
        self.members(specs, span, &Around { groups: None, class: 'B' }, 0)
    }

    fn members(
        &mut self,
        specs: Vec<Spanned<FieldSpec>>,
        span: &Range<usize>,
        around: &Around,
        depth: usize,
    ) -> Vec<Field> {
        if specs.is_empty() || specs.len() > FIELDS_MAX {
            self.problems.add(span, ProblemCode::Size, format!("a record has 1 to {FIELDS_MAX} fields"));
        }
        let mut fields: Vec<Field> = Vec::with_capacity(specs.len());
        for spec in specs {
            let (span, spec) = (spec.span(), spec.into_inner());
            if !is_name(&spec.name) || RESERVED.contains(&spec.name.as_str()) {
                self.problems.add(&span, ProblemCode::Name, format!("{:?} is no name of a field", spec.name));
            }
            if fields.iter().any(|f| f.name == spec.name) {
                self.problems.add(&span, ProblemCode::Name, format!("field {:?} stands twice", spec.name));
            }
            if spec.zh.is_none() || spec.en.is_none() {
                self.problems.add(&span, ProblemCode::Field, "a field has a name for people, zh and en");
            }
            self.path.push(spec.name.clone());
            fields.push(self.field(spec, &span, around, depth));
            self.path.pop();
        }
        fields
    }

    fn field(&mut self, mut spec: FieldSpec, span: &Range<usize>, around: &Around, depth: usize) -> Field {
        let around = self.around(&spec, around);
        let presence = match (spec.required, spec.required_if.take()) {
            (true, None) => Presence::Always,
            (false, None) => Presence::Optional,
            (false, Some(text)) => {
                let condition = Condition { lists: self.lists.clone(), path: self.path.clone(), text };
                self.conditions.push(condition);
                Presence::Conditional
            }
            (true, Some(_)) => {
                self.problems.add(span, ProblemCode::Field, "required and required_if exclude each other");
                Presence::Always
            }
        };
        let kind = self.kind(&mut spec, span, &around, depth);
        if let Some(key) = spec.leftover() {
            self.problems.add(span, ProblemCode::Field, format!("{key} means nothing for this type"));
        }
        let title = spec.zh.take().zip(spec.en.take()).map(|(zh, en)| super::Title { zh, en });
        Field {
            name: spec.name,
            title,
            presence,
            kind,
            groups: around.groups.unwrap_or_default(),
            key: spec.key,
            class: around.class,
        }
    }

    fn around(&mut self, spec: &FieldSpec, around: &Around) -> Around {
        let mut own = around.clone();
        if let Some(to) = &spec.to {
            let letters: BTreeSet<char> = to.get_ref().chars().collect();
            if letters.is_empty() {
                self.problems.add(&to.span(), ProblemCode::Field, "a field goes to at least one group");
            }
            for unknown in letters.iter().filter(|l| !self.groups.contains_key(l)) {
                self.problems.add(
                    &to.span(),
                    ProblemCode::Reference,
                    format!("there is no group {unknown:?}"),
                );
            }
            own.groups = Some(letters);
        }
        if let Some(class) = &spec.class {
            own.class = *class.get_ref();
            if !"PBCILK".contains(own.class) {
                self.problems.add(&class.span(), ProblemCode::Field, "a class is one of P, B, C, I, L, K");
            }
        }
        own
    }

    fn kind(&mut self, spec: &mut FieldSpec, span: &Range<usize>, around: &Around, depth: usize) -> Kind {
        let written = spec.r#type.span();
        let notation = match Notation::read(spec.r#type.get_ref()) {
            Ok(_) if depth >= FIELD_DEPTH_MAX => Err("fields are nested too deep".to_owned()),
            other => other,
        };
        let notation = match notation {
            Ok(notation) => notation,
            Err(detail) => {
                self.problems.add(&written, ProblemCode::Field, detail);
                return Kind::Flag;
            }
        };
        let mut need = |what: &str| {
            self.problems.add(span, ProblemCode::Field, format!("{what} is needed"));
        };
        match notation {
            Notation::Text { min, max, characters } => {
                Kind::Text(self.text(spec, span, min, max, characters))
            }
            Notation::Identifier => {
                if spec.rule.is_none() {
                    need("rule");
                }
                Kind::Text(self.text(spec, span, 0, usize::MAX, Characters::Printable))
            }
            Notation::Integer => {
                let [min, max] = spec.range.take().unwrap_or_else(|| {
                    need("range");
                    [0, 0]
                });
                if min > max {
                    self.problems.add(span, ProblemCode::Field, "range is empty");
                }
                Kind::Integer { min, max }
            }
            Notation::Decimal { whole, fraction } => {
                Kind::Decimal { whole, fraction, positive: spec.positive.take().unwrap_or(false) }
            }
            Notation::Date => Kind::Date,
            Notation::Instant => Kind::Instant,
            Notation::Flag => Kind::Flag,
            Notation::List => self.list(spec, span, around, depth),
            Notation::Object => match spec.field.take() {
                Some(fields) => Kind::Object(self.members(fields, span, around, depth + 1)),
                None => {
                    need("field");
                    Kind::Object(Vec::new())
                }
            },
        }
    }

    fn list(&mut self, spec: &mut FieldSpec, span: &Range<usize>, around: &Around, depth: usize) -> Kind {
        let [min, max] = spec.length.take().unwrap_or_else(|| {
            self.problems.add(span, ProblemCode::Field, "length is needed");
            [0, 0]
        });
        if min > max || max > ITEMS_MAX {
            let detail = format!("length is empty, or above {ITEMS_MAX}");
            self.problems.add(span, ProblemCode::Field, detail);
        }
        // What stands in the list is named from its item on.
        let path = std::mem::take(&mut self.path);
        self.lists.push(path);
        let item = match (spec.item.take(), spec.field.take()) {
            (Some(item), None) => {
                let (span, item) = (item.span(), item.into_inner());
                if !item.name.is_empty() || item.required || item.required_if.is_some() {
                    self.problems.add(&span, ProblemCode::Field, "an item has no name and is always there");
                }
                self.field(item, &span, around, depth + 1)
            }
            (None, Some(fields)) => Field {
                name: String::new(),
                title: None,
                presence: Presence::Always,
                kind: Kind::Object(self.members(fields, span, around, depth + 1)),
                groups: around.groups.clone().unwrap_or_default(),
                key: false,
                class: around.class,
            },
            _ => {
                self.problems.add(span, ProblemCode::Field, "either item or field is needed");
                Field::flag()
            }
        };
        self.path = self.lists.pop().unwrap_or_default();
        Kind::List { min, max, item: Box::new(item) }
    }

    fn text(
        &mut self,
        spec: &mut FieldSpec,
        span: &Range<usize>,
        min: usize,
        max: usize,
        characters: Characters,
    ) -> TextRules {
        let table = match (spec.table.take(), spec.table_if_published.take()) {
            (Some(_), Some(_)) => {
                let detail = "table and table_if_published exclude each other";
                self.problems.add(span, ProblemCode::Field, detail);
                None
            }
            (Some(t), None) => Some(TableRule { table: t.into(), if_published: false }),
            (None, Some(t)) => Some(TableRule { table: t.into(), if_published: true }),
            (None, None) => None,
        };
        let rule = spec.rule.take();
        let values: Option<BTreeSet<String>> = spec.values.take().map(|v| v.into_iter().collect());
        if values.as_ref().is_some_and(BTreeSet::is_empty) {
            self.problems.add(span, ProblemCode::Field, "values allow nothing");
        }
        // Codes and identifiers are normalised before they are checked; free text is stored as given.
        let identifier =
            rule.is_some() || table.is_some() || values.is_some() || characters != Characters::Printable;
        let normalise = match spec.normalise.take() {
            Some(steps) => Normalise {
                half_width: steps.contains(&Step::HalfWidth),
                trim: steps.contains(&Step::Trim),
                upper: steps.contains(&Step::Upper),
            },
            None => Normalise { half_width: identifier, trim: identifier, upper: identifier },
        };
        TextRules { normalise, min, max, characters, rule, values, table }
    }
}

/// Words of the expression language, which no field may be named by.
const RESERVED: [&str; 13] =
    ["and", "or", "not", "implies", "if", "then", "else", "in", "true", "false", "this", "body", "param"];

impl FieldSpec {
    /// A setting that no arm of `kind` has taken: it belongs to another type of field.
    fn leftover(&self) -> Option<&'static str> {
        [
            ("length", self.length.is_some()),
            ("normalise", self.normalise.is_some()),
            ("rule", self.rule.is_some()),
            ("values", self.values.is_some()),
            ("table", self.table.is_some()),
            ("table_if_published", self.table_if_published.is_some()),
            ("range", self.range.is_some()),
            ("positive", self.positive.is_some()),
            ("item", self.item.is_some()),
            ("field", self.field.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }
}
