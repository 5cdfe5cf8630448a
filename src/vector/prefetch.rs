//! Asking the memory for a cache line before it is needed.

/// Starts loading `slice[index]`; does nothing when there is no such element.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    if index < slice.len() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the address is inside the slice, and prefetching has no effect but on the cache.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().add(index).cast());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefetching_changes_nothing() {
        let values = [1u64, 2, 3];
        super::prefetch(&values, 1);
        super::prefetch(&values, 10);
        assert_eq!(values, [1, 2, 3]);
    }
}
