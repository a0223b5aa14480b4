//! Choosing one of several at random, as kube-proxy does with iptables: the first of n by a chance of 1 in n, the next of
//! the rest by 1 in n - 1, and so on.

use nlink::netlink::nftables::{CmpOp, Expr, Generated, NumgenKind, Register, Rule};

/// The rule for one of so many that are still to choose from.
pub(super) fn one_of(rule: Rule, remaining: usize) -> Rule {
    match u32::try_from(remaining) {
        Ok(0 | 1) | Err(_) => rule,
        Ok(modulus) => rule
            .generate(Generated::Numgen { kind: NumgenKind::Random, modulus, offset: 0 })
            .expr(Expr::Cmp { sreg: Register::R0, op: CmpOp::Eq, data: 0_u32.to_ne_bytes().to_vec() }),
    }
}
