/* A disk with something wrong, for files under $FAILING_DISK, by what the file $FAILING_DISK_FLAG says while it is there:
   "eio" takes writes and then cannot keep them, "slow" needs three seconds to keep them, "full" has no room,
   "read-only" takes no write. Loaded into the web by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_ours(int fd) {
    const char *disk = getenv("FAILING_DISK");
    char link[64], path[4096];
    if (!disk) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, disk, strlen(disk)) == 0;
}

/* The first letter of what is wrong with the disk that this file is on, or 0. */
static char wrong(int fd) {
    const char *flag = getenv("FAILING_DISK_FLAG");
    char letter = 0;
    int before = errno;
    if (flag && access(flag, F_OK) == 0 && is_ours(fd)) {
        int file = open(flag, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, &letter, 1) != 1) letter = 0;
            close(file);
        }
    }
    errno = before;
    return letter;
}

static int sync_by(const char *name, int fd) {
    switch (wrong(fd)) {
    case 'e': errno = EIO; return -1;
    case 's': sleep(3);
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

static int refuses(int fd) {
    switch (wrong(fd)) {
    case 'f': errno = ENOSPC; return 1;
    case 'r': errno = EROFS; return 1;
    }
    return 0;
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return refuses(fd) ? -1 : real(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return refuses(fd) ? -1 : real(fd, data, size, offset);
}
