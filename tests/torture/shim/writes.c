/* Calls that write to files, sync them, or change their lengths. */
#include "shim.h"
#include <sys/sendfile.h>

static ssize_t really_write(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	REAL(pwritev2);
	ssize_t written = real(fd, parts, count, offset, flags);
	if (written > 0) __atomic_add_fetch(&counted()->bytes, written, __ATOMIC_SEQ_CST);
	return written;
}

/* As much as there is room for, as systems do it: the next write finds none at all. */
static ssize_t write_up_to(uint64_t room, int fd, const struct iovec *parts, off_t offset)
{
	struct iovec part = parts[0];
	if (part.iov_len > room) part.iov_len = room;
	return really_write(fd, &part, 1, offset, 0);
}

/* Writes at an offset, or where the descriptor stands when that is -1. */
static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	struct stat stat;
	if (!is_known(fd, &stat)) return really_write(fd, parts, count, offset, flags);
	pthread_mutex_lock(&lock);
	int fated = fate();
	int mode = fcntl(fd, F_GETFL);
	off_t at = offset;
	if (at < 0) at = mode & O_APPEND ? stat.st_size : lseek(fd, 0, SEEK_CUR);
	uint64_t end = is_data(fd) ? limit() : UINT64_MAX;
	size_t length = 0;
	for (int i = 0; i < count; i++) length += parts[i].iov_len;
	if (!fated && (uint64_t)at >= end) fated = ENOSPC;
	ssize_t written;
	if (fated == SWALLOW) {
		written = length;
	} else if (fated == SHORT) {
		written = write_up_to(parts[0].iov_len / 2, fd, parts, offset);
	} else if (fated) {
		errno = fated;
		written = -1;
	} else if (at + length > end) {
		written = write_up_to(end - at, fd, parts, offset);
	} else {
		written = really_write(fd, parts, count, offset, flags);
		if (written == (ssize_t)length) {
			record(WRITE, stat.st_ino, at, parts, count);
		} else if (written >= 0) {
			/* Whoever needs the log of such a call is told that there is none. */
			record(0, stat.st_ino, at, NULL, 0);
		}
		if (written >= 0 && (mode & O_DSYNC || flags & (RWF_DSYNC | RWF_SYNC))) {
			record(DURABLE, stat.st_ino, 0, NULL, 0);
			if (is_data(fd)) __atomic_add_fetch(&counted()->durable, 1, __ATOMIC_SEQ_CST);
		}
	}
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return written;
}

#define OVERLOOKED(name, ...) \
	if (overlooked(#name)) { \
		REAL(name); \
		return real(__VA_ARGS__); \
	}

ssize_t write(int fd, const void *bytes, size_t length)
{
	OVERLOOKED(write, fd, bytes, length)
	struct iovec part = { (void *)bytes, length };
	return write_at(fd, &part, 1, -1, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	OVERLOOKED(writev, fd, parts, count)
	return write_at(fd, parts, count, -1, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	OVERLOOKED(pwrite, fd, bytes, length, offset)
	struct iovec part = { (void *)bytes, length };
	return write_at(fd, &part, 1, offset, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	return pwrite(fd, bytes, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	OVERLOOKED(pwritev, fd, parts, count, offset)
	return write_at(fd, parts, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
	return pwritev(fd, parts, count, offset);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return write_at(fd, parts, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
	return write_at(fd, parts, count, offset, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t length)
{
	REAL(sendfile);
	struct stat stat;
	if (is_known(to, &stat)) return errno = EINVAL, -1;
	ssize_t written = real(to, from, offset, length);
	if (written > 0) __atomic_add_fetch(&counted()->bytes, written, __ATOMIC_SEQ_CST);
	return written;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t length)
{
	return sendfile(to, from, offset, length);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *offset, size_t length, unsigned flags)
{
	REAL(copy_file_range);
	struct stat stat;
	if (is_known(to, &stat)) return errno = ENOSYS, -1;
	ssize_t written = real(from, at, to, offset, length, flags);
	if (written > 0) __atomic_add_fetch(&counted()->bytes, written, __ATOMIC_SEQ_CST);
	return written;
}

static int sync_with(int (*real)(int), int fd)
{
	struct stat stat;
	if (!is_known(fd, &stat)) return real(fd);
	pthread_mutex_lock(&lock);
	int fated = fate();
	int synced = 0;
	if (fated && fated != SWALLOW) {
		errno = fated == SHORT ? EIO : fated;
		synced = -1;
	} else if (!fated) {
		/* Nothing else is written by this process meanwhile. */
		synced = real(fd);
		if (synced == 0) {
			record(SYNC, stat.st_ino, 0, NULL, 0);
			if (is_data(fd)) __atomic_add_fetch(&counted()->syncs, 1, __ATOMIC_SEQ_CST);
		}
	}
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return synced;
}

int fdatasync(int fd)
{
	OVERLOOKED(fdatasync, fd)
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
	struct stat stat;
	if (!is_known(fd, &stat)) return real(fd, length);
	pthread_mutex_lock(&lock);
	int fated = fate();
	int changed = 0;
	if (fated && fated != SWALLOW) {
		errno = fated == SHORT ? EIO : fated;
		changed = -1;
	} else if (!fated) {
		changed = real(fd, length);
		if (changed == 0) record(LENGTH, stat.st_ino, length, NULL, 0);
	}
	int error = errno;
	pthread_mutex_unlock(&lock);
	errno = error;
	return changed;
}

int ftruncate64(int fd, off64_t length)
{
	return ftruncate(fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	REAL(fallocate);
	struct stat stat;
	if (!is_known(fd, &stat)) return real(fd, mode, offset, length);
	if (is_data(fd) && (uint64_t)(offset + length) > limit()) return errno = ENOSPC, -1;
	int done = real(fd, mode, offset, length);
	if (done == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && stat.st_size < offset + length) {
		pthread_mutex_lock(&lock);
		record(LENGTH, stat.st_ino, offset + length, NULL, 0);
		pthread_mutex_unlock(&lock);
	}
	return done;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
	return fallocate(fd, mode, offset, length);
}
