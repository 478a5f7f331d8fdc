//! The rules for what stands in a policy's clauses that Cedar's validator does not know:
//!
//! - Absence never widens. `approval` stands only where its truth permits more; what the client says of
//!   itself (`invocation`) only where it forbids more, and without a `has`, so that leaving it out is an
//!   evaluation error and thus a denial.
//! - A request's object has no id that a policy could name.
//!
//! On the way it finds what the slicing needs: which attributes are read, and whether the policy is for
//! certain resources only.

use cedar_policy::pst::{BinaryOp, Clause, Effect, Expr, Literal, Template, Var};

use crate::attributes::Needs;

/// What the clauses of a policy that keeps the rules say of it.
#[derive(Debug, Default)]
pub(crate) struct Clauses {
    /// The attributes that it reads.
    pub(crate) needs: Needs,
    /// The resources (`pods`) that it is for; `None` when it may be for any.
    pub(crate) resources: Option<Vec<String>>,
}

/// Checks the clauses of a policy; the problems are sentences that say what to do.
pub(crate) fn clauses(template: &Template) -> Result<Clauses, Vec<String>> {
    let mut walk = Walk::default();
    let permits = template.effect == Effect::Permit;
    for clause in template.clauses() {
        let (expr, place) = match (clause, permits) {
            (Clause::When(expr), true) | (Clause::Unless(expr), false) => (expr, Place::Widens),
            (Clause::When(expr), false) => (expr, Place::Narrows),
            (Clause::Unless(expr), true) => (expr, Place::Other),
        };
        walk.expr(expr, place);
    }
    if !walk.problems.is_empty() {
        return Err(walk.problems);
    }
    Ok(Clauses {
        needs: walk.needs,
        resources: guard(template).map(|guard| guard.resources),
    })
}

/// What the truth of an expression does to the set of allowed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Truth can only permit more.
    Widens,
    /// Inside a forbid's `when`, where nothing can permit more than no forbid at all.
    Narrows,
    /// Either.
    Other,
}

impl Place {
    /// The place of a part whose truth does not carry over to the whole.
    fn inside(self) -> Self {
        match self {
            Self::Narrows => Self::Narrows,
            Self::Widens | Self::Other => Self::Other,
        }
    }
}

#[derive(Default)]
struct Walk {
    needs: Needs,
    problems: Vec<String>,
}

impl Walk {
    fn expr(&mut self, expr: &Expr, place: Place) {
        match expr {
            Expr::BinaryOp {
                op: BinaryOp::And | BinaryOp::Or,
                left,
                right,
            } => {
                self.expr(left, place);
                self.expr(right, place);
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => {
                self.expr(cond, place.inside());
                self.expr(then_expr, place);
                self.expr(else_expr, place);
            }
            // So many approvals or more: as true approval, it can only permit more.
            Expr::BinaryOp {
                op: BinaryOp::GreaterEq,
                left,
                right,
            } if is_context(left, "approvals") && matches!(**right, Expr::Literal(_)) => {
                self.expr(left, place);
            }
            Expr::BinaryOp { op, left, right } => {
                let by_id = matches!(op, BinaryOp::In | BinaryOp::Eq | BinaryOp::NotEq);
                if !(by_id && is_entity_var(left)) {
                    self.expr(left, place.inside());
                }
                self.expr(right, place.inside());
            }
            Expr::Is { expr, in_expr, .. } => {
                if !is_entity_var(expr) {
                    self.expr(expr, place.inside());
                }
                if let Some(within) = in_expr {
                    self.expr(within, place.inside());
                }
            }
            Expr::GetAttr { expr, attr } => match &**expr {
                Expr::Var(var) => self.attribute(var, attr, place),
                other => self.expr(other, place.inside()),
            },
            Expr::HasAttr { expr, attrs } => match &**expr {
                Expr::Var(var) => self.presence(var, attrs.first()),
                other => self.expr(other, place.inside()),
            },
            Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => {
                self.expr(expr, place.inside());
            }
            Expr::Set(items) => items.iter().for_each(|e| self.expr(e, place.inside())),
            Expr::Record(fields) => fields.values().for_each(|e| self.expr(e, place.inside())),
            Expr::Literal(Literal::EntityUID(uid)) => self.entity(&uid.ty.to_string()),
            Expr::Literal(_) => {}
            Expr::Var(var) => self.bare(var),
            // New kinds of expressions: nothing is known of them, so everything is built for them and
            // the whole is refused rather than misread.
            _ => self.problem(
                "uses an expression that this version does not know; write it another way",
            ),
        }
    }

    fn attribute(&mut self, var: &Var, attr: &str, place: Place) {
        self.need(var, attr);
        match (var, attr) {
            (Var::Context, "approval" | "approvals") if place != Place::Widens => {
                self.problem(&format!(
                    "uses `context.{attr}` where it could permit less or forbid more: write \
                     `context.approval` or `context.approvals >= 2` by itself, joined with `&&` or \
                     `||`, in `when` of a permit or in `unless` of a forbid"
                ));
            }
            (Var::Context, "invocation") if place != Place::Narrows => self.problem(
                "lets `context.invocation` permit something, but a client can claim any: use it only in \
                 `when` of a forbid",
            ),
            _ => {}
        }
    }

    fn presence(&mut self, var: &Var, attr: &str) {
        self.need(var, attr);
        let unasked = matches!(attr, "approval" | "approvals" | "invocation");
        if matches!(var, Var::Context) && unasked {
            self.problem(&format!(
                "asks whether there is a `context.{attr}`: use it without `has`; where it is absent the \
                 request is not allowed"
            ));
        }
    }

    fn bare(&mut self, var: &Var) {
        match var {
            Var::Context => {
                self.problem("uses `context` as a whole: name the field, as in `context.source`");
            }
            Var::Principal => self.needs = self.needs.and(Needs::PRINCIPAL),
            Var::Resource => self.needs = Needs::ALL,
            Var::Action => {}
        }
    }

    fn entity(&mut self, kind: &str) {
        if matches!(kind, "Object" | "NonResource" | "Subject" | "Ask") {
            self.problem(&format!(
                "names `{kind}::\"…\"`, but what a request is about has no id: compare attributes, as in \
                 `resource.name == \"web\"`"
            ));
        }
    }

    /// Unknown attributes are the validator's to refuse; until then everything is needed.
    fn need(&mut self, var: &Var, attr: &str) {
        let need = match var {
            Var::Principal => Some(Needs::PRINCIPAL),
            Var::Action => Some(Needs::NONE),
            Var::Resource => Needs::of("resource", attr),
            Var::Context => Needs::of("context", attr),
        };
        self.needs = self.needs.and(need.unwrap_or(Needs::ALL));
    }

    fn problem(&mut self, text: &str) {
        self.problems.push(text.to_owned());
    }
}

fn is_context(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::GetAttr { expr, attr }
        if matches!(**expr, Expr::Var(Var::Context)) && attr == name)
}

