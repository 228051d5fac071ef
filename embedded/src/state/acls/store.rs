//! The stored ACLs, and the decisions that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Filter, Operation, ResourceType};

const ALLOW: i8 = 3;
const DENY: i8 = 2;
pub(crate) const LITERAL: i8 = 3;
pub(crate) const PREFIXED: i8 = 4;
/// The wildcard for resources, for principals and for hosts.
pub(super) const WILDCARD: &str = "*";

/// The resource pattern of an ACL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    pub(crate) resource_type: i8,
    pub(crate) pattern_type: i8,
    pub(crate) name: String,
}

/// The access control entry of an ACL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

/// The client that is authorized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The principal name without `User:`.
    pub(crate) principal: &'a str,
    pub(crate) host: &'a str,
}

/// The decision if there is no ACL for a resource, and the super users.
#[derive(Debug, Default)]
pub(crate) struct Acls {
    /// Whether an authorizer is configured.
    enabled: bool,
    allow_without: bool,
    super_users: BTreeSet<String>,
    entries: BTreeMap<Pattern, BTreeSet<Entry>>,
}

/// The decision of the ACLs that were checked.
#[derive(Debug, Default)]
struct Verdict {
    found: bool,
    allowed: bool,
    denied: bool,
}

impl Acls {
    /// Reads the configuration. `super_users` is a list of principals, separated by semicolons.
    pub(crate) fn new(enabled: bool, allow_without: bool, super_users: &str) -> Self {
        let super_users = super_users.split(';').map(str::trim).filter(|user| !user.is_empty()).map(str::to_owned);
        Self { enabled, allow_without, super_users: super_users.collect(), entries: BTreeMap::new() }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn add(&mut self, pattern: Pattern, entry: Entry) {
        self.entries.entry(pattern).or_default().insert(entry);
    }

    /// Returns the ACLs that match a filter, by resource pattern.
    pub(crate) fn matching<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> impl Iterator<Item = (&'a Pattern, impl Iterator<Item = &'a Entry>)> {
        let of_pattern = self.entries.iter().filter(|(pattern, _)| filter.fits_pattern(pattern));
        of_pattern.map(|(pattern, entries)| (pattern, entries.iter().filter(|entry| filter.fits_entry(entry))))
    }

    /// Deletes the ACLs that match a filter.
    pub(crate) fn remove(&mut self, filter: &Filter) {
        for (_, entries) in self.entries.iter_mut().filter(|(pattern, _)| filter.fits_pattern(pattern)) {
            entries.retain(|entry| !filter.fits_entry(entry));
        }
        self.entries.retain(|_, entries| !entries.is_empty());
    }

    /// Returns whether a client may do this to the resource with this name. A DENY overrides every ALLOW.
    pub(crate) fn authorize(&self, who: Who<'_>, operation: Operation, kind: ResourceType, name: &str) -> bool {
        if !self.enabled || self.super_users.contains(&format!("User:{}", who.principal)) {
            return true;
        }
        let mut verdict = Verdict::default();
        self.judge(&mut verdict, who, operation, kind, LITERAL, name);
        for (end, _) in name.char_indices().chain([(name.len(), ' ')]) {
            self.judge(&mut verdict, who, operation, kind, PREFIXED, &name[..end]);
        }
        self.judge(&mut verdict, who, operation, kind, LITERAL, WILDCARD);
        match verdict {
            Verdict { denied: true, .. } => false,
            Verdict { allowed: true, .. } => true,
            Verdict { found, .. } => !found && self.allow_without,
        }
    }

    /// Returns whether there is any resource of this type that a client may do this to.
    pub(crate) fn authorize_any(&self, who: Who<'_>, operation: Operation, kind: ResourceType) -> bool {
        if self.authorize(who, operation, kind, "hardcode") {
            return true;
        }
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        for (pattern, entries) in &self.entries {
            if pattern.resource_type != kind as i8 {
                continue;
            }
            // Here, an operation is not implied by another operation.
            let same = |entry: &&Entry| [operation as i8, Operation::All as i8].contains(&entry.operation);
            for entry in entries.iter().filter(same).filter(|entry| concerns(entry, who)) {
                if entry.permission == DENY { denied.push(pattern) } else { allowed.push(pattern) }
            }
        }
        let covers = |deny: &Pattern, allow: &Pattern| match deny.pattern_type {
            PREFIXED => allow.name.starts_with(&deny.name),
            _ => deny.name == WILDCARD || (allow.pattern_type == LITERAL && deny.name == allow.name),
        };
        allowed.iter().any(|allow| !denied.iter().any(|deny| covers(deny, allow)))
    }

    fn judge(
        &self,
        verdict: &mut Verdict,
        who: Who<'_>,
        operation: Operation,
        kind: ResourceType,
        pattern_type: i8,
        name: &str,
    ) {
        let pattern = Pattern { resource_type: kind as i8, pattern_type, name: name.to_owned() };
        for entry in self.entries.get(&pattern).into_iter().flatten() {
            verdict.found = true;
            if !concerns(entry, who) {
                continue;
            }
            match entry.permission {
                DENY => verdict.denied |= [operation as i8, Operation::All as i8].contains(&entry.operation),
                _ => verdict.allowed |= entry.permission == ALLOW && implies(entry.operation, operation),
            }
        }
    }
}

fn concerns(entry: &Entry, who: Who<'_>) -> bool {
    let principal = entry.principal.strip_prefix("User:");
    principal.is_some_and(|principal| principal == WILDCARD || principal == who.principal)
        && (entry.host == WILDCARD || entry.host == who.host)
}

/// Returns whether one operation implies the other.
fn implies(allowed: i8, operation: Operation) -> bool {
    use Operation::*;
    let with_it: &[Operation] = match operation {
        Describe => &[Describe, Read, Write, Delete, Alter],
        DescribeConfigs => &[DescribeConfigs, AlterConfigs],
        _ => &[],
    };
    allowed == All as i8 || allowed == operation as i8 || with_it.iter().any(|with| *with as i8 == allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acls(given: &[(i8, &str, &str, Operation, i8)]) -> Acls {
        let mut acls = Acls::new(true, false, "User:root; User:admin");
        for (pattern_type, name, principal, operation, permission) in given {
            let pattern = Pattern {
                resource_type: ResourceType::Topic as i8,
                pattern_type: *pattern_type,
                name: (*name).to_owned(),
            };
            let entry = Entry {
                principal: (*principal).to_owned(),
                host: WILDCARD.to_owned(),
                operation: *operation as i8,
                permission: *permission,
            };
            acls.add(pattern, entry);
        }
        acls
    }

    fn may(acls: &Acls, principal: &str, operation: Operation, name: &str) -> bool {
        acls.authorize(Who { principal, host: "127.0.0.1" }, operation, ResourceType::Topic, name)
    }

    #[test]
    fn one_that_denies_outweighs_those_that_allow() {
        let acls = acls(&[
            (PREFIXED, "or", "User:a", Operation::Read, ALLOW),
            (LITERAL, "*", "User:*", Operation::Write, ALLOW),
            (LITERAL, "orders", "User:a", Operation::Write, DENY),
        ]);
        assert!(may(&acls, "a", Operation::Read, "orders"));
        assert!(may(&acls, "a", Operation::Describe, "orders"), "who reads may describe");
        assert!(!may(&acls, "a", Operation::Write, "orders"));
        assert!(may(&acls, "b", Operation::Write, "orders"));
        assert!(!may(&acls, "b", Operation::Read, "orders"));
        assert!(may(&acls, "root", Operation::Alter, "anything"));
    }

    #[test]
    fn without_an_acl_a_setting_decides() {
        let mut acls = acls(&[(LITERAL, "t", "User:a", Operation::Read, ALLOW)]);
        assert!(!may(&acls, "b", Operation::Read, "other"));
        acls.allow_without = true;
        assert!(may(&acls, "b", Operation::Read, "other"));
        assert!(!may(&acls, "b", Operation::Read, "t"));
    }

    #[test]
    fn any_resource_will_do_that_is_not_denied() {
        let writes = |given: &[(i8, &str, &str, Operation, i8)]| {
            acls(given).authorize_any(Who { principal: "a", host: "h" }, Operation::Write, ResourceType::Topic)
        };
        let allow = (PREFIXED, "or", "User:a", Operation::Write, ALLOW);
        assert!(writes(&[allow]));
        assert!(!writes(&[allow, (PREFIXED, "o", "User:*", Operation::Write, DENY)]));
        assert!(writes(&[allow, (LITERAL, "or", "User:a", Operation::Write, DENY)]));
        assert!(!writes(&[(LITERAL, "or", "User:a", Operation::Read, ALLOW)]));
    }
}
