//! What the process has allocated, added up from the counters that Go's allocator always keeps
//! (runtime/mstats.go, `heapStats`; mcache.go): what the Ps' caches have handed in, and what is still in them.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_ebpf::{
    config::{GENERATIONS, HeapConfig, LARGEST_DELTA, SIZE_CLASSES, SPAN_CLASSES},
    main_thread::MainThread,
    wire::{
        Probe,
        startup::{Cookie, Heap},
    },
};

use super::{
    maps::{HEAP, HEAP_SCRATCH},
    memory::read,
    opaque::opaque,
};

/// `heapStats.stats` lies in two pages at most; the verifier asks for room as if it were twice as long.
const STATS: usize = 2 * GENERATIONS * LARGEST_DELTA;
const PAGE: u64 = 4096;

/// Room for what is read.
#[repr(C)]
pub(super) struct Scratch {
    stats: [u64; STATS / 8],
    /// `mcache.tinyAllocs` and `mcache.alloc`
    cache: [u64; 1 + SPAN_CLASSES],
    /// A `mspan`'s counters.
    span: [u64; 2],
    /// 1 once the second page of the statistics was there.
    has_second_page: u64,
    /// The sums so far.
    sum: Heap,
    /// What came out.
    heap: Heap,
    /// Nothing ever writes it.
    zero: u64,
}

/// The probes at which an init begins or ends.
const BOUNDARIES: u64 = 1 << Probe::Init as u32 | 1 << Probe::GcEnable as u32 | 1 << Probe::MainMain as u32;

/// What had been allocated when the thread with these ids reached the site, if that is wanted there and can be had.
#[inline(always)]
pub(super) fn at(main: &MainThread, ids: u64, cookie: Cookie, ip: u64) -> Heap {
    // One test and not three: the verifier would follow each of them through all of the sum.
    if HEAP.load().heap_stats == 0 || BOUNDARIES >> (cookie.probe & 63) & 1 == 0 {
        return Heap::UNKNOWN;
    }
    // Another thread could only be one that loads a plugin.
    if main.pid_tgid != ids {
        return Heap::UNKNOWN;
    }
    let Some(scratch) = HEAP_SCRATCH.get_ptr_mut(0) else { return Heap::UNKNOWN };
    // SAFETY: the map's value lives as long as the program, and only the main thread's hits get here.
    let scratch = unsafe { &mut *scratch };
    scratch.heap = Heap::UNKNOWN;
    snapshot(scratch, ip - cookie.site);
    scratch.heap
}

/// Leaves the sums in the scratch if they are to be had. By itself for the room on its stack; and it returns
/// nothing, because before Linux 6.5 the verifier forgets much of what it knows when it looks back into a call.
#[inline(never)]
fn snapshot(scratch: &mut Scratch, bias: u64) {
    let layout = HEAP.load();
    if add_up(scratch, &layout, bias).is_some() {
        scratch.heap = scratch.sum;
    }
}

#[inline(always)]
fn add_up(scratch: &mut Scratch, layout: &HeapConfig, bias: u64) -> Option<()> {
    let total: u64 = read(layout.total_alloc + bias)?;
    scratch.sum = Heap { allocs: handed_in(scratch, layout, layout.heap_stats + bias)?, bytes: total };
    let [all, count]: [u64; 2] = read(layout.allp + bias)?;
    if count > u64::from(layout.most_ps) {
        return None;
    }
    for index in 0..u64::from(layout.most_ps) {
        if index >= count {
            break;
        }
        let p: u64 = read(all + 8 * index)?;
        let cache: u64 = read(p + u64::from(layout.p_mcache))?;
        if cache != 0 {
            add_cached(scratch, layout, cache + u64::from(layout.mcache_tiny_allocs))?;
        }
    }
    // Another thread's cache handed something in meanwhile, and it may be counted twice or not at all.
    (read(layout.total_alloc + bias) == Some(total)).then_some(())
}

