//! Numbers that look random and are the same for the same seed (xorshift).

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, number: u64) -> Dice {
        Dice((seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    pub fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}
