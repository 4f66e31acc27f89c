//! Integers in registers: the compression function of SHA-256 (FIPS 180-4), again and again on what it gave.

use std::hint::black_box;

const BLOCKS: u32 = 700_000;

const PRIMES: usize = 64;

/// What SHA-256 of `abc` begins with: the kernel computes what it says.
const ABC: [u32; 2] = [0xba78_16bf, 0x8f01_cfea];

pub fn run() -> [u32; 8] {
    let (start, constants) = constants();
    let mut block = [0; 16];
    (block[0], block[15]) = (0x6162_6380, 24);
    let mut state = compress(start, &block, &constants);
    assert_eq!(state[..2], ABC);
    for _ in 0..BLOCKS {
        block[..8].copy_from_slice(&state);
        state = compress(black_box(start), &block, &constants);
    }
    state
}

/// The first 32 bits of the fractions of the square roots of the first 8 primes, and of the cube roots of the first 64.
fn constants() -> ([u32; 8], [u32; PRIMES]) {
    let fraction = |root: f64| (root.fract() * 4_294_967_296.0) as u32;
    let mut primes = (2_u32..).filter(|n| (2..*n).all(|d| n % d != 0));
    let primes: [u32; PRIMES] = std::array::from_fn(|_| primes.next().expect("there is always another prime"));
    (std::array::from_fn(|i| fraction(f64::from(primes[i]).sqrt())), primes.map(|prime| fraction(f64::from(prime).cbrt())))
}

fn compress(state: [u32; 8], block: &[u32; 16], constants: &[u32; PRIMES]) -> [u32; 8] {
    let mut words = [0_u32; PRIMES];
    words[..16].copy_from_slice(block);
    for i in 16..PRIMES {
        let (a, b) = (words[i - 15], words[i - 2]);
        let small = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
        let large = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
        words[i] = words[i - 16].wrapping_add(small).wrapping_add(words[i - 7]).wrapping_add(large);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for (word, constant) in words.iter().zip(constants) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let first = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*constant).wrapping_add(*word);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(s0).wrapping_add(majority));
    }
    let round = [a, b, c, d, e, f, g, h];
    std::array::from_fn(|i| state[i].wrapping_add(round[i]))
}
