//! The allocator in the sandbox: a bump allocator. It allocates upwards, and starts again at the bottom when
//! everything has been freed, as it has after every call. So a call touches few pages, and allocating and
//! freeing cost a few instructions each. Knows nothing of calls.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE_BYTES: usize = 64 << 10;
/// Fewest pages by which memory grows, where the host allows so many.
const GROWTH_PAGES_MIN: usize = 16;

#[global_allocator]
static HEAP: Heap = Heap { next: Cell::new(0), end: Cell::new(0), live: Cell::new(0) };

struct Heap {
    /// The address from which the next block is allocated; 0 before the first.
    next: Cell<usize>,
    /// The end of the memory that is known to be there.
    end: Cell<usize>,
    /// Blocks that were not freed.
    live: Cell<usize>,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Heap {}

/// The first address above data and stack.
fn base() -> usize {
    unsafe extern "C" {
        static __heap_base: u8;
    }
    (&raw const __heap_base).addr()
}

impl Heap {
    /// Whether memory reaches up to `end`, exclusively; it grows when it does not.
    fn reach(&self, end: usize) -> bool {
        if end <= self.end.get() {
            return true;
        }
        let pages = wasm32::memory_size::<0>();
        // The memory of the start is used up before it grows.
        self.end.set(pages * PAGE_BYTES);
        if end <= self.end.get() {
            return true;
        }
        let wanted = (end - self.end.get()).div_ceil(PAGE_BYTES);
        for pages in [wanted.max(GROWTH_PAGES_MIN), wanted] {
            if wasm32::memory_grow::<0>(pages) != usize::MAX {
                self.end.set(self.end.get() + pages * PAGE_BYTES);
                return true;
            }
        }
        false
    }
}

// SAFETY: blocks never overlap: while any block is live `next` rises, or falls to the start of the newest
// block when that is freed; each block lies between the former and the new `next`, in memory that exists.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.live.get() == 0 {
            self.next.set(base());
        }
        let start = self.next.get().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if self.reach(end) => {
                self.next.set(end);
                self.live.set(self.live.get() + 1);
                start as *mut u8
            }
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live.set(self.live.get() - 1);
        if block.addr() + layout.size() == self.next.get() {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // The newest block grows and shrinks in place, any other only shrinks.
        let is_newest = block.addr() + layout.size() == self.next.get();
        if is_newest || bytes <= layout.size() {
            let Some(end) = block.addr().checked_add(bytes).filter(|end| self.reach(*end)) else {
                return null_mut();
            };
            if is_newest {
                self.next.set(end);
            }
            return block;
        }
        // SAFETY: the caller vouches for `bytes`, as for `layout`.
        let layout_wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        // SAFETY: both blocks are live and do not overlap, and the old one is the shorter.
        unsafe {
            let wanted = self.alloc(layout_wanted);
            if !wanted.is_null() {
                block.copy_to_nonoverlapping(wanted, layout.size());
                self.dealloc(block, layout);
            }
            wanted
        }
    }
}

/// Compares memory 8 bytes at a time. Without the standard library the guest has to bring this function; the
/// compiler's own compares single bytes, which is slow in the sandbox.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, bytes: usize) -> i32 {
    let mut at = 0;
    while at + 8 <= bytes {
        // SAFETY: the caller vouches for all of both.
        let (left, right) = unsafe {
            (
                left.add(at).cast::<u64>().read_unaligned(),
                right.add(at).cast::<u64>().read_unaligned(),
            )
        };
        if left != right {
            return if left.swap_bytes() < right.swap_bytes() { -1 } else { 1 };
        }
        at += 8;
    }
    while at < bytes {
        // SAFETY: the caller vouches for all of both.
        let (left, right) = unsafe { (left.add(at).read(), right.add(at).read()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        at += 1;
    }
    0
}

/// Allocates memory for what the host passes in: the canonical ABI's `realloc`, which the standard library
/// would bring.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    block: *mut u8,
    bytes: usize,
    align: usize,
    wanted_bytes: usize,
) -> *mut u8 {
    // SAFETY: the host gives valid sizes and alignments, and blocks that were allocated here.
    let block = unsafe {
        match (bytes, wanted_bytes) {
            (0, 0) => return align as *mut u8,
            (0, _) => HEAP.alloc(Layout::from_size_align_unchecked(wanted_bytes, align)),
            _ => {
                let layout = Layout::from_size_align_unchecked(bytes, align);
                HEAP.realloc(block, layout, wanted_bytes)
            }
        }
    };
    if block.is_null() { wasm32::unreachable() } else { block }
}
