//! The maps of sums that user space reads, opened.

use aya::maps::{Array, HashMap, MapData};
use tracer_ebpf::wire::gc::{ASSISTS_MAP, AssistKey, AssistStats};
use tracer_ebpf::wire::parking::{self, PARKED_MAP, PARKINGS_MAP, SAMPLING_MAP, SPENT_MAP};

use super::load::{LoadError, Loaded};

/// The maps of the goroutines that do not run, as words.
pub struct ParkingMaps {
    /// From a `Key` to its `Stats`.
    pub totals: HashMap<MapData, ParkKeyWords, ParkStatsWords>,
    /// From a goroutine's id to its `Parked`.
    pub parked: HashMap<MapData, u64, ParkedWords>,
    /// At 0, the bits of a goroutine's id of which it must have none to be followed.
    pub sampling: Array<MapData, u64>,
    /// At 0, what the handlers took, in nanoseconds.
    pub spent: Array<MapData, u64>,
}

/// The words of a `parking::Key`.
pub type ParkKeyWords = [u64; size_of::<parking::Key>() / size_of::<u64>()];
/// The words of a `parking::Stats`.
pub type ParkStatsWords = [u64; size_of::<parking::Stats>() / size_of::<u64>()];
/// The words of a `parking::Parked`.
pub type ParkedWords = [u64; size_of::<parking::Parked>() / size_of::<u64>()];

impl Loaded {
    /// The maps of the goroutines that do not run; once.
    ///
    /// # Errors
    /// When the object has none, or they were taken before.
    pub fn take_parking(&mut self) -> Result<ParkingMaps, LoadError> {
        let mut take = |map| self.ebpf.take_map(map).ok_or(LoadError::Part(map));
        let opened = |map: &'static str| move |source| LoadError::Map { map, source };
        Ok(ParkingMaps {
            totals: HashMap::try_from(take(PARKINGS_MAP)?).map_err(opened(PARKINGS_MAP))?,
            parked: HashMap::try_from(take(PARKED_MAP)?).map_err(opened(PARKED_MAP))?,
            sampling: Array::try_from(take(SAMPLING_MAP)?).map_err(opened(SAMPLING_MAP))?,
            spent: Array::try_from(take(SPENT_MAP)?).map_err(opened(SPENT_MAP))?,
        })
    }
}

/// The map of who was made to help with marking, as words: from an `AssistKey` to its `AssistStats`.
pub type AssistsMap = HashMap<MapData, AssistKeyWords, AssistStatsWords>;

/// The words of an `AssistKey`.
pub type AssistKeyWords = [u64; size_of::<AssistKey>() / size_of::<u64>()];
/// The words of an `AssistStats`.
pub type AssistStatsWords = [u64; size_of::<AssistStats>() / size_of::<u64>()];

impl Loaded {
    /// The map of who was made to help with marking; once.
    ///
    /// # Errors
    /// When the object has none, or it was taken before.
    pub fn take_assists(&mut self) -> Result<AssistsMap, LoadError> {
        let map = self.ebpf.take_map(ASSISTS_MAP).ok_or(LoadError::Part(ASSISTS_MAP))?;
        HashMap::try_from(map).map_err(|source| LoadError::Map { map: ASSISTS_MAP, source })
    }
}
