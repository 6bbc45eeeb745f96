//! A kernel in memory, with the rules of the real one, for tests without root.
//!
//! It is stricter where the real one is lax: it refuses every overlap in an interval set.

use std::collections::{BTreeMap, VecDeque};

use crate::fake_table::carry_out;
use crate::generation::MarkBits;
use crate::in_force::InForce;
use crate::kernel::{ApplyError, Kernel};
use crate::names::Name;
use crate::ruleset::Ruleset;
use crate::transaction::Transaction;

/// Tables in memory, and a record of what was done to them.
#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    tables: BTreeMap<Name, Ruleset>,
    applied: Vec<Transaction>,
    cleared: Vec<MarkBits>,
    waits: Vec<usize>,
    failures: VecDeque<Option<Failure>>,
    fails_to_clear: Option<ApplyError>,
}

/// How an apply fails.
#[derive(Debug, Clone)]
enum Failure {
    /// Nothing is carried out.
    Refused(ApplyError),
    /// All is carried out, and nobody hears of it.
    Unheard(ApplyError),
}

impl FakeKernel {
    /// A kernel without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `nth` apply from now fail, counted from 1, whatever it is about.
    pub fn fail(&mut self, nth: usize, error: ApplyError) {
        self.order(nth, Failure::Refused(error));
    }

    /// The same with a transaction that is carried out all the same, as when the kernel's answer is lost.
    pub fn fail_unheard(&mut self, nth: usize, error: ApplyError) {
        self.order(nth, Failure::Unheard(error));
    }

    /// Makes the next clearing of marks fail.
    pub fn fail_to_clear(&mut self, error: ApplyError) {
        self.fails_to_clear = Some(error);
    }

    /// Takes back what was ordered to fail and did not come to pass.
    pub fn fail_no_more(&mut self) {
        self.failures.clear();
        self.fails_to_clear = None;
    }

    fn order(&mut self, nth: usize, ordered: Failure) {
        if self.failures.len() < nth {
            self.failures.resize(nth, None);
        }
        let index = nth.checked_sub(1);
        if let Some(failure) = index.and_then(|index| self.failures.get_mut(index)) {
            *failure = Some(ordered);
        }
    }

    /// The contents of a table.
    pub fn table(&self, name: &Name) -> Option<&Ruleset> {
        self.tables.get(name)
    }

    /// The transactions that were carried out, in order.
    pub fn applied(&self) -> &[Transaction] {
        &self.applied
    }

    /// The marks that were cleared, in order.
    pub fn cleared(&self) -> &[MarkBits] {
        &self.cleared
    }

    /// For each wait for packets, how many transactions were carried out before it.
    pub fn waits(&self) -> &[usize] {
        &self.waits
    }

    fn outcome(&self, transaction: &Transaction) -> Result<Option<Ruleset>, ApplyError> {
        carry_out(self.tables.get(&transaction.table).cloned(), transaction)
            .map_err(|stderr| ApplyError::Refused { stderr })
    }
}