fn is_entity_var(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Var(Var::Principal | Var::Resource | Var::Action)
    )
}

/// The attributes that the clauses of a policy read.
pub(crate) fn needs(template: &Template) -> Needs {
    let mut walk = Walk::default();
    for clause in template.clauses() {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        walk.expr(expr, Place::Other);
    }
    walk.needs
}

/// A condition on the resource that makes a policy false by itself.
#[derive(Debug)]
pub(crate) struct Guard<'t> {
    /// The condition.
    pub(crate) expr: &'t Expr,
    /// The resources (`pods`) for which it is true.
    pub(crate) resources: Vec<String>,
}

/// The guard of a policy, if its first `when` begins with one.
///
/// INVARIANT: for every other resource the policy is false and cannot err, because what stands before
/// the condition cannot err. So leaving the policy out of the slice changes nothing.
pub(crate) fn guard(template: &Template) -> Option<Guard<'_>> {
    let Some(Clause::When(first)) = template.clauses().first() else {
        return None;
    };
    let mut parts = Vec::new();
    conjuncts(first, &mut parts);
    for expr in parts {
        if let Some(resources) = resource_names(expr) {
            return Some(Guard { expr, resources });
        }
        if !cannot_err(expr) {
            return None;
        }
    }
    None
}

/// The parts of `a && b && c`, in the order of evaluation.
pub(crate) fn conjuncts<'e>(expr: &'e Expr, parts: &mut Vec<&'e Expr>) {
    match expr {
        Expr::BinaryOp {
            op: BinaryOp::And,
            left,
            right,
        } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        other => parts.push(other),
    }
}

/// `resource.resource == "pods"` and `["pods", "services"].contains(resource.resource)`.
fn resource_names(expr: &Expr) -> Option<Vec<String>> {
    let Expr::BinaryOp { op, left, right } = expr else {
        return None;
    };
    match op {
        BinaryOp::Eq if is_resource_resource(left) => string(right).map(|name| vec![name]),
        BinaryOp::Eq if is_resource_resource(right) => string(left).map(|name| vec![name]),
        BinaryOp::Contains if is_resource_resource(right) => match &**left {
            Expr::Set(items) => items.iter().map(|item| string(item)).collect(),
            _ => None,
        },
        _ => None,
    }
}

fn is_resource_resource(expr: &Expr) -> bool {
    matches!(expr, Expr::GetAttr { expr, attr }
        if matches!(**expr, Expr::Var(Var::Resource)) && attr == "resource")
}

