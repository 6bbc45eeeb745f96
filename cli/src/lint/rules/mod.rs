//! The rules, one file each.

/// Declares a rule, with its doc comment as its page too.
macro_rules! rule {
    (
        $(#[doc = $line:literal])*
        pub(super) const RULE: Rule = Rule { $($fields:tt)* };
    ) => {
        $(#[doc = $line])*
        pub(super) const RULE: Rule = Rule {
            page: concat!($($line, "\n"),*),
            $($fields)*
        };
    };
}

mod allow_all;
mod api_server_blocked;
mod audited_policy;
mod block_beside_selector;
mod block_of_pods;
mod conjunction_matches_no_pod;
mod controller_not_selected;
mod cut_off;
mod defined_twice;
mod deny_all;
mod dependency_blocked;
mod dns_missing;
mod dns_one_protocol;
mod duplicate_entry;
mod duplicate_key;
mod egress_rules_without_type;
mod empty_egress_without_type;
mod empty_list_means_all;
mod empty_peer;
mod end_port_below_port;
mod end_port_with_named_port;
mod end_port_without_port;
mod every_namespace;
mod everyone_by_address;
mod except_is_no_deny;
mod except_outside_cidr;
mod foreign_policy;
mod half_open;
mod hidden_client;
mod host_bits;
mod host_network_peer;
mod ingress_backend_blocked;
mod ingress_rules_without_type;
mod invalid_cidr;
mod invalid_name;
mod invalid_policy_type;
mod invalid_port;
mod invalid_selector;
mod job_forgotten;
mod label_in_other_namespace;
mod label_value_not_a_string;
mod legacy_cidr;
mod matches_no_namespace;
mod members_apart;
mod metadata_service;
mod mistyped;
mod monitor_blocked;
mod moot_default_deny;
mod name_against_meaning;
mod named_port_absent;
mod named_port_differs;
mod named_port_protocol;
mod named_port_to_block;
mod namespace_by_name;
mod namespace_missing;
mod near_miss_label;
mod negative_namespace_selector;
mod no_default_deny;
mod no_policy;
mod node_dns_cache;
mod not_isolated;
mod one_family_only;
mod peer_matches_no_pod;
mod plugin_support;
mod plugin_without_policies;
mod policy_types_omitted;
mod port_without_protocol;
mod protocol_without_port;
mod redundant_policy;
mod redundant_rule;
mod redundant_selector;
mod removed_api_version;
mod selects_host_network;
mod selects_no_pod;
mod sensitive_port;
mod service_address;
mod service_port;
mod special_address;
mod split_peer;
mod split_rule;
mod subsumed_rule;
mod trusted_label;
mod undeclared_port;
mod unknown_field;
mod unknown_mode;
mod unknown_protocol;
mod unlike_replicas;
mod unreachable_service;
mod unsatisfiable_selector;
mod useless_except;
mod useless_ignore;
mod vacuous_policies;
mod webhook_blocked;
mod whole_namespace;
mod wide_port_range;
mod widened_rule;
mod written_block;
mod wrong_direction;
mod wrong_namespace;
mod zero_prefix;

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
    ingress_rules_without_type::RULE,
    egress_rules_without_type::RULE,
    policy_types_omitted::RULE,
    empty_egress_without_type::RULE,
    wrong_direction::RULE,
    allow_all::RULE,
    empty_list_means_all::RULE,
    split_peer::RULE,
    split_rule::RULE,
    every_namespace::RULE,
    label_in_other_namespace::RULE,
    port_without_protocol::RULE,
    protocol_without_port::RULE,
    unsatisfiable_selector::RULE,
    negative_namespace_selector::RULE,
    host_bits::RULE,
    zero_prefix::RULE,
    useless_except::RULE,
    everyone_by_address::RULE,
    one_family_only::RULE,
    except_is_no_deny::RULE,
    block_of_pods::RULE,
    service_address::RULE,
    special_address::RULE,
    metadata_service::RULE,
    named_port_to_block::RULE,
    duplicate_entry::RULE,
    subsumed_rule::RULE,
    sensitive_port::RULE,
    wide_port_range::RULE,
    deny_all::RULE,
    name_against_meaning::RULE,
    namespace_missing::RULE,
    plugin_support::RULE,
    whole_namespace::RULE,
    redundant_selector::RULE,
    selects_no_pod::RULE,
    peer_matches_no_pod::RULE,
    matches_no_namespace::RULE,
    conjunction_matches_no_pod::RULE,
    near_miss_label::RULE,
    namespace_by_name::RULE,
    named_port_absent::RULE,
    named_port_protocol::RULE,
    named_port_differs::RULE,
    undeclared_port::RULE,
    service_port::RULE,
    unreachable_service::RULE,
    ingress_backend_blocked::RULE,
    webhook_blocked::RULE,
    monitor_blocked::RULE,
    dns_missing::RULE,
    dns_one_protocol::RULE,
    node_dns_cache::RULE,
    selects_host_network::RULE,
    host_network_peer::RULE,
    half_open::RULE,
    dependency_blocked::RULE,
    cut_off::RULE,
    not_isolated::RULE,
    no_default_deny::RULE,
    no_policy::RULE,
    redundant_policy::RULE,
    redundant_rule::RULE,
    vacuous_policies::RULE,
    moot_default_deny::RULE,
    widened_rule::RULE,
    unlike_replicas::RULE,
    api_server_blocked::RULE,
    job_forgotten::RULE,
    hidden_client::RULE,
    trusted_label::RULE,
    wrong_namespace::RULE,
    members_apart::RULE,
    controller_not_selected::RULE,
    plugin_without_policies::RULE,
    foreign_policy::RULE,
    useless_ignore::RULE,
    unknown_mode::RULE,
    audited_policy::RULE,
];

/// The codes of rules that run only when they are selected by their whole code.
pub(super) const ON_DEMAND: &[&str] = &[deny_all::RULE.code];

/// What reports ignores that ignore nothing.
pub(super) const USELESS_IGNORE: &Rule = &useless_ignore::RULE;

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
