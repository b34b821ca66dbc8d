//! The heap of the program. Of what a start executes outside of the kernel, a third was malloc(3) and free(3), and of its page
//! faults most were of their heap: one for each page that is touched first, and after each fork one for each page that is
//! touched again, if only to note in it that something else on it is free.
//!
//! So small things come from one region, by the size of their class, without a word of bookkeeping beside them; the region
//! grows by pieces whose pages are all there at once; and a forked child leaves the pages of its parent alone: what it
//! allocates comes from pages of its own, and what it frees of its parent's stays as it is. Large things, and those of other
//! threads (`agentbox demo` has one, its service), are the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Address space of the region: far more than a session uses, so that it ends only where something else is wrong. Only what
/// was grown into counts for RLIMIT_DATA.
const REGION: usize = 256 << 20;

/// By how much it grows: a page that is there and not used costs as much as two that are faulted in.
const STEP: usize = 64 << 10;

const PAGE: usize = 4096;

/// Up to here a class for each 16 bytes, ...
const FINE: usize = 1024;

/// ... and from there to here one for each power of two.
const LARGEST: usize = 32 << 10;

/// The classes of both kinds.
const CLASSES: usize = FINE / 16 + 5;

/// The allocator: `#[global_allocator]` of the program. The tests of the library have the system's.
pub struct Heap {
    state: UnsafeCell<State>,
    /// Whether a thread owns it.
    taken: AtomicBool,
    /// Where the region begins; 0 while there is none.
    base: AtomicUsize,
}

// SAFETY: `state` is reached by `Heap::state` only, which gives it to the one thread that owns the heap. The rest is atomic.
unsafe impl Sync for Heap {}

thread_local! {
    /// This thread owns the heap. Without a destructor and without an allocation, so an allocator may use it.
    static OWNER: Cell<bool> = const { Cell::new(false) };
    /// A fork happened since the last look: set in the child.
    static FORKED: Cell<bool> = const { Cell::new(false) };
}

/// The owner's. Addresses are those of the region.
struct State {
    /// Of each class what was freed; each holds the next one in its first bytes.
    free: [*mut u8; CLASSES],
    /// From here on nothing was given out, ...
    next: *mut u8,
    /// ... up to here it may be written, ...
    grown: usize,
    /// ... and here the region ends.
    end: usize,
    /// What lies below is the parent's of this process.
    floor: usize,
}

/// Says in a child that was just forked that the pages of the heap are its parent's.
pub(super) fn forked() {
    FORKED.set(true);
}

/// Says in a parent that its pages are its children's, too: what it allocates from now on comes from new ones, as theirs does.
/// What it has freed so far, and what it frees of those pages, stays as it is: not for who forks again and again.
pub fn leave_to_children() {
    FORKED.set(true);
}

/// Its class, by size.
fn class(size: usize) -> usize {
    if size <= FINE {
        size.saturating_sub(1) / 16
    } else {
        // 1025 to 2048 is the first after the fine ones.
        let power = usize::BITS - (size - 1).leading_zeros();
        FINE / 16 + power as usize - 11
    }
}

/// The bytes of each of a class.
fn bytes(class: usize) -> usize {
    if class < FINE / 16 {
        (class + 1) * 16
    } else {
        1 << (class - FINE / 16 + 11)
    }
}

impl Heap {
    /// Empty.
    #[must_use]
    pub const fn new() -> Heap {
        Heap {
            state: UnsafeCell::new(State {
                free: [null_mut(); CLASSES],
                next: null_mut(),
                grown: 0,
                end: 0,
                floor: 0,
            }),
            taken: AtomicBool::new(false),
            base: AtomicUsize::new(0),
        }
    }

    /// What the owner works with; `None` for every other thread.
    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> Option<&mut State> {
        if !OWNER.get() {
            // The first one that comes. Nobody gives it back: the thread of `main` does not end.
            if self.taken.swap(true, Ordering::Relaxed) {
                return None;
            }
            OWNER.set(true);
        }
        // SAFETY: only one thread ever sets its OWNER, and it uses the reference within one call of the allocator, which
        // calls nothing that allocates. A vfork-style child (sys::spawn) has the same OWNER, and its parent waits.
        let state = unsafe { &mut *self.state.get() };
        if FORKED.get() {
            FORKED.set(false);
            state.leave();
        }
        Some(state)
    }

    /// Is that in the region?
    fn has(&self, at: *mut u8) -> bool {
        let base = self.base.load(Ordering::Relaxed);
        base != 0 && at.addr().wrapping_sub(base) < REGION
    }

