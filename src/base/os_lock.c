#include "base/os_lock.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The whole file. */
static struct flock whole(short type) { return (struct flock){.l_type = type, .l_whence = SEEK_SET}; }

/* Whoever ends well removes the file: is it still the one at `path`? */
static bool still_there(int fd, const char *path) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

enum os_lock os_lock(const char *path, int *fd, int *why) {
    for (;;) {
        *why = 0;
        *fd = fault_hit(FAULT_OPEN) ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (*fd < 0) {
            *why = errno;
            return OS_LOCK_NONE;
        }
        struct flock f = whole(F_WRLCK);
        if (fault_hit(FAULT_LOCK) || fcntl(*fd, F_OFD_SETLK, &f) != 0) {
            *why = errno;
            if (*why != EAGAIN && *why != EACCES) return OS_LOCK_NONE;
            os_close(*fd);
            *fd = -1;
            return OS_LOCK_BUSY;
        }
        if (still_there(*fd, path)) return OS_LOCK_HELD;
        os_close(*fd);
    }
}

bool os_is_locked(const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    struct flock f = whole(F_RDLCK);
    const bool locked = fcntl(fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
    os_close(fd);
    return locked;
}

/* ---- who sees a lock ---- */

/* File systems of several hosts, or of a program, by the magic number of statfs(2). `only_if` and `not_if`: words of the mount's options. */
static const struct {
    long magic;
    const char *name;
    bool all; /* locks are known to all hosts, as long as the options do not say otherwise */
    const char *only_if, *not_if;
} shared[] = {
    {0x6969, "NFS", true, NULL, "local_lock=all,local_lock=posix,nolock"},
    {0x0bd00bd0, "Lustre", true, "flock", "localflock"},
    {(long)0xff534d42, "SMB", true, NULL, "nobrl"},
    {(long)0xfe534d42, "SMB", true, NULL, "nobrl"},
    {0x517b, "SMB", true, NULL, "nobrl"},
    {0x00c36400, "Ceph", true, NULL, NULL},
    {0x47504653, "GPFS", true, NULL, NULL},
    {0x7461636f, "OCFS2", true, NULL, "localflocks"},
    {0x01161970, "GFS2", true, NULL, "localflocks"},
    {0x19830326, "BeeGFS", false, NULL, NULL},
    {0x5346414f, "AFS", false, NULL, NULL},
    {0x65735546, "FUSE", false, NULL, NULL},
    {0x01021997, "9p", false, NULL, NULL},
};

/* Is one of `words`, comma-separated, among the options, which are too? */
static bool among(const char *options, const char *words) {
    for (const char *w = words; w && *w;) {
        const size_t n = strcspn(w, ",");
        for (const char *o = options; *o;) {
            const size_t m = strcspn(o, ", \n");
            if (m == n && strncmp(o, w, n) == 0) return true;
            o += m + (o[m] != 0);
        }
        w += n + (w[n] != 0);
    }
    return false;
}

/* Of the mount that the file lies on: the line of /proc/self/mountinfo, options at both ends. */
static void mount_options(int fd, char *out, size_t size) {
    struct stat st;
    char line[4096], device[32];
    out[0] = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f || fstat(fd, &st) != 0) {
        if (f) (void)fclose(f);
        return;
    }
    (void)snprintf(device, sizeof device, " %u:%u ", major(st.st_dev), minor(st.st_dev));
    while (!out[0] && fgets(line, sizeof line, f))
        if (strstr(line, device)) (void)snprintf(out, size, "%s", line);
    (void)fclose(f);
}

bool os_lock_reaches_all(int fd, char what[OS_REACH_MAX]) {
    struct statfs fs;
    char options[4096];
    what[0] = 0;
    if (fstatfs(fd, &fs) != 0) return true;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++) {
        if ((uint32_t)fs.f_type != (uint32_t)shared[i].magic) continue;
        mount_options(fd, options, sizeof options);
        const bool all = shared[i].all && (!shared[i].only_if || among(options, shared[i].only_if)) && !among(options, shared[i].not_if);
        (void)snprintf(what, OS_REACH_MAX, "%s", shared[i].name);
        return all;
    }
    return true;
}
