//! What is left of a policy's condition once it is known who asks for what: the rest of the request stays open.
//!
//! Owns the substitution. What a part means that holds no unknown is said by Cedar's evaluator; only `&&`, `||`, `!` and `if`
//! are followed here, as Cedar's semantics has them. Never drops a part that could still fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{EntityUid, Policy};
use cedar_policy_core::ast::{
    self, BinaryOp, Context, EntityUIDEntry, Expr, ExprKind, Literal, Request, SlotEnv, UnaryOp, Var,
};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::catalogue::scopes::{Declared, ScopeIx};
use super::condition::head;
use super::schema::Words;
use super::set::PolicySet;
use super::world::{Principal, Target};
use crate::model::Scope;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    /// This scope, or this instance of an open one.
    Named(Arc<str>),
    /// An instance of this open scope that no policy names: all of them are alike but for their names.
    AnyOther(Arc<str>),
}

/// One workload and one scope in one set: where policies are weighed.
pub(crate) struct Seat<'a> {
    set: &'a PolicySet,
    workload: usize,
    principal: &'a Principal,
    declared: ScopeIx,
    target: &'a Target,
    /// The scope or instance; none where it stands for many.
    resource: Option<EntityUid>,
    /// Those of the set, with the instance where one is asked for.
    entities: Option<cedar_policy::Entities>,
}

/// A policy and what is left of it.
#[derive(Debug, Clone)]
pub(crate) struct Residual {
    /// The rule's place in [`PolicySet::rule_views`].
    pub rule: usize,
    pub left: Expr,
}

impl PolicySet {
    /// Where `workload` asks for `what` of `audience`; none where the set has no such workload or declares no such scope.
    pub(crate) fn seat(&self, workload: &str, audience: &str, what: &What) -> Option<Seat<'_>> {
        let (at, principal) = self.principal(workload)?;
        let target = self.target(audience)?;
        let seat = |declared, resource, entities| Seat {
            set: self,
            workload: at,
            principal,
            declared,
            target,
            resource,
            entities,
        };
        match what {
            What::Named(name) => match target.table.find(name)? {
                Declared::Exactly(ix) => Some(seat(ix, Some(self.scope(ix).uid.clone()), None)),
                Declared::InstanceOf(ix) => {
                    let scope = Scope::parse(name).ok()?;
                    let (uid, entities) = self.world().instance(principal, target, self.scope(ix), &scope).ok()?;
                    Some(seat(ix, Some(uid), Some(entities)))
                }
            },
            What::AnyOther(open) => {
                let at = self.targets().iter().position(|each| std::ptr::eq(each, target))?;
                let is_open = |ix: &usize| self.scopes()[*ix].target == at && self.scopes()[*ix].name == *open;
                let ix = (0..self.scopes().len()).find(is_open)?;
                Some(seat(ScopeIx::try_from(ix).ok()?, None, None))
            }
        }
    }

    /// The schema that policies of all these sets may be read by.
    pub(crate) fn schema_of<'a>(sets: impl Iterator<Item = &'a Self>) -> String {
        let kept: BTreeSet<&str> = sets.flat_map(|set| set.kept()).collect();
        let shared = Words::shared().ok();
        let wider = shared.and_then(|shared| shared.keeping(&kept).ok().flatten());
        wider.map_or_else(|| super::SCHEMA.to_owned(), |words| words.text().to_owned())
    }
}

