/* Calls that make, rename and remove files and folders. */
#include "shim.h"
#include <limits.h>
#include <stdarg.h>

/* Ends a step that was `done`, and tells the result and the error that the caller sees. */
static int end(int done)
{
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return done;
}

/* Begins a step: 0 when it is to be done, else what to return at once. */
static int begin(int *done)
{
	pthread_mutex_lock(&lock);
	int fated = fate();
	*done = fated && fated != SWALLOW ? -1 : 0;
	if (fated == SHORT) fated = EIO;
	if (*done) errno = fated;
	return fated;
}

static uint64_t inode_of(int folder, const char *path)
{
	struct stat stat;
	return fstatat(folder, path, &stat, AT_SYMLINK_NOFOLLOW) ? 0 : stat.st_ino;
}

typedef int (*opener)(int folder, const char *path, int flags, mode_t mode);

static int open_with(opener real, int folder, const char *path, int flags, mode_t mode)
{
	char into[PATH_MAX];
	int unnamed = (flags & O_TMPFILE) == O_TMPFILE;
	const char *known = flags & (O_CREAT | O_TRUNC) || unnamed ? known_path(folder, path, into) : NULL;
	struct stat stat;
	int before = known && !unnamed && fstatat(folder, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
	int makes = unnamed || (flags & O_CREAT && !before);
	int empties = before && flags & O_TRUNC && S_ISREG(stat.st_mode) && stat.st_size > 0;
	if (!known || !(makes || empties)) return real(folder, path, flags, mode);
	int fd;
	int fated = begin(&fd);
	/* A file that is not there cannot be told to be. */
	if (fated == SWALLOW) fd = -1, errno = EIO;
	if (!fated) fd = real(folder, path, flags, mode);
	if (fd >= 0 && fstat(fd, &stat) == 0) {
		if (makes) record_names(MADE, stat.st_ino, unnamed ? "" : known, NULL);
		if (empties) record(LENGTH, stat.st_ino, 0, NULL, 0);
	}
	return end(fd);
}

static int really_openat(int folder, const char *path, int flags, mode_t mode)
{
	REAL(openat);
	return real(folder, path, flags, mode);
}

#define MODE(mode, flags) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list rest; \
		va_start(rest, flags); \
		mode = va_arg(rest, mode_t); \
		va_end(rest); \
	}

int open(const char *path, int flags, ...)
{
	MODE(mode, flags)
	return open_with(really_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE(mode, flags)
	return open_with(really_openat, AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
	MODE(mode, flags)
	return open_with(really_openat, folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
	MODE(mode, flags)
	return open_with(really_openat, folder, path, flags, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
	REAL(mkdirat);
	char into[PATH_MAX];
	const char *known = known_path(folder, path, into);
	/* One that is there already is no step, as for whoever makes sure of it. */
	if (!known || inode_of(folder, path)) return real(folder, path, mode);
	int done;
	if (!begin(&done)) {
		done = real(folder, path, mode);
		if (done == 0) record_names(FOLDER, inode_of(folder, path), known, NULL);
	}
	return end(done);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int folder, const char *path, int flags)
{
	REAL(unlinkat);
	char into[PATH_MAX];
	const char *known = known_path(folder, path, into);
	if (!known || !inode_of(folder, path)) return real(folder, path, flags);
	int done;
	if (!begin(&done)) {
		done = real(folder, path, flags);
		if (done == 0) record_names(UNLINKED, 0, known, NULL);
	}
	return end(done);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
	struct stat stat;
	int folder = lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode);
	return folder ? rmdir(path) : unlink(path);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	REAL(renameat2);
	char from_into[PATH_MAX], to_into[PATH_MAX];
	const char *known_from = known_path(from_folder, from, from_into);
	const char *known_to = known_path(to_folder, to, to_into);
	if (!known_from && !known_to) return real(from_folder, from, to_folder, to, flags);
	/* Names are exchanged, or come from elsewhere: that has no record. */
	if (flags & RENAME_EXCHANGE || !known_from) return errno = EINVAL, -1;
	int done;
	if (!begin(&done)) {
		done = real(from_folder, from, to_folder, to, flags);
		if (done == 0 && known_to) {
			record_names(RENAMED, inode_of(to_folder, to), known_from, known_to);
		} else if (done == 0) {
			record_names(UNLINKED, 0, known_from, NULL);
		}
	}
	return end(done);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	return renameat2(from_folder, from, to_folder, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
	REAL(linkat);
	char into[PATH_MAX];
	const char *known = known_path(to_folder, to, into);
	if (!known) return real(from_folder, from, to_folder, to, flags);
	int done;
	if (!begin(&done)) {
		done = real(from_folder, from, to_folder, to, flags);
		if (done == 0) record_names(LINKED, inode_of(to_folder, to), known, NULL);
	}
	return end(done);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}
