//! Records one after the other, and how many were none.

use super::{Event, decode};
use crate::stream::RawRecord;

/// Decodes what comes.
#[derive(Debug, Default)]
pub struct Decoder {
    /// How many records were of no known kind.
    pub undecodable: u64,
}

impl Decoder {
    /// What the record says; none of what is of no known kind, which is counted.
    pub fn decode(&mut self, RawRecord(bytes): &RawRecord) -> Option<Event> {
        decode(bytes)
            .inspect_err(|error| {
                tracing::warn!("{error}");
                self.undecodable += 1;
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_no_record_is_counted_and_passed_over() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&RawRecord(Bytes::from_static(b"short"))), None);
        assert_eq!(decoder.undecodable, 1);
    }
}
