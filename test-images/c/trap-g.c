// Traps, and was compiled with line numbers: the backtrace names this file.

#include <stdio.h>

__attribute__((noinline)) static void inner(const char *why) {
  puts(why);
  fflush(stdout);
  __builtin_trap();
}

int main(void) {
  inner("about to trap");
  return 0;
}
