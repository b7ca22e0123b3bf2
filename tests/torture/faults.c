/* Faults below the program: at the N-th system call that touches a folder, kill the process or fail the call.
 *
 *   LD_PRELOAD=faults.so FAULT_UNDER=/the/store FAULT_AT=17 [FAULT_ERRNO=28] [FAULT_REPORT=/file]
 *
 * Only calls that change something count: opening for writing, writing, making, renaming, removing, linking,
 * changing modes and times, syncing. A kill at a write happens after half of the bytes. With FAULT_ERRNO the
 * call (and, for ENOSPC, every later one that needs space) fails instead. At exit the number of calls seen
 * is written to FAULT_REPORT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FD 4096
static char tracked[MAX_FD];
static long seen, target;
static int fail_with;
static const char *under;
static size_t under_length;

static void report(void) {
    const char *path = getenv("FAULT_REPORT");
    if (path == NULL) return;
    FILE *f = fopen(path, "w");
    if (f != NULL) { fprintf(f, "%ld\n", seen); fclose(f); }
}

__attribute__((constructor)) static void begin(void) {
    under = getenv("FAULT_UNDER");
    if (under != NULL) under_length = strlen(under);
    const char *at = getenv("FAULT_AT"), *with = getenv("FAULT_ERRNO");
    target = at ? atol(at) : 0;
    fail_with = with ? atoi(with) : 0;
    atexit(report);
}

static int inside(int dir, const char *path) {
    if (under == NULL || path == NULL) return 0;
    if (path[0] == '/') return strncmp(path, under, under_length) == 0;
    return dir >= 0 && dir < MAX_FD && tracked[dir];
}

/* 1: fail this call; 2: kill after half of it (writes); does not return when it kills at once. */
static int fault(int is_write, int needs_space) {
    seen++;
    if (target == 0) return 0;
    if (fail_with == ENOSPC && seen > target && needs_space) return 1;
    if (seen != target) return 0;
    if (fail_with) return 1;
    if (is_write) return 2;
    kill(getpid(), SIGKILL);
    pause();
    return 0;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define CHECK(condition, space) if ((condition) && fault(0, space)) { errno = fail_with; return -1; }

static int opened(int fd, int is_inside) {
    if (fd >= 0 && fd < MAX_FD) tracked[fd] = is_inside;
    return fd;
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); va_list a; va_start(a, flags); mode_t mode = va_arg(a, mode_t); va_end(a); \
        int in = inside(-1, path); \
        CHECK(in && WRITES(flags), flags & O_CREAT) \
        return opened(real(path, flags, mode), in); }
#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        REAL(name); va_list a; va_start(a, flags); mode_t mode = va_arg(a, mode_t); va_end(a); \
        int in = inside(dir, path); \
        CHECK(in && WRITES(flags), flags & O_CREAT) \
        return opened(real(dir, path, flags, mode), in); }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    if (fd >= 0 && fd < MAX_FD && tracked[fd]) {
        int what = fault(1, 1);
        if (what == 1) { errno = fail_with; return -1; }
        if (what == 2) { real(fd, data, n / 2); kill(getpid(), SIGKILL); pause(); }
    }
    return real(fd, data, n);
}

int close(int fd) { REAL(close); if (fd >= 0 && fd < MAX_FD) tracked[fd] = 0; return real(fd); }
int fsync(int fd) { REAL(fsync); CHECK(fd >= 0 && fd < MAX_FD && tracked[fd], 1) return real(fd); }
int mkdir(const char *p, mode_t m) { REAL(mkdir); CHECK(inside(-1, p), 1) return real(p, m); }
int rename(const char *a, const char *b) { REAL(rename); CHECK(inside(-1, a) || inside(-1, b), 1) return real(a, b); }
int unlink(const char *p) { REAL(unlink); CHECK(inside(-1, p), 0) return real(p); }
int unlinkat(int d, const char *p, int f) { REAL(unlinkat); CHECK(inside(d, p), 0) return real(d, p, f); }
int rmdir(const char *p) { REAL(rmdir); CHECK(inside(-1, p), 0) return real(p); }
int symlink(const char *t, const char *p) { REAL(symlink); CHECK(inside(-1, p), 1) return real(t, p); }
int chmod(const char *p, mode_t m) { REAL(chmod); CHECK(inside(-1, p), 0) return real(p, m); }
int fchmodat(int d, const char *p, mode_t m, int f) { REAL(fchmodat); CHECK(inside(d, p), 0) return real(d, p, m, f); }
int utimensat(int d, const char *p, const struct timespec t[2], int f) {
    REAL(utimensat); CHECK(inside(d, p), 0) return real(d, p, t, f); }
