//! The rules, one file each.

mod block_beside_selector;
mod defined_twice;
mod duplicate_key;
mod empty_peer;
mod end_port_below_port;
mod end_port_with_named_port;
mod end_port_without_port;
mod except_outside_cidr;
mod invalid_cidr;
mod invalid_name;
mod invalid_policy_type;
mod invalid_port;
mod invalid_selector;
mod label_value_not_a_string;
mod legacy_cidr;
mod mistyped;
mod removed_api_version;
mod unknown_field;
mod unknown_protocol;

use super::Rule;

/// Every rule, by code.
pub const RULES: &[Rule] = &[
    unknown_field::RULE,
    duplicate_key::RULE,
    invalid_name::RULE,
    invalid_policy_type::RULE,
    empty_peer::RULE,
    block_beside_selector::RULE,
    invalid_cidr::RULE,
    except_outside_cidr::RULE,
    invalid_port::RULE,
    end_port_below_port::RULE,
    end_port_with_named_port::RULE,
    end_port_without_port::RULE,
    unknown_protocol::RULE,
    invalid_selector::RULE,
    label_value_not_a_string::RULE,
    defined_twice::RULE,
    removed_api_version::RULE,
    legacy_cidr::RULE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_in_order() {
        assert!(RULES.is_sorted_by(|a, b| a.code < b.code));
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
