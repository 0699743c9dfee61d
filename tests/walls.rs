//! The walls of the house: what would let a token exist without a decision, a lease or an audit line does not compile.
//!
//! Each file of `tests/walls/` is such an attempt, with what the compiler says to it (`TRYBUILD=overwrite` writes that anew).

#[test]
fn nothing_skips_a_step() {
    trybuild::TestCases::new().compile_fail("tests/walls/*.rs");
}
