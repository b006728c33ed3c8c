/* Stands between a program and the system where the program changes files below one folder: records what
 * it does, fails it, ends the program before it, or limits how far the data file may grow. Loaded with
 * LD_PRELOAD by trials; what it is to do stands in the environment. Knows names and bytes, and nothing of
 * what they mean; of data.mdb it knows that it is the data file.
 *
 *   SHIM_ROOT=FOLDER   the folder: absolute, with no links in it; it need not be there yet, but what it
 *                      lies in must be
 *   SHIM_LOG=FILE      append every step to FILE, in order
 *   SHIM_FAIL=N:KIND   fail the Nth step, counted from 0: eio, enospc, short (of a write half is done),
 *                      swallow (nothing is done and success is told), kill (the process ends before it)
 *   SHIM_LIMIT=FILE    while FILE is there, no data file is written beyond the offset that it holds
 *   SHIM_COUNT=FILE    keep what was counted in FILE, as `struct counts`
 *   SHIM_OVERLOOK=NAME do not see calls of the function NAME: for trials of what watches the shim
 *
 * A step is a write, a sync, a change of length, or a change of names. sync_file_range is none, because it
 * makes nothing durable, nor are the calls that lay room out behind the end. Calls that have the system
 * copy into a file are refused, as on file systems that cannot, so that it is written.
 */
#ifndef SHIM_H
#define SHIM_H
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

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Kinds of records; 5 is an acknowledgement, which the harness writes. */
enum {
	WRITE = 1,    /* bytes at an offset */
	SYNC = 2,     /* what was done to a file or folder before is durable */
	LENGTH = 3,   /* the file has as many bytes as `offset` says */
	DURABLE = 6,  /* the newest write to the file was durable when it ended */
	MADE = 7,     /* a new file, with its path, or with none while it has no name */
	FOLDER = 8,   /* a new folder, with its path */
	LINKED = 9,   /* another name of a file */
	RENAMED = 10, /* two paths, with a zero byte in between */
	UNLINKED = 11 /* a path is gone */
};

struct event {
	uint32_t kind;
	uint32_t length;
	uint64_t offset;
	uint64_t inode;
};

/* What was counted, in every process that shares the file. */
struct counts {
	uint64_t steps;
	uint64_t bytes;   /* that were written to any descriptor whatever */
	uint64_t syncs;   /* of data files */
	uint64_t durable; /* writes to data files that were durable when they ended */
};

/* What is to happen to a step: 0, an errno, or one of these. */
enum { SHORT = 1000, SWALLOW = 1001 };

extern pthread_mutex_t lock;

/* known.c: what lies below the folder. */
int is_known(int fd, struct stat *stat);
int is_data(int fd);
const char *known_path(int folder, const char *path, char *into);

/* record.c: what happens to a step, and what is told of it. The lock is held meanwhile. */
int fate(void);
void record(uint32_t kind, uint64_t inode, uint64_t offset, const struct iovec *parts, int count);
void record_names(uint32_t kind, uint64_t inode, const char *name, const char *other);
struct counts *counted(void);
int overlooked(const char *function);
uint64_t limit(void);

#endif
