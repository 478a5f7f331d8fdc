//! `kubestile policy`: the same engine as in the gate, without a gate.

use kubestile_core::context::{Absence, Context, Known};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{Assurance, Identity, PersonId};
use kubestile_policy::kubectl_words::Typed;
use kubestile_policy::{Explanation, PolicySummary, Question, Verdict, mdtest};
use serde::Serialize;

use crate::args::policy::{Explain, Policy, Sources};
use crate::clock::now;
use crate::exit::{Fail, Kind, Outcome};
use crate::output::{self, Format, Table};
use crate::policies::PolicyFiles;

/// Checks, tests, explains or lists policies.
pub(super) fn run(args: Policy) -> Outcome {
    match args {
        Policy::Check { sources } => check(&files(sources)),
        Policy::Test { sources, filter } => test(&files(sources), filter.as_deref()),
        Policy::Explain(args) => explain(args),
        Policy::List { sources, output } => list(&files(sources), output.format),
    }
}

fn files(sources: Sources) -> PolicyFiles {
    PolicyFiles {
        base: !sources.no_base,
        replace: sources.replace,
        dirs: sources.dirs,
    }
}

fn check(files: &PolicyFiles) -> Outcome {
    let set = files.load()?;
    for warning in set.lint() {
        output::talk(&format!("warning: {warning}"));
    }
    output::line(&format!(
        "{} policies are fine, version {}",
        set.policies().count(),
        set.version()
    ))
}

fn test(files: &PolicyFiles, filter: Option<&str>) -> Outcome {
    let set = files.load()?;
    let mut sources = files.tests()?;
    if let Some(word) = filter {
        sources.retain(|source| source.name.contains(word));
    }
    let report = mdtest::run(&set, &sources);
    for failure in &report.failures {
        output::line(&format!(
            "FAILED {}:{} {}",
            failure.file, failure.line, failure.request
        ))?;
        for line in failure.text.lines() {
            output::line(&format!("       {line}"))?;
        }
    }
    if filter.is_none() {
        for id in &report.untested {
            output::line(&format!("FAILED no test expects {id} to decide"))?;
        }
    }
    output::line(&format!(
        "{} passed, {} failed",
        report.passed,
        report.failures.len()
    ))?;
    let good = report.failures.is_empty() && (filter.is_some() || report.untested.is_empty());
    match (good, report.passed) {
        (true, 0) => Err(Fail::new(Kind::Verification, "no test ran")),
        (true, _) => Ok(()),
        (false, _) => Err(Fail::new(
            Kind::Verification,
            "the policies do not do what their tests say",
        )),
    }
}

fn explain(args: Explain) -> Outcome {
    let set = files(args.sources).load()?;
    let typed = Typed::from_words(&args.command).map_err(|e| Fail::usage(e.to_string()))?;
    let action = typed
        .action(args.cluster)
        .map_err(|e| Fail::failure(e.to_string()).hint("the gate would answer 400 Bad Request"))?;
    let identity = Identity {
        name: args.as_person,
        id: PersonId::from_uuid(uuid::Uuid::nil()),
        kind: IdentityKind::Person,
        groups: args.groups,
        functions: args.functions,
    };
    let context = Context {
        now: now(),
        source: std::net::IpAddr::from([127, 0, 0, 1]),
        invocation: Known::Absent(Absence::NotSent),
        approval: Known::Absent(Absence::NotConfigured),
        grants: Vec::new(),
    };
    let question = Question {
        identity: &identity,
        session_age_s: 0,
        assurance: Assurance::Code,
        action: &action,
        context: &context,
    };
    let explanation = set.explain(&question);
    let format = args.output.format;
    if format.is_data() {
        output::value(format, &explanation)?;
    } else {
        output::line_by_line(&shown(&explanation, format))?;
    }
    refused(&explanation)
}

/// What decided; with `-o wide`, also every policy that nearly did.
fn shown(explanation: &Explanation, format: Format) -> String {
    if format == Format::Wide {
        return explanation.to_string();
    }
    let mut short = explanation.clone();
    short
        .policies
        .retain(|p| matches!(p.verdict, Verdict::Matched | Verdict::Erred));
    let hidden = explanation.policies.len() - short.policies.len() + explanation.left_out;
    short.left_out = 0;
    match hidden {
        0 => short.to_string(),
        n => format!(
            "{short}\n{n} more policies are for this action; -o wide shows why they did not match"
        ),
    }
}

/// A refusal is an exit code, for scripts; it has been said in words already.
fn refused(explanation: &Explanation) -> Outcome {
    match explanation.decision.as_str() {
        "allow" => Ok(()),
        _ => Err(Fail::failure(format!(
            "{} would be refused",
            explanation.request
        ))),
    }
}

/// One row of `policy list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    effect: kubestile_policy::Effect,
    reason: String,
    satisfy: Vec<&'static str>,
    remedy: Option<String>,
    file: String,
    line: usize,
}

impl From<PolicySummary> for Row {
    fn from(policy: PolicySummary) -> Self {
        Self {
            id: policy.id.to_string(),
            effect: policy.effect,
            reason: policy.reason,
            satisfy: policy.satisfy.iter().map(|o| o.as_str()).collect(),
            remedy: policy.remedy,
            file: policy.file,
            line: policy.line,
        }
    }
}

fn list(files: &PolicyFiles, format: Format) -> Outcome {
    let set = files.load()?;
    let rows: Vec<Row> = set.policies().map(Row::from).collect();
    if format.is_data() {
        return output::value(format, &rows);
    }
    let wide = format == Format::Wide;
    let mut head = vec!["ID", "EFFECT", "NEEDS", "REASON"];
    if wide {
        head.extend(["PLACE", "REMEDY"]);
    }
    let mut table = Table::new(&head);
    for row in rows {
        let mut cells = vec![
            row.id,
            row.effect.to_string(),
            row.satisfy.join(","),
            row.reason,
        ];
        if wide {
            cells.push(format!("{}:{}", row.file, row.line));
            cells.push(row.remedy.unwrap_or_default());
        }
        table.row(cells);
    }
    table.print("no policies: everything is refused")
}
