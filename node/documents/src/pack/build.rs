//! From the text of a pack file to a pack, or to everything that is wrong with it.

use super::environment::environment;
use super::fields::Builder;
use super::problem::{PackError, Problem, ProblemCode, Problems};
use super::rules::{Compiler, Requirement, RuleOf};
use super::spec::{DocumentSpec, FormatSpec, MinDurability, PackSpec};
use super::{DocumentType, FORMAT, LifeCycle, PACK_LEN_MAX, Pack, PackHead, Title, is_name, shape};
use crate::field::{Kind, Presence};
use eport_expression::{Clock, Expression};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Most document types of a pack.
const DOCUMENTS_MAX: usize = 40;

pub(super) fn pack(file: &str, text: &str) -> Result<Pack, PackError> {
    let mut problems = Problems::new(file, text);
    if text.len() > PACK_LEN_MAX {
        let detail = format!("{} bytes exceed the limit of {PACK_LEN_MAX}", text.len());
        let problem = Problem { file: file.into(), line: 1, column: 1, code: ProblemCode::Size, detail };
        return Err(PackError::one(problem));
    }
    let Some(spec) = read(text, &mut problems) else {
        problems.end()?;
        return Err(PackError { problems: Vec::new() });
    };
    let pack = compile(spec, &mut problems);
    problems.end()?;
    Ok(pack)
}

fn read(text: &str, problems: &mut Problems<'_>) -> Option<PackSpec> {
    let mut shape = |e: toml::de::Error| {
        let at = e.span().map_or(0, |s| s.start);
        problems.at(at, ProblemCode::Shape, e.message());
    };
    let format = toml::from_str::<FormatSpec>(text).map_err(&mut shape).ok()?.format;
    if *format.get_ref() != FORMAT {
        let detail = format!("pack format {} is not known here (known: {FORMAT})", format.get_ref());
        problems.add(&format.span(), ProblemCode::Format, detail);
        return None;
    }
    toml::from_str(text).map_err(&mut shape).ok()
}

fn compile(spec: PackSpec, problems: &mut Problems<'_>) -> Pack {
    if !is_name(spec.name.get_ref()) {
        let detail = "a pack's name is 1 to 64 of a-z, 0-9 and _, not beginning with a digit";
        problems.add(&spec.name.span(), ProblemCode::Name, detail);
    }
    if version(spec.version.get_ref()).is_none() {
        problems.add(&spec.version.span(), ProblemCode::Name, "a version is three numbers, like 1.2.0");
    }
    for system in &spec.systems {
        let digits = system.get_ref().strip_prefix("SYS-");
        if !digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit())) {
            problems.add(&system.span(), ProblemCode::Name, "a row of the list of systems is SYS-nn");
        }
    }
    if spec.utc_offset_minutes.get_ref().unsigned_abs() > 14 * 60 {
        let detail = "utc_offset_minutes is beyond 14 hours";
        problems.add(&spec.utc_offset_minutes.span(), ProblemCode::Field, detail);
    }
    if spec.document.is_empty() || spec.document.len() > DOCUMENTS_MAX {
        problems.add(
            &spec.name.span(),
            ProblemCode::Size,
            format!("a pack has 1 to {DOCUMENTS_MAX} documents"),
        );
    }
    let (environment, optional_tables) = environment(&spec, problems);
    let keys =
        |t: &toml::Spanned<super::spec::TableSpec>| (t.get_ref().name.clone(), t.get_ref().key.clone());
    let head = Arc::new(PackHead {
        table_keys: spec.table.iter().map(keys).collect(),
        name: spec.name.into_inner().into(),
        version: spec.version.into_inner().into(),
        title: spec.title,
        systems: spec.systems.into_iter().map(toml::Spanned::into_inner).collect(),
        utc_offset_minutes: spec.utc_offset_minutes.into_inner(),
        codes: spec.codes,
        parameters: spec.parameters,
        environment,
        optional_tables,
    });
    let documents = spec.document.into_iter().map(|d| {
        let span = d.span();
        Arc::new(document(d.into_inner(), &span, &head, problems))
    });
    let documents = documents.collect();
    Pack { head, documents }
}

/// The numbers of a version.
pub(crate) fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.splitn(3, '.').map(|p| {
        let plain = !p.is_empty() && p.len() <= 9 && p.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| p.parse::<u32>().ok()).flatten()
    });
    Some((parts.next()??, parts.next()??, parts.next()??))
}

