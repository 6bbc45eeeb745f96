//! Statements as nft's JSON, through the `nftables` crate's types.

use nftables::expr::{
    BinaryOperation, CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Range,
    SetItem,
};
use nftables::stmt::{
    Counter, JumpTarget, Limit, Log, LogLevel, Mangle, Match, Operator, Reject, RejectType,
    Statement as NftStatement, VerdictMap,
};
use nftables::types::RejectCode;

use crate::names::Name;
use crate::statement::{Field, LogTarget, NEIGHBOUR_TYPES, Statement, icmp_name};

/// TCP's flags.
const SYN: u32 = 0x02;
const FIN_SYN_RST_ACK: u32 = 0x17;

/// The statement as the crate writes it.
pub(crate) fn to_nft(statement: &Statement) -> NftStatement<'_> {
    match statement {
        Statement::InSet { fields, set } => {
            compare(Operator::EQ, concatenation(fields), reference(set))
        }
        Statement::CtEstablished => {
            let states = vec![text("established"), text("related")];
            compare(Operator::IN, conntrack("state"), Expression::List(states))
        }
        Statement::CtNew => compare(Operator::IN, conntrack("state"), text("new")),
        Statement::TcpNotSyn => {
            let flags = and(payload("tcp", "flags"), FIN_SYN_RST_ACK);
            compare(Operator::NEQ, flags, Expression::Number(SYN))
        }
        Statement::PortIn { field, ports } => {
            let ends = [ports.first(), ports.last()];
            let range = ends.map(|port| Expression::Number(port.into()));
            let range = Expression::Range(Box::new(Range { range }));
            compare(Operator::EQ, expression(*field), range)
        }
        Statement::CtRelated => compare(Operator::IN, conntrack("state"), text("related")),
        Statement::CtNotRelated => compare(Operator::NEQ, conntrack("state"), text("related")),
        Statement::Icmp(family) => compare(
            Operator::EQ,
            expression(Field::L4Proto),
            text(icmp_name(*family)),
        ),
        Statement::CtReply => compare(Operator::EQ, conntrack("direction"), text("reply")),
        Statement::CtMarkIn { mask, set } => {
            compare(Operator::EQ, and(conntrack("mark"), *mask), reference(set))
        }
        Statement::CtMarkSet { mask, value } => {
            let kept = and(conntrack("mark"), !mask);
            let either = BinaryOperation::OR(vec![kept, Expression::Number(*value)]);
            let value = Expression::BinaryOperation(Box::new(either));
            NftStatement::Mangle(Mangle {
                key: conntrack("mark"),
                value,
            })
        }
        Statement::Icmpv6Neighbour => {
            let types = NEIGHBOUR_TYPES.map(|name| SetItem::Element(text(name)));
            let set = Expression::Named(NamedExpression::Set(types.into()));
            compare(Operator::EQ, payload("icmpv6", "type"), set)
        }
        Statement::Limit(rate) => NftStatement::Limit(Limit {
            rate: rate.per_second,
            rate_unit: None,
            per: Some("second".into()),
            burst: Some(rate.burst),
            burst_unit: None,
            inv: None,
        }),
        Statement::Log { prefix, target } => {
            let (group, level) = match target {
                LogTarget::Kernel => (None, Some(LogLevel::Info)),
                LogTarget::Nflog(group) => (Some(u32::from(*group)), None),
            };
            NftStatement::Log(Some(Log {
                prefix: Some(prefix.as_ref().into()),
                level,
                ..Log::new(group)
            }))
        }
        Statement::Counter(name) => NftStatement::Counter(Counter::Named(name.as_str().into())),
        Statement::Vmap { field, map } => NftStatement::VerdictMap(VerdictMap {
            key: expression(*field),
            data: reference(map),
        }),
        Statement::Jump(chain) => NftStatement::Jump(target(chain)),
        Statement::Goto(chain) => NftStatement::Goto(target(chain)),
        Statement::Return => NftStatement::Return(None),
        Statement::Accept => NftStatement::Accept(None),
        Statement::Drop => NftStatement::Drop(None),
        Statement::Reject => NftStatement::Reject(Some(Reject::new(
            Some(RejectType::ICMPX),
            Some(RejectCode::AdminProhibited),
        ))),
    }
}

fn compare<'a>(op: Operator, left: Expression<'a>, right: Expression<'a>) -> NftStatement<'a> {
    NftStatement::Match(Match { left, right, op })
}

fn concatenation(fields: &[Field]) -> Expression<'_> {
    match fields {
        [field] => expression(*field),
        fields => Expression::Named(NamedExpression::Concat(
            fields.iter().map(|field| expression(*field)).collect(),
        )),
    }
}

fn expression(field: Field) -> Expression<'static> {
    match field {
        Field::IpSaddr => payload("ip", "saddr"),
        Field::IpDaddr => payload("ip", "daddr"),
        Field::Ip6Saddr => payload("ip6", "saddr"),
        Field::Ip6Daddr => payload("ip6", "daddr"),
        Field::ThSport => payload("th", "sport"),
        Field::ThDport => payload("th", "dport"),
        Field::L4Proto => Expression::Named(NamedExpression::Meta(Meta {
            key: MetaKey::L4proto,
        })),
    }
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn conntrack(key: &'static str) -> Expression<'static> {
    let key = key.into();
    Expression::Named(NamedExpression::CT(CT {
        key,
        family: None,
        dir: None,
    }))
}

fn and(left: Expression<'_>, mask: u32) -> Expression<'_> {
    Expression::BinaryOperation(Box::new(BinaryOperation::AND(
        left,
        Expression::Number(mask),
    )))
}

fn text(word: &'static str) -> Expression<'static> {
    Expression::String(word.into())
}

fn reference(name: &Name) -> Expression<'static> {
    Expression::String(format!("@{name}").into())
}

fn target(chain: &Name) -> JumpTarget<'_> {
    JumpTarget {
        target: chain.as_str().into(),
    }
}