impl Kernel for FakeKernel {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let failure = self.failures.pop_front().flatten();
        if let Some(Failure::Refused(error)) = failure {
            return Err(error);
        }
        match self.outcome(transaction)? {
            Some(table) => self.tables.insert(transaction.table.clone(), table),
            None => self.tables.remove(&transaction.table),
        };
        self.applied.push(transaction.clone());
        match failure {
            Some(Failure::Unheard(error)) => Err(error),
            Some(Failure::Refused(_)) | None => Ok(()),
        }
    }

    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.outcome(transaction).map(|_| ())
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        Ok(self.tables.get(table).map(InForce::of))
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        Ok(self.list(table)?.map(InForce::without_elements))
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        if let Some(error) = self.fails_to_clear.take() {
            return Err(error);
        }
        self.cleared.push(bits);
        Ok(())
    }

    fn let_packets_through(&mut self) {
        self.waits.push(self.applied.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Element, Key};
    use crate::statement::{Field, Rule};
    use crate::transaction::{Object, Target};
    use crate::value::{AddressRange, Family};
    use crate::vocabulary::{accept, in_set, jump};

    fn table() -> Name {
        Name::table("nopal").unwrap()
    }

    fn apply(kernel: &mut FakeKernel, write: impl FnOnce(&mut Transaction)) -> Result<(), String> {
        let mut transaction = Transaction::new(table());
        write(&mut transaction);
        kernel.apply(&transaction).map_err(|error| match error {
            ApplyError::Refused { stderr } => stderr,
            other => other.to_string(),
        })
    }

    fn chain(name: &str) -> Object {
        Object::Chain {
            name: Name::fixed(name),
            priority: None,
        }
    }

    fn rule(chain: &str, rule: Rule) -> Object {
        Object::Rule {
            chain: Name::fixed(chain),
            rule,
        }
    }

    fn addresses(name: &str, ranges: &[(&str, u8)]) -> [Object; 2] {
        let (set, key) = (Name::fixed(name), Key::Address(Family::V4));
        let range = |(address, length): &(&str, u8)| {
            let range = AddressRange::prefix(address.parse().unwrap(), *length).unwrap();
            Element::Address(range)
        };
        let elements = ranges.iter().map(range).collect();
        [
            Object::Set {
                name: set.clone(),
                key,
                interval: true,
            },
            Object::Elements { set, elements },
        ]
    }

    fn kernel() -> FakeKernel {
        let mut kernel = FakeKernel::new();
        apply(&mut kernel, |t| {
            t.add(Object::Table);
            t.create(chain("a"));
            t.create(chain("b"));
            t.add(rule("a", Rule::new([jump(&Name::fixed("b"))])));
        })
        .unwrap();
        kernel
    }

    #[test]
    fn without_a_table_nothing_can_be_made() {
        let result = apply(&mut FakeKernel::new(), |t| t.create(chain("a")));
        assert_eq!(result.unwrap_err(), "no such table: nopal");
    }

    #[test]
    fn what_is_there_cannot_be_created_and_what_is_not_cannot_be_deleted() {
        let mut kernel = kernel();
        assert_eq!(
            apply(&mut kernel, |t| t.create(chain("a"))).unwrap_err(),
            "chain a exists"
        );
        apply(&mut kernel, |t| t.add(chain("a"))).unwrap();
        let missing = apply(&mut kernel, |t| t.delete(Target::Chain(Name::fixed("c"))));
        assert_eq!(missing.unwrap_err(), "no such chain: c");
    }

    #[test]
    fn what_a_rule_mentions_must_be_there_and_stay() {
        let mut kernel = kernel();
        let jump_to_nothing = Rule::new([jump(&Name::fixed("c"))]);
        let dangling = apply(&mut kernel, |t| t.add(rule("a", jump_to_nothing)));
        assert_eq!(
            dangling.unwrap_err(),
            "chain a mentions chain c, which does not exist"
        );
        let set = Rule::new([in_set([Field::IpSaddr], &Name::fixed("s")), accept()]);
        let dangling = apply(&mut kernel, |t| t.add(rule("a", set)));
        assert_eq!(
            dangling.unwrap_err(),
            "chain a mentions set s, which does not exist"
        );
        let delete_b = Target::Chain(Name::fixed("b"));
        assert!(apply(&mut kernel, |t| t.delete(delete_b.clone())).is_err());
        apply(&mut kernel, |t| {
            t.flush_chain(Name::fixed("a"));
            t.delete(delete_b);
        })
        .unwrap();
    }

    #[test]
    fn a_refused_transaction_changes_nothing() {
        let mut kernel = kernel();
        let before = kernel.table(&table()).cloned();
        let result = apply(&mut kernel, |t| {
            t.create(chain("c"));
            t.create(chain("a"));
        });
        assert!(result.is_err());
        assert_eq!(kernel.table(&table()).cloned(), before);
    }

    #[test]
    fn elements_of_an_interval_set_do_not_overlap() {
        let mut kernel = kernel();
        let [set, elements] = addresses("s", &[("10.0.0.0", 8), ("11.0.0.0", 8)]);
        apply(&mut kernel, |t| {
            t.create(set);
            t.add(elements.clone());
        })
        .unwrap();
        apply(&mut kernel, |t| t.add(elements)).unwrap();
        let [_, inside] = addresses("s", &[("10.1.0.0", 16)]);
        assert_eq!(
            apply(&mut kernel, |t| t.add(inside)).unwrap_err(),
            "set s: 10.0.0.0/8 and 10.1.0.0/16 overlap"
        );
    }

    #[test]
    fn jumps_go_15_deep() {
        let mut kernel = FakeKernel::new();
        let name = |number: usize| Name::fixed(format!("c{number}"));
        let deep = |t: &mut Transaction, depth: usize| {
            t.add(Object::Table);
            for number in 0..=depth {
                t.add(Object::Chain {
                    name: name(number),
                    priority: (number == 0).then_some(0),
                });
            }
            for number in 0..depth {
                let rule = Rule::new([jump(&name(number + 1))]);
                t.add(Object::Rule {
                    chain: name(number),
                    rule,
                });
            }
        };
        apply(&mut kernel.clone(), |t| deep(t, 15)).unwrap();
        let error = apply(&mut kernel, |t| deep(t, 16)).unwrap_err();
        assert_eq!(error, "chain c0: too many links");
    }

    #[test]
    fn an_apply_fails_on_demand() {
        let mut kernel = kernel();
        let refused = ApplyError::Refused {
            stderr: "on demand".to_owned(),
        };
        kernel.fail(2, refused);
        apply(&mut kernel, |t| t.create(chain("c"))).unwrap();
        assert_eq!(
            apply(&mut kernel, |t| t.create(chain("d"))).unwrap_err(),
            "on demand"
        );
        apply(&mut kernel, |t| t.create(chain("d"))).unwrap();
    }
}
