//! Random questions that are the same on every machine.

/// xorshift64*.
pub struct Dice(u64);

impl Dice {
    /// The same throws from the same seed, which is printed where a test fails.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        usize::try_from(mixed >> 33).unwrap() % n
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Each with the chance of one in `n`.
    pub fn some<'a, T>(&mut self, from: &'a [T], n: usize) -> Vec<&'a T> {
        from.iter().filter(|_| self.below(n) == 0).collect()
    }
}
