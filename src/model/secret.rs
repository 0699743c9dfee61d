//! What must not be seen: key material, assertions, tokens on their way.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A value whose `Debug` says nothing and whose memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value; the caller keeps no copy of it.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the moment it is used in.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> ZeroizeOnDrop for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl From<String> for Secret<String> {
    fn from(value: String) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_held_is_overwritten_once_for_each_copy() {
        use std::cell::Cell;
        use std::rc::Rc;

        #[derive(Clone)]
        struct Told(Rc<Cell<u32>>);
        impl Zeroize for Told {
            fn zeroize(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        const fn is_zeroized<T: ZeroizeOnDrop>() {}
        is_zeroized::<Secret<String>>();
        is_zeroized::<Secret<Vec<u8>>>();
        let count = Rc::new(Cell::new(0));
        let secret = Secret::new(Told(count.clone()));
        drop(secret.clone());
        assert_eq!(count.get(), 1);
        drop(secret);
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn debug_says_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(redacted) Some(Secret(redacted))");
        assert_eq!(secret.expose(), "hunter2");
    }
}
