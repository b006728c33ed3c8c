//! How the process takes memory from the system and gives it back. Knows nothing of what it is for.

/// Has the system map memory by small pages only. By huge ones, which the allocator asks for and some
/// systems give everywhere, a first byte takes 2 MiB, also in each guest's memory; they made no request
/// faster. For this process and those that it starts; to be called before threads are.
pub fn take_small_pages() {
    // A system that cannot be told maps as it likes.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Has the allocator give back what this thread has used. By itself it would do so only while the
/// thread goes on to allocate; and what guests answer is freed by other threads.
#[expect(unsafe_code, reason = "a call of the allocator that no safe function stands for")]
pub(crate) fn give_back() {
    // SAFETY: it may be called at any time, and finds nothing where another allocator is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
