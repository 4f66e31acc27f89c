//! The guest's random numbers: the kernel's, or those that follow from a seed.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use grants::Random;
use wasmtime_wasi::WasiCtxBuilder;

/// Gives the guest its generators. Behind what denies randomness there is none either.
pub(super) fn set(wasi: &mut WasiCtxBuilder, random: Random) {
    let seed = match random {
        Random::Real => return,
        Random::Seed(seed) => seed,
        Random::Deny => 0,
    };
    let mut hash_seed = generator(seed, 2);
    wasi.secure_random(generator(seed, 0))
        .insecure_random(generator(seed, 1))
        .insecure_random_seed(u128::from(hash_seed.next_u64()) | u128::from(hash_seed.next_u64()) << 64);
}

/// ChaCha20 whose key is the seed in little-endian order, then zeros. What it gives is the same in every release.
fn generator(seed: u64, stream: u64) -> ChaCha20Rng {
    let mut key = [0; 32];
    key.iter_mut().zip(seed.to_le_bytes()).for_each(|(to, from)| *to = from);
    let mut generator = ChaCha20Rng::from_seed(key);
    generator.set_stream(stream);
    generator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_stream_decide_what_comes_and_never_change() {
        // The key stream of ChaCha20 with a key of zeros: RFC 8439, A.1, test vector 1.
        assert_eq!(generator(0, 0).next_u32().to_le_bytes(), [0x76, 0xb8, 0xe0, 0xad]);
        let first = |seed, stream| generator(seed, stream).next_u64();
        assert_eq!(first(7, 0), first(7, 0));
        assert_ne!(first(7, 0), first(8, 0));
        assert_ne!(first(7, 0), first(7, 1));
    }
}
