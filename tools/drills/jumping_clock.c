/* A wall clock that jumps: while the file $JUMPING_CLOCK exists, its text is added to the time of day, in seconds.
   The monotonic clock goes on as it is. Loaded into the web and the worker by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static int real_clock(clockid_t id, struct timespec *to) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, to);
}

static long jump(void) {
    static _Thread_local long seconds, read_in = -1;
    struct timespec now;
    real_clock(CLOCK_MONOTONIC, &now);
    long tenth = now.tv_sec * 10 + now.tv_nsec / 100000000;
    if (read_in == tenth) return seconds; /* a file is not read for each call */
    read_in = tenth;
    seconds = 0;
    const char *name = getenv("JUMPING_CLOCK");
    FILE *file = name ? fopen(name, "r") : NULL;
    if (!file) return 0;
    if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
    fclose(file);
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *to) {
    int failed = real_clock(id, to);
    if (!failed && id == CLOCK_REALTIME) to->tv_sec += jump();
    return failed;
}

int gettimeofday(struct timeval *to, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
