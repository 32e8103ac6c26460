//! Variables of the runtime, which no table names, found in the code of the functions that work with them.

use std::collections::BTreeSet;

use super::{GoBinary, code};
use crate::units::VirtAddr;

/// What a function refers to in a variable: offsets in it. The first is also where the variable's place is counted
/// from, so one that few other variables of the function would fit is the best.
pub(super) type Uses<'a> = (&'static str, &'a [u32]);

/// The one place that every function refers to as it does to the variable; none when they agree on no place, or on
/// more than one.
pub(super) fn agreed(binary: &GoBinary, uses: &[Uses<'_>]) -> Option<VirtAddr> {
    let mut agreed: Option<BTreeSet<u64>> = None;
    for (function, offsets) in uses {
        let referred: BTreeSet<u64> =
            code::references(binary, function).into_iter().map(|address| address.0).collect();
        let first = u64::from(offsets.first().copied().unwrap_or(0));
        let fits = |base: &u64| {
            offsets.iter().all(|offset| {
                base.checked_add(u64::from(*offset)).is_some_and(|address| referred.contains(&address))
            })
        };
        let bases = referred.iter().filter_map(|address| address.checked_sub(first)).filter(fits);
        let bases: BTreeSet<u64> = bases.filter(|base| base.is_multiple_of(8)).collect();
        agreed = Some(match agreed {
            None => bases,
            Some(agreed) => &agreed & &bases,
        });
    }
    match agreed.into_iter().flatten().collect::<Vec<_>>()[..] {
        [base] => Some(VirtAddr(base)),
        _ => None,
    }
}
