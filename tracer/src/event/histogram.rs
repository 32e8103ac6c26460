//! How a capture keeps a histogram: most of its buckets are empty.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use tracer_ebpf::wire::blocking::BUCKETS;

/// The buckets that hold something, each with its number.
pub(super) fn serialize<S: Serializer>(buckets: &[u32], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(buckets.iter().enumerate().filter(|(_, count)| **count > 0))
}

/// The same back.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    let mut buckets = vec![0; BUCKETS];
    for (index, count) in Vec::<(usize, u32)>::deserialize(from)? {
        *buckets.get_mut(index).ok_or_else(|| D::Error::custom("no such bucket"))? = count;
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<u32>);

    #[test]
    fn a_histogram_comes_back() {
        let mut histogram = vec![0; BUCKETS];
        (histogram[3], histogram[127]) = (7, 1);
        let text = serde_json::to_string(&Kept(histogram.clone())).unwrap();
        assert_eq!(text, "[[3,7],[127,1]]");
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), Kept(histogram));
        assert!(serde_json::from_str::<Kept>("[[128,1]]").is_err());
    }
}
