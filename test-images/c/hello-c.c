// A command in C: prints one line.

#include <stdio.h>

int main(void) {
  puts("hello from c");
  return 0;
}
