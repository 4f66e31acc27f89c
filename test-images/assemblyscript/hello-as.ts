// By WASI preview 1 itself: AssemblyScript has no library for it.
@external("wasi_snapshot_preview1", "fd_write")
declare function write(fd: u32, pieces: usize, count: usize, written: usize): u32;

export function _start(): void {
  const text = String.UTF8.encode("hello from assemblyscript\n");
  const piece = memory.data(12);
  store<usize>(piece, changetype<usize>(text));
  store<usize>(piece, text.byteLength, 4);
  write(1, piece, 1, piece + 8);
}