/// The objects that the Ps' caches have handed in, and the large ones, which go past them. The counters are in
/// generations, which readers of the statistics rotate and merge; the sum stays.
#[inline(always)]
fn handed_in(scratch: &mut Scratch, layout: &HeapConfig, stats: u64) -> Option<u64> {
    let size = GENERATIONS as u64 * u64::from(layout.delta_size);
    let in_first = PAGE - (stats & (PAGE - 1));
    let in_first = if in_first < size { in_first } else { size };
    let begin = addr_of_mut!(scratch.stats).cast::<u8>();
    // SAFETY: the helper checks the address; there is room for either part behind the other.
    unsafe {
        if bpf_probe_read_user(begin.cast(), in_first as u32, stats as *const _) != 0 {
            return None;
        }
        let rest = size - in_first;
        if rest != 0 {
            let second = begin.add(in_first as usize).cast();
            if bpf_probe_read_user(second, rest as u32, (stats + in_first) as *const _) == 0 {
                scratch.has_second_page = 1;
            } else if scratch.has_second_page != 0 {
                return None;
            }
            // Else the runtime has never written there, and the helper has filled it with zeroes: rightly.
        }
    }
    let mut sum = 0_u64;
    for generation in 0..opaque(GENERATIONS as u64) {
        let delta = generation * u64::from(layout.delta_size);
        // SAFETY: user space gives offsets of words within a `heapStatsDelta`; the verifier checks them.
        let word = |offset: u64| unsafe { begin.add((delta + offset) as usize).cast::<u64>().read() };
        sum = sum.wrapping_add(word(u64::from(layout.tiny_alloc_count)));
        sum = sum.wrapping_add(word(u64::from(layout.large_alloc_count)));
        for class in 0..opaque(SIZE_CLASSES as u64) {
            sum = sum.wrapping_add(word(u64::from(layout.small_alloc_count) + 8 * class));
        }
    }
    Some(sum)
}

/// Adds what was allocated from the spans in a P's cache since they came there. The verifier keeps every branch
/// that it has not followed yet in mind, eight thousand at most, so there is but one in the loop.
#[inline(always)]
fn add_cached(scratch: &mut Scratch, layout: &HeapConfig, cache: u64) -> Option<()> {
    let size = size_of_val(&scratch.cache) as u32;
    // SAFETY: the helper checks the address, and the room is that large.
    if unsafe { bpf_probe_read_user(addr_of_mut!(scratch.cache).cast(), size, cache as *const _) } != 0 {
        return None;
    }
    // Large objects never come from a cache, so the slots of their class are always empty.
    let empty = scratch.cache[1];
    let spans = addr_of_mut!(scratch.cache).cast::<u64>().wrapping_add(1);
    // The verifier must not know the sums, or it follows the rest of the loop once for each that it knows.
    let mut sums = Sums { heap: scratch.sum, wrong: scratch.zero };
    sums.heap.allocs = sums.heap.allocs.wrapping_add(scratch.cache[0]);
    for class in 1..opaque(SIZE_CLASSES as u64) {
        // With pointers in them, and without (runtime/mheap.go, `makeSpanClass`).
        let classes = [2 * class, 2 * class + 1];
        // SAFETY: there are as many behind the first word.
        let pair = classes.map(|class| unsafe { spans.add(class as usize).read() });
        if pair == [empty; 2] {
            continue;
        }
        for index in 0..2 {
            sums.add(
                &mut scratch.span,
                layout,
                pair[index],
                is_not_zero(pair[index] ^ empty),
                classes[index],
            );
        }
    }
    scratch.sum = sums.heap;
    (sums.wrong == 0).then_some(())
}

struct Sums {
    heap: Heap,
    /// Not zero when something did not fit.
    wrong: u64,
}

impl Sums {
    /// Adds what was allocated from one span, of which nothing is read when `is_live` is 0 and not 1.
    #[inline(always)]
    fn add(&mut self, room: &mut [u64; 2], layout: &HeapConfig, span: u64, is_live: u64, class: u64) {
        // Of a plain assignment the compiler makes a loop over bytes.
        *room = [opaque(0), opaque(0)];
        // SAFETY: the helper checks the address, and the room is as large as what it reads.
        let result = unsafe {
            let at = span.wrapping_add(u64::from(layout.mspan_alloc_count));
            bpf_probe_read_user(room.as_mut_ptr().cast(), (is_live << 4) as u32, at as *const _)
        };
        let [counts, elemsize] = *room;
        let used = (counts & 0xffff).wrapping_sub(counts >> 48);
        self.heap.allocs = self.heap.allocs.wrapping_add(used);
        self.heap.bytes = self.heap.bytes.wrapping_add(used.wrapping_mul(elemsize));
        // A span that another thread has just given back is no longer of that class, or not in use.
        let kind = (counts >> 16 & 0xffff) ^ (class | IN_USE << 8);
        self.wrong |= result as u64 | kind & is_live.wrapping_neg() | (used | elemsize) & !0xffff;
    }
}

/// `mSpanInUse` (runtime/mheap.go)
const IN_USE: u64 = 1;

/// 1 or 0, without a branch.
#[inline(always)]
fn is_not_zero(value: u64) -> u64 {
    opaque(value | value.wrapping_neg()) >> 63
}
