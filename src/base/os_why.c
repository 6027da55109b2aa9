/* Why the system refused a path. What it says is true of the path as a whole; the part of it that is to blame is found here. */
#include "base/os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is this the folder on the way that the error is about? */
static bool to_blame(const char *folder, int error) {
    struct stat st;
    switch (error) {
    case ENOENT: return stat(folder, &st) != 0 && errno == ENOENT;
    case ENOTDIR: return stat(folder, &st) == 0 && !S_ISDIR(st.st_mode);
    case EACCES: return access(folder, X_OK) != 0;
    default: return false;
    }
}

const char *os_why(const char *path, int error, char out[OS_WHY_MAX]) {
    char p[OS_PATH_MAX];
    struct stat st;
    const char *what = error == ENOENT ? "does not exist" : error == ENOTDIR ? "is not a folder" : "may not be entered";
    (void)snprintf(p, sizeof p, "%s", path);
    for (char *s = p; *s; s++) {
        if (*s != '/' || s == p || !s[1]) continue;
        *s = 0;
        if (to_blame(p, error)) {
            (void)snprintf(out, OS_WHY_MAX, "%s (the folder %.300s %s)", strerror(error), p, what);
            return out;
        }
        *s = '/';
    }
    if (error == ENOENT && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        (void)snprintf(out, OS_WHY_MAX, "%s (it is a link to what is not there)", strerror(error));
    else (void)snprintf(out, OS_WHY_MAX, "%s", strerror(error));
    return out;
}

bool os_enters(const char *path) { return os_is_dir(path) && access(path, X_OK) == 0; }

const char *os_no_dir(const char *path, char out[OS_WHY_MAX]) {
    struct stat st;
    char why[OS_WHY_MAX];
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) (void)snprintf(out, OS_WHY_MAX, "may not be entered: %.400s", strerror(EACCES));
    else if (stat(path, &st) == 0) (void)snprintf(out, OS_WHY_MAX, "is not a folder");
    else if (errno == ENOENT && lstat(path, &st) != 0) (void)snprintf(out, OS_WHY_MAX, "does not exist");
    else (void)snprintf(out, OS_WHY_MAX, "cannot be looked at: %.400s", os_why(path, errno, why));
    return out;
}
