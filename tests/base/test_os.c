/* What the operating system refuses is named for what it is: the folder that is missing, in the way or closed; the disk that is read-only. */
#include "base/os.h"
#include "test.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char paths[8][OS_PATH_MAX];
static const char *in_dir(int i, const char *name) {
    NEED(os_join(paths[i], test_dir(), name));
    return paths[i];
}

static void missing_folders(void) {
    struct os_writer w;
    int fd;
    int64_t n;
    char **names;
    NEED(os_write_all(in_dir(0, "file"), "x", 1));
    CASE_ERR(os_open_read(in_dir(1, "a/b/c"), &fd, &n), ERR_IO, "/a does not exist)");
    CASE_ERR(os_open_read(in_dir(1, "a"), &fd, &n), ERR_IO, "/a: No such file or directory;");
    CASE_ERR(os_open_read(in_dir(1, "file/b"), &fd, &n), ERR_IO, "/file is not a folder)");
    CASE_ERR(os_open_read(test_dir(), &fd, &n), ERR_IO, "is not an ordinary file but a folder");
    CASE_ERR(os_write_open(&w, in_dir(1, "a/b")), ERR_IO, "/a does not exist)");
    CASE_ERR(os_write_open(&w, in_dir(1, "file/b")), ERR_IO, "/file is not a folder)");
    CASE_ERR(os_append_open(in_dir(1, "a/b"), &fd), ERR_IO, "/a does not exist)");
    CASE_ERR(os_list(in_dir(1, "a/b"), &names, &n), ERR_IO, "/a does not exist)");
    CASE_ERR(os_mkdirs(in_dir(1, "file/b/c")), ERR_IO, "/file is in the way: it is not a folder");
    CASE_ERR(os_mkdirs(in_dir(1, "file")), ERR_IO, "/file is in the way: it is not a folder");
    if (symlink("nowhere", in_dir(2, "link")) != 0) exit(2);
    CASE_ERR(os_open_read(paths[2], &fd, &n), ERR_IO, "a link to what is not there");
    CASE_ERR(os_open_read(in_dir(1, "link/b"), &fd, &n), ERR_IO, "/link does not exist)");
    CASE_OK(os_mkdirs(in_dir(1, "a/b/c")));
    CASE_OK(os_mkdirs(paths[1]));
    CASE(os_is_dir(paths[1]), "three folders at once");
}

static void no_dir(void) {
    char why[OS_WHY_MAX];
    CASE(strcmp(os_no_dir(in_dir(0, "file"), why), "is not a folder") == 0, "a file: %s", why);
    CASE(strcmp(os_no_dir(in_dir(1, "none"), why), "does not exist") == 0, "nothing: %s", why);
    CASE(strstr(os_no_dir(in_dir(1, "file/b"), why), "Not a directory"), "behind a file: %s", why);
    CASE(strstr(os_no_dir(in_dir(2, "link"), why), "a link to what is not there"), "a link: %s", why);
}

/* As a user who may not do everything, in the folder (the way to it may be closed): in a child, whose sum is its status. */
static void as_nobody(void (*checks)(void)) {
    pid_t child = fork();
    if (child == 0) {
        test_passed = test_failed = 0;
        if (chdir(test_dir()) != 0 || (geteuid() == 0 && setuid(65534) != 0)) _exit(255);
        checks();
        (void)fflush(stdout);
        _exit(test_failed ? 200 : test_passed);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) < 200) test_passed += WEXITSTATUS(status);
    else CASE(false, "checks as another user ended with %d", status);
}

static void closed_folders(void) {
    struct os_writer w;
    char why[OS_WHY_MAX];
    int fd;
    int64_t n;
    CASE_ERR(os_open_read("closed/in/file", &fd, &n), ERR_IO, "Permission denied (the folder closed may not be entered)");
    CASE_ERR(os_open_read("mine", &fd, &n), ERR_IO, "mine: Permission denied;");
    CASE_ERR(os_mkdirs("closed/new"), ERR_IO, "closed may not be entered)");
    CASE_ERR(os_mkdirs("readable/new"), ERR_IO, "readable/new: Permission denied;");
    CASE_ERR(os_write_open(&w, "readable/new"), ERR_IO, "readable/new: Permission denied;");
    CASE(!os_enters("closed") && os_is_dir("closed") && os_enters("readable"), "which folders may be entered");
    CASE(strstr(os_no_dir("closed", why), "may not be entered: Permission denied"), "closed: %s", why);
    CASE(strstr(os_no_dir("closed/in", why), "cannot be looked at: Permission denied (the folder"), "in a closed one: %s", why);
}

static void read_only(void) {
    struct os_writer w;
    int fd;
    CASE_ERR(os_mkdirs(in_dir(1, "ro/new/er")), ERR_IO, "/ro/new: Read-only file system;");
    CASE_ERR(os_write_open(&w, in_dir(1, "ro/new")), ERR_IO, "/ro/new: Read-only file system;");
    CASE_ERR(os_append_open(in_dir(1, "ro/new"), &fd), ERR_IO, "/ro/new: Read-only file system;");
    CASE_OK(os_mkdirs(in_dir(1, "ro")));
}

int main(void) {
    char ro[OS_PATH_MAX];
    missing_folders();
    no_dir();
    (void)chmod(test_dir(), 0755);
    NEED(os_mkdirs(in_dir(0, "closed/in")));
    NEED(os_mkdirs(in_dir(1, "readable")));
    NEED(os_write_all(in_dir(2, "mine"), "x", 1));
    (void)chmod(in_dir(0, "closed"), 0);
    (void)chmod(paths[1], 0555);
    (void)chmod(paths[2], 0);
    as_nobody(closed_folders);
    (void)chmod(paths[0], 0755);
    NEED(os_join(ro, test_dir(), "ro"));
    NEED(os_mkdirs(ro));
    if (mount("none", ro, "tmpfs", MS_RDONLY, NULL) == 0) {
        read_only();
        (void)umount(ro);
    } else {
        test_skip("a read-only file system: no right to mount one");
    }
    CASE_OK(os_remove_tree(test_dir()));
    return test_end();
}
