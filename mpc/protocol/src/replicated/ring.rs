//! The two rings that a word can be an element of.

/// Addition and multiplication of 64-bit words. Sealed: [`Arithmetic`] and [`Boolean`].
pub trait Ring: sealed::Sealed + Copy + Send + Sync + std::fmt::Debug + 'static {
    /// x + y
    fn add(x: u64, y: u64) -> u64;
    /// x − y
    fn subtract(x: u64, y: u64) -> u64;
    /// x · y
    fn multiply(x: u64, y: u64) -> u64;
}

/// Z_2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic;

/// 64 independent bits: XOR and AND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boolean;

impl Ring for Arithmetic {
    #[inline(always)]
    fn add(x: u64, y: u64) -> u64 {
        x.wrapping_add(y)
    }
    #[inline(always)]
    fn subtract(x: u64, y: u64) -> u64 {
        x.wrapping_sub(y)
    }
    #[inline(always)]
    fn multiply(x: u64, y: u64) -> u64 {
        x.wrapping_mul(y)
    }
}

impl Ring for Boolean {
    #[inline(always)]
    fn add(x: u64, y: u64) -> u64 {
        x ^ y
    }
    #[inline(always)]
    fn subtract(x: u64, y: u64) -> u64 {
        x ^ y
    }
    #[inline(always)]
    fn multiply(x: u64, y: u64) -> u64 {
        x & y
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Arithmetic {}
    impl Sealed for super::Boolean {}
}
