#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::sys::testing::in_child;
use nix::sys::wait::WaitStatus;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

// On a thread of its own each: OWNER is one of the thread's, and a heap of a test must not be another's.
fn alone(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(body).join().unwrap());
}

fn forked(body: impl FnOnce()) {
    let (status, message) = in_child(body);
    assert!(
        matches!(status, WaitStatus::Exited(_, 0)),
        "{status:?}: {message}"
    );
}

#[test]
fn a_class_holds_its_sizes_and_no_less() {
    let mut last = 0;
    for size in 1..=LARGEST {
        let class = class(size);
        assert!(bytes(class) >= size, "{size}");
        assert!(class == 0 || bytes(class - 1) < size, "{size}");
        assert!(class == last || class == last + 1);
        last = class;
    }
    assert_eq!(last + 1, CLASSES);
}

#[test]
fn nothing_is_given_out_twice_and_what_is_freed_comes_again() {
    alone(|| {
        let heap = Heap::new();
        let mut random = 1u64;
        let mut live: Vec<(*mut u8, usize, u8)> = Vec::new();
        for round in 0..20_000u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let size = usize::try_from(random >> 33).unwrap() % 3000 + 1;
            let mark = u8::try_from(round % 251).unwrap();
            // SAFETY: sizes are not 0; each block is written and read within its size and freed once, with its own layout.
            unsafe {
                let at = heap.alloc(layout(size));
                assert!(heap.has(at) && at.addr().is_multiple_of(16));
                at.write_bytes(mark, size);
                live.push((at, size, mark));
                if live.len() > 200 {
                    let index = usize::try_from(random >> 40).unwrap() % live.len();
                    let (at, size, mark) = live.swap_remove(index);
                    assert!((0..size).all(|i| at.add(i).read() == mark));
                    let new = size * 2 % 2500 + 1;
                    let at = heap.realloc(at, layout(size), new);
                    assert!((0..size.min(new)).all(|i| at.add(i).read() == mark));
                    heap.dealloc(at, layout(new));
                }
            }
        }
        // 200 blocks of 1.5 KB and what the classes keep: the rest was used again.
        let used = heap.state().unwrap().grown - heap.base.load(Ordering::Relaxed);
        assert!(used <= 8 << 20, "{used}");
    });
}

#[test]
fn what_is_large_or_strictly_aligned_is_the_systems() {
    alone(|| {
        let heap = Heap::new();
        let wide = Layout::from_size_align(64, 64).unwrap();
        // SAFETY: sizes are not 0, and each block is freed once, with the layout that it has.
        unsafe {
            for layout in [layout(LARGEST + 1), wide] {
                let at = heap.alloc(layout);
                assert!(!at.is_null() && !heap.has(at));
                heap.dealloc(at, layout);
            }
            // It grows out of the region, with its content, and stays out.
            let at = heap.alloc(layout(LARGEST));
            at.write_bytes(7, LARGEST);
            assert!(heap.has(at));
            let at = heap.realloc(at, layout(LARGEST), LARGEST * 4);
            assert!(!heap.has(at) && at.add(LARGEST - 1).read() == 7);
            let at = heap.realloc(at, layout(LARGEST * 4), 10);
            assert!(!heap.has(at) && at.read() == 7);
            heap.dealloc(at, layout(10));
            let at = heap.alloc(layout(100));
            at.write_bytes(9, 100);
            heap.dealloc(at, layout(100));
            let again = heap.alloc_zeroed(layout(100));
            assert_eq!(again, at);
            assert!((0..100).all(|i| at.add(i).read() == 0));
        }
    });
}

#[test]
fn another_thread_has_the_systems() {
    alone(|| {
        let heap = Heap::new();
        // SAFETY: as above. The block of the first thread is given up by the second one, and by nobody else.
        let ours = unsafe { heap.alloc(layout(40)) }.addr();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: as above. Of `state` only the provenance is taken.
                unsafe {
                    let at = heap.alloc(layout(40));
                    assert!(!at.is_null() && !heap.has(at));
                    heap.dealloc(at, layout(40));
                    heap.dealloc(heap.state.get().cast::<u8>().with_addr(ours), layout(40));
                }
            });
        });
        // SAFETY: as above.
        assert_ne!(unsafe { heap.alloc(layout(40)) }.addr(), ours);
    });
}

#[test]
fn a_forked_child_leaves_its_parents_pages_alone() {
    forked(|| {
        let heap = Heap::new();
        // SAFETY: as above.
        unsafe {
            let old = heap.alloc(layout(40));
            let freed = heap.alloc(layout(40));
            heap.dealloc(freed, layout(40));
            super::forked();
            let new = heap.alloc(layout(40));
            // Not what the parent freed, and not the rest of its page.
            assert!(new.addr() / PAGE > old.addr() / PAGE);
            old.write_bytes(5, 40);
            heap.dealloc(old, layout(40));
            assert!((0..40).all(|i| old.add(i).read() == 5));
            assert!(heap.alloc(layout(40)) != old);
            // Its own comes again.
            heap.dealloc(new, layout(40));
            assert_eq!(heap.alloc(layout(40)), new);
        }
    });
}

#[test]
fn without_address_space_it_is_the_systems() {
    forked(|| {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_AS, REGION as u64, REGION as u64).unwrap();
        let heap = Heap::new();
        // SAFETY: as above.
        unsafe {
            let at = heap.alloc(layout(40));
            assert!(!at.is_null() && !heap.has(at));
            heap.dealloc(at, layout(40));
        }
    });
}
