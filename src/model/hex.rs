//! Hex digits of numbers, which names of many kinds have.

/// The last `N` hex digits of a number, lower case, without what a formatter costs: each request has some.
pub(crate) fn digits<const N: usize>(number: u64) -> [u8; N] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (4 * (N - 1 - at)) & 15) as usize])
}
