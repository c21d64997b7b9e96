//! Tells the system's allocator how much freed memory to keep.
//!
//! glibc gives the top of the heap back to the kernel as soon as 128 KiB of it are free, and takes it
//! again page by page at the next burst: on a busy stream that was half of the sender's time in the kernel. Freeing one
//! large block raises that threshold to twice the block's size, for the rest of the process.

/// Lets up to twice `bytes` of freed memory stay with the process. Called first thing in a program.
pub fn keep(bytes: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}
