// inodes DIR: the entries of a directory in the order in which they come, each with what stat(2) says of it: inode, links,
// size and times. Then makes a file, removes it, makes another one, and says what of each.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int tell(const char *path) {
    struct stat s;
    if (lstat(path, &s) != 0) {
        perror(path);
        return 1;
    }
    printf("%s: device %llu inode %llu links %llu size %lld times %lld %lld %lld\n", path, (unsigned long long)s.st_dev,
           (unsigned long long)s.st_ino, (unsigned long long)s.st_nlink, (long long)s.st_size, (long long)s.st_atim.tv_sec,
           (long long)s.st_mtim.tv_sec, (long long)s.st_ctim.tv_sec);
    return 0;
}

static int make(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    return write(fd, "x", 1) != 1 || close(fd) != 0 || tell(path);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: inodes DIR\n");
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (dir == NULL) {
        perror(argv[1]);
        return 1;
    }
    char path[512];
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        printf("entry inode %llu, ", (unsigned long long)entry->d_ino);
        if (tell(path) != 0) {
            return 1;
        }
    }
    closedir(dir);
    char one[512], other[512];
    snprintf(one, sizeof one, "%s/made", argv[1]);
    snprintf(other, sizeof other, "%s/made-again", argv[1]);
    return make(one) || unlink(one) != 0 || make(other);
}