impl Seat<'_> {
    /// The policies that can speak here, each with what is left of it; those that cannot apply are left out.
    pub fn residuals(&self) -> Vec<Residual> {
        let folder = self.folder(self.entities());
        let rules = self.set.slices().of(self.workload, self.declared).flat_map(|part| part.slice.rules.iter());
        let mut rules: Vec<usize> = rules.map(|ix| *ix as usize).collect();
        rules.sort_unstable();
        rules.dedup();
        let left = |rule: usize| Residual { rule, left: folder.policy(&self.set.rules()[rule].policy) };
        rules.into_iter().map(left).filter(|residual| !is(&residual.left, false)).collect()
    }

    /// What is left of another policy, here.
    pub fn left_of(&self, policy: &Policy) -> Expr {
        let named = self.set.named_by(policy).into_iter();
        let entities = self.entities.clone().map(|entities| self.set.world().naming(entities, named));
        match &entities {
            Some(Ok(entities)) => self.folder(entities).policy(policy),
            _ => self.folder(self.entities()).policy(policy),
        }
    }

    fn entities(&self) -> &cedar_policy::Entities {
        self.entities.as_ref().unwrap_or(&self.set.world().entities)
    }

    /// Every scope that a policy which can speak here writes out.
    pub fn written(&self) -> impl Iterator<Item = EntityUid> {
        let rules = self.set.slices().of(self.workload, self.declared).flat_map(|part| part.slice.rules.iter());
        rules.flat_map(|ix| self.set.rule(*ix).policy.entity_literals())
    }

    fn folder<'e>(&'e self, entities: &'e cedar_policy::Entities) -> Folder<'e> {
        let scope = self.set.scope(self.declared);
        let resource = self.resource.as_ref().map(|uid| ast::EntityUID::from(uid.clone()));
        let stands_for = resource.clone().unwrap_or_else(|| scope.uid.clone().into());
        let request = Request::new_unchecked(
            self.principal.entry.clone(),
            self.set.mint_entry().clone(),
            EntityUIDEntry::known(stands_for, None),
            Some(Context::empty()),
        );
        Folder {
            principal: self.principal.uid.clone().into(),
            action: self.set.mint().clone().into(),
            resource,
            open: scope.uid.clone().into(),
            audience: self.target.uid.clone().into(),
            evaluator: evaluator(request, entities.as_ref()),
        }
    }
}

fn evaluator(request: Request, entities: &Entities) -> Evaluator<'_> {
    Evaluator::new(request, entities, Extensions::all_available())
}

/// Whether the expression is this truth.
pub(crate) fn is(expr: &Expr, truth: bool) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(Literal::Bool(flag)) if *flag == truth)
}

struct Folder<'a> {
    principal: ast::EntityUID,
    action: ast::EntityUID,
    /// None: any instance of `open` that is written nowhere.
    resource: Option<ast::EntityUID>,
    open: ast::EntityUID,
    audience: ast::EntityUID,
    evaluator: Evaluator<'a>,
}

