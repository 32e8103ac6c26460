//! How a capture keeps what has no text of its own: the wire's enumerations by their numbers, which stay what they
//! are, and histograms without their empty buckets.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracer_ebpf::wire::Probe;
use tracer_ebpf::wire::account::{Account, WaitKind};
use tracer_ebpf::wire::blocking::{BUCKETS, Caller, Kind};
use tracer_ebpf::wire::parking::Waker;

/// One of the wire's enumerations.
pub(crate) trait Numbered: Copy {
    fn number(self) -> u32;
    fn of_number(number: u32) -> Option<Self>;
}

macro_rules! numbered {
    ($($name:ty),*) => {
        $(impl Numbered for $name {
            fn number(self) -> u32 {
                self as u32
            }

            fn of_number(number: u32) -> Option<Self> {
                Self::from_number(number)
            }
        })*
    };
}

numbered!(Probe, Kind, Caller, Waker, WaitKind);

/// By its number.
pub(crate) mod by_number {
    use super::*;

    pub(crate) fn serialize<T: Numbered, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.number().serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Numbered, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let number = u32::deserialize(from)?;
        T::of_number(number)
            .ok_or_else(|| D::Error::custom(format!("the number {number} stands for nothing")))
    }
}

/// The buckets that hold something, each with its number.
pub(crate) mod histogram {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(buckets: &[u32], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(buckets.iter().enumerate().filter(|(_, count)| **count > 0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
        let mut buckets = vec![0; BUCKETS];
        for (index, count) in Vec::<(usize, u32)>::deserialize(from)? {
            *buckets.get_mut(index).ok_or_else(|| D::Error::custom("no such bucket"))? = count;
        }
        Ok(buckets)
    }
}

/// An account that may be unknown, field by field.
pub(crate) mod account {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Account")]
    struct Fields {
        on_cpu: u64,
        runnable: u64,
        blocked: [u64; WaitKind::ALL.len()],
        minor_faults: u64,
        major_faults: u64,
        syscalls: u64,
    }

    #[derive(Serialize, Deserialize)]
    struct Stored(#[serde(with = "Fields")] Account);

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(account: &Option<Account>, to: S) -> Result<S::Ok, S::Error> {
        account.map(Stored).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Account>, D::Error> {
        Ok(Option::<Stored>::deserialize(from)?.map(|Stored(account)| account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept {
        #[serde(with = "by_number")]
        probe: Probe,
        #[serde(with = "histogram")]
        histogram: Vec<u32>,
    }

    #[test]
    fn what_is_kept_comes_back() {
        let mut histogram = vec![0; BUCKETS];
        (histogram[3], histogram[127]) = (7, 1);
        let kept = Kept { probe: Probe::Summed, histogram };
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(text, r#"{"probe":22,"histogram":[[3,7],[127,1]]}"#);
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
    }

    #[test]
    fn what_stands_for_nothing_is_refused() {
        for text in [r#"{"probe":99,"histogram":[]}"#, r#"{"probe":1,"histogram":[[128,1]]}"#] {
            assert!(serde_json::from_str::<Kept>(text).is_err(), "{text}");
        }
    }
}
