//! Vectors of four floats: the product of two matrices that the caches hold.

use std::arch::wasm32::{f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_store};
use std::hint::black_box;
use std::time::Duration;

use crate::timed;

const SIDE: usize = 256;
const TURNS: u32 = 60;

type Matrix = Box<[[f32; SIDE]; SIDE]>;

pub fn run() -> Duration {
    let (left, right) = (matrix(|row, column| (row + column) as f32), matrix(|row, column| f32::from(row == column) * 2.0));
    let mut product = matrix(|_, _| 0.0);
    let took = timed(|| {
        for _ in 0..TURNS {
            multiply(black_box(&left), black_box(&right), &mut product);
        }
    });
    assert_eq!(product[3][4], 14.0);
    took
}

fn matrix(element: impl Fn(usize, usize) -> f32) -> Matrix {
    let mut matrix: Matrix = vec![[0.0; SIDE]; SIDE].into_boxed_slice().try_into().expect("it has SIDE rows");
    for (row, elements) in matrix.iter_mut().enumerate() {
        for (column, value) in elements.iter_mut().enumerate() {
            *value = element(row, column);
        }
    }
    matrix
}

/// Four columns at a time, so that each sum stays in one register.
#[target_feature(enable = "simd128")]
fn multiply(left: &Matrix, right: &Matrix, product: &mut Matrix) {
    for (row, sums) in left.iter().zip(product.iter_mut()) {
        for (block, sums) in sums.chunks_exact_mut(4).enumerate() {
            let mut sum = f32x4_splat(0.0);
            for (factor, line) in row.iter().zip(right.iter()) {
                let four = &line[block * 4..block * 4 + 4];
                // SAFETY: `four` is 16 bytes; a load may be unaligned.
                let four = unsafe { v128_load(four.as_ptr().cast::<v128>()) };
                sum = f32x4_add(sum, f32x4_mul(f32x4_splat(*factor), four));
            }
            // SAFETY: `sums` is 16 bytes; a store may be unaligned.
            unsafe { v128_store(sums.as_mut_ptr().cast::<v128>(), sum) };
        }
    }
}
