//! From a policy to the one expression that a decision evaluates: scope and clauses, in a form that is
//! quick to evaluate and means the same. A property test holds it against Cedar's own authorizer.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr as PstExpr, Policy, StaticPolicy, Template};
use cedar_policy_core::ast::Expr;

use crate::check::{self, Guard};

/// Sets of up to this many literals are compared with one by one: Cedar builds a set anew each time.
const SMALL: usize = 8;

/// The condition of a policy; `None` if Cedar does not take the parts back, when the policy's own
/// condition will do.
///
/// The guard, if it has one, is left out.
/// INVARIANT: such a condition is only evaluated for the resources of the guard, for which it is true.
pub(crate) fn condition(
    template: &Template,
    guard: Option<&Guard<'_>>,
) -> Option<(Expr, Template)> {
    let clauses = template.clauses().iter().filter_map(|clause| match clause {
        Clause::When(expr) => Some(Clause::When(quick(&without(expr, guard)?))),
        Clause::Unless(expr) => Some(Clause::Unless(quick(expr))),
    });
    let compiled = Template::new(
        template.id.clone(),
        template.effect,
        template.principal.clone(),
        template.action.clone(),
        template.resource.clone(),
    )
    .try_with_clauses(clauses)
    .ok()?;
    // What was built from parts has no places in a text, which Cedar would copy at each step.
    let policy = StaticPolicy::try_from(compiled.clone()).ok()?;
    let policy = cedar_policy::Policy::from_pst(Policy::Static(policy)).ok()?;
    Some((policy.as_ref().condition(), compiled))
}

/// `a && guard && b` without the guard; `None` if nothing is left.
fn without(expr: &Arc<PstExpr>, guard: Option<&Guard<'_>>) -> Option<Arc<PstExpr>> {
    let Some(guard) = guard else {
        return Some(expr.clone());
    };
    if std::ptr::eq(&**expr, guard.expr) {
        return None;
    }
    let PstExpr::BinaryOp {
        op: BinaryOp::And,
        left,
        right,
    } = &**expr
    else {
        return Some(expr.clone());
    };
    match (without(left, Some(guard)), without(right, Some(guard))) {
        (Some(left), Some(right)) => Some(binary(BinaryOp::And, left, right)),
        (left, right) => left.or(right),
    }
}

/// The same expression with `["a", "b"].contains(x)` as `x == "a" || x == "b"`: both are true, false and
/// err for the same `x`.
fn quick(expr: &Arc<PstExpr>) -> Arc<PstExpr> {
    match &**expr {
        PstExpr::BinaryOp {
            op: op @ (BinaryOp::And | BinaryOp::Or),
            left,
            right,
        } => binary(*op, quick(left), quick(right)),
        PstExpr::UnaryOp { op, expr } => Arc::new(PstExpr::UnaryOp {
            op: *op,
            expr: quick(expr),
        }),
        PstExpr::BinaryOp {
            op: BinaryOp::Contains,
            left,
            right,
        } => equalities(left, right).unwrap_or_else(|| expr.clone()),
        _ => expr.clone(),
    }
}

fn equalities(set: &PstExpr, member: &Arc<PstExpr>) -> Option<Arc<PstExpr>> {
    let PstExpr::Set(items) = set else {
        return None;
    };
    if items.len() > SMALL || !items.iter().all(|item| check::string(item).is_some()) {
        return None;
    }
    let each = items
        .iter()
        .map(|item| binary(BinaryOp::Eq, member.clone(), item.clone()));
    each.reduce(|all, one| binary(BinaryOp::Or, all, one))
}

fn binary(op: BinaryOp, left: Arc<PstExpr>, right: Arc<PstExpr>) -> Arc<PstExpr> {
    Arc::new(PstExpr::BinaryOp { op, left, right })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(when: &str) -> String {
        let text = format!("forbid(principal, action, resource) {when};");
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        let policy = policy.to_pst().unwrap();
        let guard = check::guard(policy.body());
        let (_, template) = condition(policy.body(), guard.as_ref()).unwrap();
        let clauses = template.clauses().iter();
        clauses
            .map(|clause| clause.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_guard_is_left_out_and_small_sets_become_equalities() {
        for (when, expected) in [
            ("when { resource.resource == \"a\" }", ""),
            (
                "when { resource has name && resource.resource == \"a\" && context.dryRun } when { context.approval }",
                "when { (resource has name) && context.dryRun } when { context.approval }",
            ),
            (
                "when { context.dryRun } unless { !([\"a\", \"b\"].contains(resource.apiGroup)) }",
                "when { context.dryRun } unless { !((resource.apiGroup == \"a\") || (resource.apiGroup == \"b\")) }",
            ),
            (
                "when { [1, 2].contains(context.now) }",
                "when { [1, 2].contains(context.now) }",
            ),
        ] {
            assert_eq!(compiled(when), expected);
        }
    }

    #[test]
    fn a_condition_that_only_looks_like_the_guard_stays() {
        let either = "when { resource.resource == \"a\" || context.dryRun }";
        assert!(compiled(either).contains("resource.resource"));
        let twice = "when { resource.resource == \"a\" } when { resource.resource == \"b\" }";
        assert_eq!(compiled(twice), "when { resource.resource == \"b\" }");
    }
}