fn document(
    spec: DocumentSpec,
    span: &Range<usize>,
    head: &Arc<PackHead>,
    problems: &mut Problems<'_>,
) -> DocumentType {
    envelope(&spec, span, problems);
    let groups = groups(&spec, span, problems);
    let mut builder = Builder::new(problems, &groups);
    let fields = builder.body(spec.field, span);
    let conditions = builder.conditions;
    let body = shape::record(&fields);
    if let Some(name) = &spec.number_letter_field {
        let letter = |f: &&crate::Field| {
            f.presence == Presence::Always && matches!(&f.kind, Kind::Text(rules) if rules.max == 1)
        };
        if !fields.iter().filter(letter).any(|f| f.name == *name.get_ref()) {
            problems.add(&name.span(), ProblemCode::Reference, "a required field of one letter is needed");
        }
    }
    let mut compiler = Compiler { problems, body: &body, head, cost: 0 };
    let requirements = compiler.requirements(conditions);
    let rules = compiler.rules(spec.rule);
    let recipients = compiler.recipients(spec.recipient, &groups);
    let agencies: BTreeSet<String> = recipients.iter().map(|(_, r)| r.agency.clone()).collect();
    let life_cycle = LifeCycle::build(spec.state, &agencies, compiler.problems);
    let cycle = life_cycle.as_ref();
    for (span, recipient) in &recipients {
        compiler.state(recipient.after.as_ref(), cycle, span);
    }
    DocumentType {
        milestones: compiler.milestones(spec.milestone, cycle),
        consignment: spec.consignment.and_then(|c| compiler.consignment(c, cycle)),
        upload: spec.upload.and_then(|u| compiler.upload(u)),
        known_by: compiler.known_by(spec.known_by),
        assigned: compiler.assigned(spec.assigned, &agencies),
        cross_checks: compiler.cross_checks(spec.cross_check),
        ledgers: compiler.ledgers(spec.ledger, cycle),
        statistics: compiler.statistics(spec.statistic),
        sharing: compiler.sharing(spec.sharing, cycle),
        cost: compiler.cost,
        clock: clock(&requirements, &rules),
        doc_type: spec.doc_type.into_inner().into(),
        title: spec.title,
        number_letter: spec.number_letter.into_inner(),
        number_letter_field: spec.number_letter_field.map(toml::Spanned::into_inner),
        bytes_max: spec.bytes_max.into_inner(),
        version_max: spec.version_max,
        client_ref_length_max: spec.client_ref_length_max,
        function_codes: spec.function_codes,
        replicated: spec.min_durability == MinDurability::Replicated,
        groups,
        fields,
        requirements,
        rules,
        recipients: recipients.into_iter().map(|(_, r)| r).collect(),
        life_cycle,
        pack: head.clone(),
    }
}

/// How long what these say holds.
fn clock(requirements: &[Requirement], rules: &[RuleOf]) -> Clock {
    let required = requirements.iter().map(|r| r.when.clock());
    let ruled = rules.iter().flat_map(|r| r.when.iter().chain([&r.check])).map(Expression::clock);
    required.chain(ruled).max().unwrap_or_default()
}

fn envelope(spec: &DocumentSpec, span: &Range<usize>, problems: &mut Problems<'_>) {
    if !is_name(spec.doc_type.get_ref()) {
        let detail = "a type's name is 1 to 64 of a-z, 0-9 and _, not beginning with a digit";
        problems.add(&spec.doc_type.span(), ProblemCode::Name, detail);
    }
    if !spec.number_letter.get_ref().is_ascii_uppercase() {
        problems.add(&spec.number_letter.span(), ProblemCode::Field, "number_letter is one capital letter");
    }
    if spec.function_codes.first.is_empty() || spec.version_max == 0 || spec.client_ref_length_max == 0 {
        let detail = "function_codes.first, version_max and client_ref_length_max allow no document at all";
        problems.add(span, ProblemCode::Field, detail);
    }
    if *spec.bytes_max.get_ref() > crate::DOCUMENT_LEN_MAX {
        problems.add(
            &spec.bytes_max.span(),
            ProblemCode::Size,
            "bytes_max is above what any document may have",
        );
    }
}

fn groups(spec: &DocumentSpec, span: &Range<usize>, problems: &mut Problems<'_>) -> BTreeMap<char, Title> {
    let mut out = BTreeMap::new();
    for (name, title) in &spec.groups {
        let mut letters = name.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_lowercase() => drop(out.insert(letter, title.clone())),
            _ => problems.add(span, ProblemCode::Name, format!("group {name:?} is not one small letter")),
        }
    }
    out
}
