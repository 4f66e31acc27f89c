//! The installer on nodes with a real containerd, 1.7 and 2.1, and a Wasm task that must live on whatever happens. The environment
//! names what is run: `CONTAINERD_1_7` and `CONTAINERD_2_1` (folders with `containerd` and `ctr`), `SHIM_DIR` (with the shim and
//! `run-wasm`), `GUESTS`. Needs root and strace.

mod faults;
mod kills;
mod nest;

/// Makes each function a test against every supported containerd.
macro_rules! on_each_containerd {
    ($($story:ident),* $(,)?) => { $(mod $story {
        #[test]
        fn containerd_1_7() -> anyhow::Result<()> {
            super::$story(&crate::nest::Nest::new(crate::nest::V1_7)?)
        }
        #[test]
        fn containerd_2_1() -> anyhow::Result<()> {
            super::$story(&crate::nest::Nest::new(crate::nest::V2_1)?)
        }
    })* };
}
pub(crate) use on_each_containerd;