/// A literal string.
pub(crate) fn string(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// Conditions on what every object has.
fn cannot_err(expr: &Expr) -> bool {
    let always_there = |e: &Expr| match e {
        Expr::Literal(_) => true,
        Expr::Set(items) => items.iter().all(|i| matches!(**i, Expr::Literal(_))),
        Expr::GetAttr { expr, attr } => {
            matches!(**expr, Expr::Var(Var::Resource))
                && matches!(
                    attr.as_str(),
                    "cluster" | "apiGroup" | "resource" | "subresource"
                )
        }
        _ => false,
    };
    match expr {
        Expr::Is {
            expr,
            in_expr: None,
            ..
        } => matches!(**expr, Expr::Var(_)),
        Expr::HasAttr { expr, attrs } => matches!(**expr, Expr::Var(_)) && attrs.len() == 1,
        Expr::BinaryOp {
            op: BinaryOp::Eq | BinaryOp::NotEq | BinaryOp::Contains,
            left,
            right,
        } => always_there(left) && always_there(right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Clauses, Vec<String>> {
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        clauses(policy.to_pst().unwrap().body())
    }

    fn problems(text: &str) -> usize {
        of(text).err().map_or(0, |problems| problems.len())
    }

    #[test]
    fn approval_only_widens() {
        for good in [
            "forbid(principal, action, resource) unless { context.approval };",
            "forbid(principal, action, resource) unless { context.dryRun || context.approval };",
            "permit(principal, action, resource) when { context.assurance > 2 && context.approval };",
            "permit(principal, action, resource) when { if context.dryRun then true else context.approval };",
            "forbid(principal, action, resource) unless { context.approvals >= 2 };",
        ] {
            assert_eq!(problems(good), 0, "{good}");
        }
        for bad in [
            "forbid(principal, action, resource) when { context.approval };",
            "forbid(principal, action, resource) when { !context.approval };",
            "permit(principal, action, resource) unless { context.approval };",
            "permit(principal, action, resource) when { !context.approval };",
            "permit(principal, action, resource) when { context.approval == false };",
            "permit(principal, action, resource) when { if context.approval then false else true };",
            "permit(principal, action, resource) when { [context.approval].contains(false) };",
            "permit(principal, action, resource) when { context has approval };",
            "forbid(principal, action, resource) when { context.approvals >= 2 };",
            "forbid(principal, action, resource) unless { context.approvals < 2 };",
            "forbid(principal, action, resource) unless { 2 >= context.approvals };",
            "permit(principal, action, resource) when { context.approvals == 0 };",
        ] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
    }

    #[test]
    fn what_a_client_says_of_itself_only_forbids() {
        let good =
            "forbid(principal, action, resource) when { context.invocation.command like \"*x\" };";
        assert_eq!(problems(good), 0);
        for bad in [
            "permit(principal, action, resource) when { context.invocation.command == \"x\" };",
            "permit(principal, action, resource) unless { context.invocation.command == \"x\" };",
            "forbid(principal, action, resource) unless { context.invocation.command == \"x\" };",
            "forbid(principal, action, resource) when { context has invocation };",
            "forbid(principal, action, resource) when { context has invocation.command };",
        ] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
    }

    #[test]
    fn the_context_cannot_be_reached_round_the_rules() {
        for bad in [
            "permit(principal, action, resource) when { {x: context}.x has approval };",
            "permit(principal, action, resource) when { (if true then context else context).approval };",
            "permit(principal, action, resource) when { context == context };",
            "permit(principal, action, resource) when { resource == Object::\"x\" };",
            "permit(principal, action, resource) when { resource in [Object::\"x\"] };",
        ] {
            assert!(problems(bad) > 0, "{bad}");
        }
    }

    #[test]
    fn finds_the_resources_that_a_policy_is_for() {
        let of = |when: &str| {
            of(&format!(
                "forbid(principal, action, resource) when {{ {when} }};"
            ))
            .unwrap()
            .resources
        };
        let pods = Some(vec!["pods".to_owned()]);
        assert_eq!(of("resource.resource == \"pods\""), pods);
        assert_eq!(
            of("resource has name && \"pods\" == resource.resource"),
            pods
        );
        assert_eq!(
            of(
                "resource.apiGroup == \"\" && [\"pods\"].contains(resource.resource) && context.dryRun"
            ),
            pods
        );
        for any in [
            "resource.resource != \"pods\"",
            "resource.resource == \"pods\" || context.dryRun",
            // The first part could err for another resource, and an error denies.
            "context.now + 9223372036854775807 > 0 && resource.resource == \"pods\"",
            "resource has name && resource.name == \"x\" && resource.resource == \"pods\"",
        ] {
            assert_eq!(of(any), None, "{any}");
        }
    }

    #[test]
    fn reads_only_what_it_names() {
        let needs = of("permit(principal, action, resource) when { principal in Group::\"a\" && resource has name && context.source.isLoopback() };")
            .unwrap()
            .needs;
        assert_eq!(needs, Needs::NAME.and(Needs::SOURCE));
        let all =
            of("permit(principal, action, resource) when { [resource].contains(principal) };")
                .unwrap()
                .needs;
        assert!(all.has(Needs::ALL));
    }
}
