/* Stands between a server and the system where the server writes and syncs its data file: records
 * what it does, fails it, or limits how far the file may grow. Loaded with LD_PRELOAD by trials; what it
 * is to do stands in the environment. Knows the file by its name, data.mdb, and nothing of what is in it.
 *
 *   SHIM_LOG=FILE      append every write, sync and change of length to FILE, in order
 *   SHIM_FAIL=N:KIND   fail the Nth write or sync, counted from 0: eio, enospc, short (half of it is
 *                      written), swallow (nothing is done and success is told)
 *   SHIM_LIMIT=FILE    while FILE is there, nothing is written beyond the offset that it holds
 *   SHIM_COUNT=FILE    keep the number of writes and syncs so far in FILE, 8 bytes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC_BEGIN = 2, SYNC_END = 3, TRUNCATE = 4, WRITE_DURABLE = 6 };

struct event {
	uint32_t kind;
	uint32_t length;
	uint64_t offset;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t calls;
static dev_t device;
static ino_t inode;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Whether a descriptor is the data file's. */
static int is_data(int fd)
{
	struct stat stat;
	char link[64], path[4096];
	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) return 0;
	if (inode && stat.st_ino == inode && stat.st_dev == device) return 1;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 9) return 0;
	path[length] = 0;
	if (strcmp(path + length - 9, "/data.mdb") != 0) return 0;
	device = stat.st_dev;
	inode = stat.st_ino;
	return 1;
}

static void record(uint32_t kind, uint64_t offset, const struct iovec *parts, int count)
{
	static int fd = -2;
	if (fd == -2) {
		const char *path = getenv("SHIM_LOG");
		fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	}
	if (fd < 0) return;
	struct event event = { kind, 0, offset };
	struct iovec all[65] = { { &event, sizeof event } };
	for (int i = 0; i < count && i < 64; i++) {
		all[i + 1] = parts[i];
		event.length += parts[i].iov_len;
	}
	/* One call appends all of it in one piece, also beside the harness's own records. */
	REAL(writev);
	if (real(fd, all, count + 1) < 0) abort();
}

/* What is to happen to this call: 0, an errno, or the two below. */
enum { SHORT = 1000, SWALLOW = 1001 };

static int fate(void)
{
	static int counter = -2;
	static const char *fail;
	if (counter == -2) {
		const char *path = getenv("SHIM_COUNT");
		counter = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
		fail = getenv("SHIM_FAIL");
	}
	uint64_t number = calls++;
	if (counter >= 0) {
		REAL(pwrite);
		if (real(counter, &calls, sizeof calls, 0) < 0) abort();
	}
	if (!fail) return 0;
	char *kind;
	if (strtoull(fail, &kind, 10) != number) return 0;
	if (!strcmp(kind, ":eio")) return EIO;
	if (!strcmp(kind, ":enospc")) return ENOSPC;
	return strcmp(kind, ":short") ? SWALLOW : SHORT;
}

static uint64_t limit(void)
{
	const char *path = getenv("SHIM_LIMIT");
	if (!path) return UINT64_MAX;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return UINT64_MAX;
	char text[32] = { 0 };
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	return length > 0 ? strtoull(text, NULL, 10) : UINT64_MAX;
}

/* As much as there is room for, as systems do it: the next write finds none at all. */
static ssize_t write_partly(int fd, const struct iovec *parts, int count, off_t offset, uint64_t room)
{
	REAL(pwrite);
	ssize_t written = 0;
	for (int i = 0; i < count && room > 0; i++) {
		size_t length = parts[i].iov_len < room ? parts[i].iov_len : room;
		ssize_t wrote = real(fd, parts[i].iov_base, length, offset + written);
		if (wrote < 0) return wrote;
		written += wrote;
		room -= length;
	}
	return written;
}

static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset)
{
	REAL(pwritev);
	size_t length = 0;
	for (int i = 0; i < count; i++) length += parts[i].iov_len;
	pthread_mutex_lock(&lock);
	int fated = fate();
	uint64_t end = limit();
	if (!fated && (uint64_t)offset >= end) fated = ENOSPC;
	ssize_t written;
	if (!fated && offset + length > end) {
		written = write_partly(fd, parts, count, offset, end - offset);
	} else if (fated == SWALLOW) {
		written = length;
	} else if (fated == SHORT) {
		struct iovec half = { parts[0].iov_base, parts[0].iov_len / 2 };
		written = real(fd, &half, 1, offset);
	} else if (fated) {
		errno = fated;
		written = -1;
	} else {
		record(WRITE, offset, parts, count);
		written = real(fd, parts, count, offset);
		if (written >= 0 && (fcntl(fd, F_GETFL) & O_DSYNC)) record(WRITE_DURABLE, offset, NULL, 0);
	}
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	REAL(pwrite);
	if (!is_data(fd)) return real(fd, bytes, length, offset);
	struct iovec part = { (void *)bytes, length };
	return write_at(fd, &part, 1, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	return pwrite(fd, bytes, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	REAL(pwritev);
	return is_data(fd) ? write_at(fd, parts, count, offset) : real(fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	REAL(writev);
	if (!is_data(fd)) return real(fd, parts, count);
	off_t offset = lseek(fd, 0, SEEK_CUR);
	ssize_t written = write_at(fd, parts, count, offset);
	if (written > 0) lseek(fd, offset + written, SEEK_SET);
	return written;
}

static int sync_with(int (*real)(int), int fd)
{
	if (!is_data(fd)) return real(fd);
	pthread_mutex_lock(&lock);
	int fated = fate();
	int synced = 0;
	if (fated == SWALLOW) {
		synced = 0;
	} else if (fated) {
		errno = fated == SHORT ? EIO : fated;
		synced = -1;
	} else {
		record(SYNC_BEGIN, 0, NULL, 0);
		synced = real(fd);
		if (synced == 0) record(SYNC_END, 0, NULL, 0);
	}
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return synced;
}

int fdatasync(int fd)
{
	REAL(fdatasync);
	return sync_with(real, fd);
}

int fsync(int fd)
{
	REAL(fsync);
	return sync_with(real, fd);
}

int ftruncate(int fd, off_t length)
{
	REAL(ftruncate);
	if (is_data(fd)) record(TRUNCATE, length, NULL, 0);
	return real(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	REAL(fallocate);
	if (is_data(fd) && (uint64_t)(offset + length) > limit()) {
		errno = ENOSPC;
		return -1;
	}
	return real(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
	return fallocate(fd, mode, offset, length);
}
