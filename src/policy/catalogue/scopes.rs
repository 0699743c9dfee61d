//! Finds an audience by how a caller spells it, and a declared scope by what was asked.

use std::collections::HashMap;

use super::{Audience, ScopeDeclaration};

/// Where a declared scope stands in the set: a number, the same for the set's whole life.
pub(in crate::policy) type ScopeIx = u32;

/// The scopes of one audience, by name; those with an open instance aside.
#[derive(Debug)]
pub(in crate::policy) struct ScopeTable {
    exact: HashMap<std::sync::Arc<str>, ScopeIx>,
    open: Vec<(ScopeDeclaration, ScopeIx)>,
}

/// What an asked scope is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Declared {
    /// By its own name.
    Exactly(ScopeIx),
    /// As an instance of an open one.
    InstanceOf(ScopeIx),
}

impl ScopeTable {
    /// Numbers the scopes of `audience` from `first` on, in their order.
    pub fn new(audience: &Audience, first: ScopeIx) -> Self {
        let mut table = Self { exact: HashMap::new(), open: Vec::new() };
        for (ix, scope) in (first..).zip(&audience.scopes) {
            if scope.is_open() {
                table.open.push((scope.clone(), ix));
            } else {
                table.exact.insert(scope.name.clone(), ix);
            }
        }
        table
    }

    /// The declaration that `scope` falls under; its own name comes first.
    pub fn find(&self, scope: &str) -> Option<Declared> {
        match self.exact.get(scope) {
            Some(ix) => Some(Declared::Exactly(*ix)),
            None => self.open.iter().find(|(open, _)| open.matches(scope)).map(|(_, ix)| Declared::InstanceOf(*ix)),
        }
    }
}