    fn small(&self, size: usize) -> *mut u8 {
        let Some(state) = self.state() else {
            return null_mut();
        };
        let class = class(size);
        let Some(head) = state.free.get_mut(class) else {
            return null_mut();
        };
        if head.is_null() {
            return state.fresh(bytes(class), &self.base);
        }
        let taken = *head;
        // SAFETY: what is in the list was given out by `fresh` with 16 bytes at least, aligned to 16, and freed with the
        // next one in its first bytes; nobody else has it.
        *head = unsafe { taken.cast::<*mut u8>().read() };
        taken
    }
}

impl Default for Heap {
    fn default() -> Self {
        Heap::new()
    }
}

impl State {
    /// The next bytes that were never given out, or null.
    fn fresh(&mut self, bytes: usize, base: &AtomicUsize) -> *mut u8 {
        let at = self.next;
        if at.addr() + bytes > self.grown && !self.grow(bytes, base) {
            return null_mut();
        }
        let at = self.next;
        // Within what was grown, which `grow` has just seen to.
        self.next = at.wrapping_add(bytes);
        at
    }

    /// Makes room for so many bytes.
    fn grow(&mut self, bytes: usize, base: &AtomicUsize) -> bool {
        if self.end == 0 && !self.reserve(base) {
            return false;
        }
        // `bytes` is less than a step.
        let step = STEP.min(self.end - self.grown);
        if step < bytes || self.next.addr() + bytes > self.grown + step {
            return false;
        }
        let at = self.next.with_addr(self.grown).cast();
        // SAFETY: the range is a part of the region that was reserved and not grown into, page by page. Failing to have its
        // pages at once costs a fault for each, and that is all.
        let rw = unsafe {
            let rw = libc::mprotect(at, step, libc::PROT_READ | libc::PROT_WRITE);
            libc::madvise(at, step, libc::MADV_POPULATE_WRITE);
            rw
        };
        if rw == 0 {
            self.grown += step;
        }
        rw == 0
    }

    /// Reserves the region: once, and where that fails never again.
    fn reserve(&mut self, base: &AtomicUsize) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that exists.
        let region = unsafe { libc::mmap(null_mut(), REGION, libc::PROT_NONE, flags, -1, 0) };
        // No room is left in an empty region.
        if region == libc::MAP_FAILED {
            return false;
        }
        self.next = region.cast();
        self.grown = region.addr();
        self.end = region.addr() + REGION;
        base.store(region.addr(), Ordering::Relaxed);
        true
    }

    /// The pages that were given out are the parent's.
    fn leave(&mut self) {
        let at = self.next.addr().next_multiple_of(PAGE);
        self.next = self.next.with_addr(at);
        self.floor = at;
        self.free = [null_mut(); CLASSES];
    }
}

// SAFETY: a block of the region is aligned to 16 bytes, as large as its class and given out to one owner until it is freed;
// everything else is the system allocator's, which `has` tells apart by address.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() <= LARGEST && layout.align() <= 16 {
            let at = self.small(layout.size());
            if !at.is_null() {
                return at;
            }
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !self.has(at) {
            // SAFETY: it is not ours, so `alloc` or `realloc` had it of the system with this layout.
            return unsafe { System.dealloc(at, layout) };
        }
        // Another thread's leftovers stay where they are.
        let Some(state) = self.state() else { return };
        if at.addr() < state.floor {
            return;
        }
        if let Some(head) = state.free.get_mut(class(layout.size())) {
            // SAFETY: the caller gives the block up, which has 16 bytes at least and is aligned to 16.
            unsafe { at.cast::<*mut u8>().write(*head) };
            *head = at;
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST {
            // Large things are new mappings, which are zero.
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise is passed on, and what was allocated has that many bytes.
        unsafe {
            let at = self.alloc(layout);
            if !at.is_null() {
                at.write_bytes(0, layout.size());
            }
            at
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(at) {
            // SAFETY: it is the system's, and stays so, also when it becomes small.
            return unsafe { System.realloc(at, layout, size) };
        }
        if size <= LARGEST && class(size) == class(layout.size()) {
            return at;
        }
        // SAFETY: the alignment is one of a layout, and the caller promises that the size, rounded up, does not overflow. Both
        // blocks have the bytes that are copied and are not the same.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(at, size.min(layout.size()));
                self.dealloc(at, layout);
            }
            new
        }
    }
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
