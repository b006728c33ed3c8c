//! How the process takes memory from the system and gives it back. Knows nothing of what it is for.

/// What the C library's allocator keeps at the end of a heap instead of giving it back. LMDB takes from
/// it, for each large value of a transaction, and gives back at each commit.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 32 << 20;

/// Prepares both allocators. For this process, and as to pages for those that it starts; to be called
/// before threads are.
pub fn prepare() {
    take_small_pages();
    keep_for_transactions();
}

/// Has the system map memory by small pages only. By huge ones, which some systems give everywhere, a
/// first byte takes 2 MiB, also in each guest's memory, and they made no request of the API faster. The
/// allocator would ask for them itself: it is built not to (`no_thp`), for the sake of what it maps before
/// this is called.
fn take_small_pages() {
    // A system that cannot be told maps as it likes.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Has the C library's allocator keep what a transaction used for the next one. By itself it may give
/// that back to the system and take it anew each time, page by page: that depends on what happens to
/// lie behind it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call of the C library that no safe function stands for")]
fn keep_for_transactions() {
    // SAFETY: it may be called at any time. What is refused stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Elsewhere it does as it likes.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_for_transactions() {}

/// How often a thread of this process had to wait for the disk to bring a page, as the system counts it;
/// None where it does not tell.
pub(crate) fn major_faults() -> Option<u64> {
    major_faults_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The 12th field of such a line. The second is a name in brackets, which may hold anything.
fn major_faults_of(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(9)?.parse().ok()
}

/// Has the allocator give back what this thread has used. By itself it would do so only while the
/// thread goes on to allocate; and what guests answer is freed by other threads.
#[expect(unsafe_code, reason = "a call of the allocator that no safe function stands for")]
pub(crate) fn give_back() {
    // SAFETY: it may be called at any time, and finds nothing where another allocator is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_behind_whatever_the_program_is_called() {
        let stat = "7 (lar) der 1) S 1 7 7 0 -1 4194560 2119 0 42 0 5 6 0 0 20 0 4 0 0";
        assert_eq!(major_faults_of(stat), Some(42));
        assert_eq!(major_faults_of("7 (larder) S 1"), None);
        assert!(major_faults().is_some());
    }
}
