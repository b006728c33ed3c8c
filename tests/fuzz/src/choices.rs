//! Choices that an input makes: its bytes, one after the other, decide what a generator makes next. Knows no
//! generator.

/// What is left of an input. When nothing is, every choice is the first.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices that these bytes make.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// A number below `count`, which is at least 1 and at most 65,536.
    pub fn below(&mut self, count: usize) -> usize {
        let first = self.byte();
        let number = if count > 256 { first << 8 | self.byte() } else { first };
        number % count
    }

    /// Whether the one choice of `count` is made that is not to be made often.
    pub fn rarely(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    /// One of these, which are at least one.
    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        (*first).into()
    }
}
