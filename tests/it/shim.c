/* Makes a tool's system poorer, or slower, than the one that tests run on. Loaded with LD_PRELOAD.
 *
 *   SHIM_POOR=1     no files without a name, no links, no renaming that does not replace
 *   SHIM_HOLD=FILE  the first map of a data.mdb waits: FILE.held is made, until FILE is there
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int poor(void)
{
	return getenv("SHIM_POOR") != NULL;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

int linkat(int from, const char *path, int to, const char *name, int flags)
{
	REAL(linkat);
	return poor() ? refuse(EPERM) : real(from, path, to, name, flags);
}

int link(const char *path, const char *name)
{
	REAL(link);
	return poor() ? refuse(EPERM) : real(path, name);
}

int renameat2(int from, const char *path, int to, const char *name, unsigned flags)
{
	REAL(renameat2);
	return poor() && flags ? refuse(EINVAL) : real(from, path, to, name, flags);
}

static int is_nameless(int flags)
{
	return poor() && (flags & O_TMPFILE) == O_TMPFILE;
}

static mode_t mode_of(int flags, va_list arguments)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name, given) \
	va_list arguments; \
	va_start(arguments, flags); \
	mode_t mode = mode_of(flags, arguments); \
	va_end(arguments); \
	if (is_nameless(flags)) return refuse(EOPNOTSUPP); \
	REAL(name); \
	return real given

int open(const char *path, int flags, ...)
{
	OPEN(open, (path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
	OPEN(open64, (path, flags, mode));
}

int openat(int folder, const char *path, int flags, ...)
{
	OPEN(openat, (folder, path, flags, mode));
}

int openat64(int folder, const char *path, int flags, ...)
{
	OPEN(openat64, (folder, path, flags, mode));
}

static void hold(int fd)
{
	static int held;
	const char *until = getenv("SHIM_HOLD");
	char link[64], path[4096];
	if (held || !until || fd < 0) return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 9 || memcmp(path + length - 9, "/data.mdb", 9) != 0) return;
	held = 1;
	snprintf(path, sizeof path, "%s.held", until);
	close(creat(path, 0600));
	struct stat stat;
	while (lstat(until, &stat) != 0) usleep(1000);
}

void *mmap(void *address, size_t length, int rights, int flags, int fd, off_t offset)
{
	hold(fd);
	/* Looking the function up may need memory, and so this one. */
	return (void *)syscall(SYS_mmap, address, length, rights, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int rights, int flags, int fd, off64_t offset)
{
	return mmap(address, length, rights, flags, fd, offset);
}
