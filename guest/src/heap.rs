//! The allocator in the sandbox. Hands out memory from one end to the other, and begins anew when
//! all of it has been given back, as it has after every call: a call then touches few pages, and
//! neither taking nor giving back costs more than a few instructions. Knows nothing of calls.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::Cell;
use core::ptr::null_mut;

const PAGE_BYTES: usize = 64 << 10;
/// Pages that are asked for at least, when memory has to grow.
const GROWTH_PAGES_MIN: usize = 16;

#[global_allocator]
static HEAP: Heap = Heap { next: Cell::new(0), end: Cell::new(0), live: Cell::new(0) };

struct Heap {
    /// Where the next piece may begin; 0 before the first.
    next: Cell<usize>,
    /// Where memory ends.
    end: Cell<usize>,
    /// Pieces that have not been given back.
    live: Cell<usize>,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Heap {}

/// The first byte that no data and no stack takes.
fn base() -> usize {
    unsafe extern "C" {
        static __heap_base: u8;
    }
    (&raw const __heap_base).addr()
}

impl Heap {
    /// Makes room up to `end`, exclusively.
    fn reach(&self, end: usize) -> bool {
        if end <= self.end.get() {
            return true;
        }
        let pages = wasm32::memory_size::<0>();
        // Memory that is there from the start is used before any is asked for.
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

// SAFETY: pieces never overlap: `next` only rises while any piece is live, and each piece lies
// between the former and the new `next`, in memory that is there.
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

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        self.live.set(self.live.get() - 1);
        if piece.addr() + layout.size() == self.next.get() {
            self.next.set(piece.addr());
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // The newest piece grows and shrinks where it is, and any shrinks.
        let is_newest = piece.addr() + layout.size() == self.next.get();
        if is_newest || bytes <= layout.size() {
            let Some(end) = piece.addr().checked_add(bytes).filter(|end| self.reach(*end)) else {
                return null_mut();
            };
            if is_newest {
                self.next.set(end);
            }
            return piece;
        }
        // SAFETY: the caller vouches for `bytes`, as for `layout`.
        let layout_wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        // SAFETY: both pieces are live and apart, and the old one is the shorter.
        unsafe {
            let wanted = self.alloc(layout_wanted);
            if !wanted.is_null() {
                piece.copy_to_nonoverlapping(wanted, layout.size());
                self.dealloc(piece, layout);
            }
            wanted
        }
    }
}

/// Compares memory a word at a time. Without the standard library somebody has to; the C library's
/// goes byte by byte, and every turn of a loop counts in the sandbox.
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

/// How the host makes room for what it hands over, as the component model says. The standard library
/// would bring this too.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    piece: *mut u8,
    bytes: usize,
    align: usize,
    wanted_bytes: usize,
) -> *mut u8 {
    // SAFETY: the host gives sizes and alignments that are valid, and pieces that it got here.
    let piece = unsafe {
        match (bytes, wanted_bytes) {
            (0, 0) => return align as *mut u8,
            (0, _) => HEAP.alloc(Layout::from_size_align_unchecked(wanted_bytes, align)),
            _ => {
                let layout = Layout::from_size_align_unchecked(bytes, align);
                HEAP.realloc(piece, layout, wanted_bytes)
            }
        }
    };
    if piece.is_null() { wasm32::unreachable() } else { piece }
}
