// `files-c read PATH`, `files-c write PATH TEXT`: prints the file, or `ok`; else `error: TEXT` (strerror's) and exits 1.

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int failed(void) {
  printf("error: %s\n", strerror(errno));
  return 1;
}

static int read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) return failed();
  char chunk[4096];
  size_t length;
  while ((length = fread(chunk, 1, sizeof chunk, file)) > 0) fwrite(chunk, 1, length, stdout);
  int broken = ferror(file);
  fclose(file);
  return broken ? failed() : 0;
}

static int write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (!file) return failed();
  int broken = fputs(text, file) == EOF;
  broken |= fclose(file) == EOF;
  if (broken) return failed();
  puts("ok");
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "read") == 0) return read_file(argv[2]);
  if (argc == 4 && strcmp(argv[1], "write") == 0) return write_file(argv[2], argv[3]);
  fprintf(stderr, "usage: files-c read PATH | files-c write PATH TEXT\n");
  return 1;
}
