//! Numbers that look random and are the same for the same seed (xorshift).

#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// One of the many dice of a seed.
    pub fn new(seed: u64, number: u64) -> Dice {
        Dice((seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    /// From 0 to `sides` - 1.
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    /// Up to so many bytes.
    pub fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.throw(most + 1)).map(|_| self.throw(256) as u8).collect()
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let place = self.throw(from.len().max(1) as u64);
        from.get(usize::try_from(place).ok()?)
    }
}
