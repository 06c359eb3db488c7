//! The heap of a daemon that promises to stay under a limit.

/// Larger buffers come from the kernel one by one and go back to it when they are dropped, in bytes.
const BY_ITSELF: i32 = 512 << 10;

/// Heaps that threads share. The default, eight a core, lets each keep what its busiest thread once held.
const HEAPS: i32 = 2;

/// Keeps buffers of chunks and copies from staying in the heap of each thread that once had one. Left to itself, the
/// allocator raises the size from which it gives memory back with the first large buffer that is dropped.
pub(super) fn give_back_large_buffers() {
    for (setting, value) in [(libc::M_MMAP_THRESHOLD, BY_ITSELF), (libc::M_ARENA_MAX, HEAPS)] {
        // SAFETY: changes a setting of the allocator and touches no memory of ours; any value is allowed.
        let taken = unsafe { libc::mallopt(setting, value) };
        if taken != 1 {
            tracing::debug!(setting, "the allocator refused a setting: the daemon may hold more memory than it uses");
        }
    }
}