impl Folder<'_> {
    fn policy(&self, policy: &Policy) -> Expr {
        let whole: &ast::Policy = policy.as_ref();
        match whole.non_scope_constraints() {
            Some(body) => self.fold(&Expr::and(head(policy), body.clone())),
            None => self.fold(&head(policy)),
        }
    }

    fn fold(&self, expr: &Expr) -> Expr {
        match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => Expr::val(self.principal.clone()),
            ExprKind::Var(Var::Action) => Expr::val(self.action.clone()),
            ExprKind::Var(Var::Resource) => self.resource.clone().map_or_else(|| Expr::var(Var::Resource), Expr::val),
            ExprKind::And { left, right } => {
                let left = self.fold(left);
                match (is(&left, true), is(&left, false)) {
                    (true, _) => self.fold(right),
                    (_, true) => left,
                    _ => and(left, self.fold(right)),
                }
            }
            ExprKind::Or { left, right } => {
                let left = self.fold(left);
                match (is(&left, true), is(&left, false)) {
                    (true, _) => left,
                    (_, true) => self.fold(right),
                    _ => or(left, self.fold(right)),
                }
            }
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = self.fold(test_expr);
                match (is(&test, true), is(&test, false)) {
                    (true, _) => self.fold(then_expr),
                    (_, true) => self.fold(else_expr),
                    _ => Expr::ite(test, self.fold(then_expr), self.fold(else_expr)),
                }
            }
            _ => self.evaluated(self.of_any_other(self.with_parts_folded(expr))),
        }
    }

    fn with_parts_folded(&self, expr: &Expr) -> Expr {
        match expr.expr_kind() {
            ExprKind::UnaryApp { op, arg } => {
                let arg = self.fold(arg);
                match (op, is(&arg, true), is(&arg, false)) {
                    (UnaryOp::Not, true, _) => Expr::val(false),
                    (UnaryOp::Not, _, true) => Expr::val(true),
                    _ => Expr::unary_app(*op, arg),
                }
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => Expr::binary_app(*op, self.fold(arg1), self.fold(arg2)),
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                Expr::call_extension_fn(fn_name.clone(), args.iter().map(|arg| self.fold(arg)).collect())
            }
            ExprKind::GetAttr { expr, attr } => Expr::get_attr(self.fold(expr), attr.clone()),
            ExprKind::HasAttr { expr, attr } => Expr::has_attr(self.fold(expr), attr.clone()),
            ExprKind::ExtHasAttr { expr, attrs } => Expr::extended_has_attr(self.fold(expr), attrs.clone()),
            ExprKind::Like { expr, pattern } => Expr::like(self.fold(expr), pattern.clone()),
            ExprKind::Is { expr, entity_type } => Expr::is_entity_type(self.fold(expr), entity_type.clone()),
            ExprKind::Set(parts) => Expr::set(parts.iter().map(|part| self.fold(part))),
            ExprKind::Record(parts) => {
                let parts = parts.iter().map(|(name, part)| (name.clone(), self.fold(part)));
                // Names of a record are told apart already.
                Expr::record(parts).unwrap_or_else(|_| expr.clone())
            }
            _ => expr.clone(),
        }
    }

    /// What is the same for all instances of an open scope that no policy writes out.
    fn of_any_other(&self, expr: Expr) -> Expr {
        let is_resource = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Resource));
        let known = match expr.expr_kind() {
            ExprKind::GetAttr { expr, attr } if is_resource(expr) && attr == "audience" => {
                Some(Expr::val(self.audience.clone()))
            }
            ExprKind::Is { expr, entity_type } if is_resource(expr) => {
                Some(Expr::val(entity_type == self.open.entity_type()))
            }
            ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } if is_resource(arg1) => {
                named(arg2).map(|all| Expr::val(all.iter().any(|uid| ***uid == self.open || ***uid == self.audience)))
            }
            ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 }
                if (is_resource(arg1) && named(arg2).is_some()) || (is_resource(arg2) && named(arg1).is_some()) =>
            {
                Some(Expr::val(false))
            }
            ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } if is_resource(arg2) => {
                named(arg1).map(|_| Expr::val(false))
            }
            _ => None,
        };
        known.unwrap_or(expr)
    }

    /// What it comes to, where nothing of it is open. What fails stays: it fails for every request.
    fn evaluated(&self, expr: Expr) -> Expr {
        if matches!(expr.expr_kind(), ExprKind::Lit(_) | ExprKind::Var(_))
            || expr.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Var(_)))
        {
            return expr;
        }
        self.evaluator.interpret(&expr, &SlotEnv::new()).map_or(expr, Expr::from)
    }
}

/// `left && right`, where `right` is not dropped unless it is `true`: `left` may fail, and so may `right`.
fn and(left: Expr, right: Expr) -> Expr {
    if is(&right, true) { left } else { Expr::and(left, right) }
}

fn or(left: Expr, right: Expr) -> Expr {
    if is(&right, false) { left } else { Expr::or(left, right) }
}

/// The entities that an expression writes out: one, or a set of nothing else.
fn named(expr: &Expr) -> Option<Vec<&Arc<ast::EntityUID>>> {
    match expr.expr_kind() {
        ExprKind::Set(parts) => parts.iter().map(entity).collect(),
        _ => entity(expr).map(|uid| vec![uid]),
    }
}

fn entity(expr: &Expr) -> Option<&Arc<ast::EntityUID>> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => Some(uid),
        _ => None,
    }
}
