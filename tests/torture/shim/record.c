/* What is told of each step, and what happens to it. */
#include "shim.h"
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_file = -1;
static struct counts *counts;

/* Not through the functions that stand in between. */
static int open_for(const char *variable, int flags)
{
	const char *path = getenv(variable);
	return path ? (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600) : -1;
}

__attribute__((constructor)) static void begin(void)
{
	static struct counts nowhere;
	counts = &nowhere;
	log_file = open_for("SHIM_LOG", O_WRONLY | O_APPEND | O_CREAT);
	int fd = open_for("SHIM_COUNT", O_RDWR | O_CREAT);
	if (fd < 0) return;
	struct stat stat;
	/* A process that this one has started goes on with its counts. */
	if (fstat(fd, &stat) || (stat.st_size == 0 && syscall(SYS_ftruncate, fd, sizeof *counts))) abort();
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED) abort();
	close(fd);
}

struct counts *counted(void)
{
	static struct counts early;
	return counts ? counts : &early;
}

int overlooked(const char *function)
{
	const char *name = getenv("SHIM_OVERLOOK");
	return name && !strcmp(name, function);
}

void record(uint32_t kind, uint64_t inode, uint64_t offset, const struct iovec *parts, int count)
{
	if (log_file < 0) return;
	struct event event = { kind, 0, offset, inode };
	struct iovec all[IOV_MAX] = { { &event, sizeof event } };
	if (count >= IOV_MAX) abort();
	for (int i = 0; i < count; i++) {
		all[i + 1] = parts[i];
		event.length += parts[i].iov_len;
	}
	/* One call appends all of it in one piece, also beside the harness's own records. */
	ssize_t written = syscall(SYS_writev, log_file, all, count + 1);
	if (written != (ssize_t)(sizeof event + event.length)) abort();
	__atomic_add_fetch(&counted()->bytes, written, __ATOMIC_SEQ_CST);
}

void record_names(uint32_t kind, uint64_t inode, const char *name, const char *other)
{
	struct iovec parts[2] = { { (void *)name, strlen(name) } };
	if (other) {
		parts[0].iov_len++;
		parts[1] = (struct iovec){ (void *)other, strlen(other) };
	}
	record(kind, inode, 0, parts, other ? 2 : 1);
}

int fate(void)
{
	uint64_t number = __atomic_fetch_add(&counted()->steps, 1, __ATOMIC_SEQ_CST);
	const char *fail = getenv("SHIM_FAIL");
	char *kind;
	if (!fail || strtoull(fail, &kind, 10) != number) return 0;
	if (!strcmp(kind, ":kill")) {
		raise(SIGKILL);
		pause();
	}
	if (!strcmp(kind, ":eio")) return EIO;
	if (!strcmp(kind, ":enospc")) return ENOSPC;
	return strcmp(kind, ":short") ? SWALLOW : SHORT;
}

uint64_t limit(void)
{
	int fd = open_for("SHIM_LIMIT", O_RDONLY);
	if (fd < 0) return UINT64_MAX;
	char text[32] = { 0 };
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	return length > 0 ? strtoull(text, NULL, 10) : UINT64_MAX;
}
