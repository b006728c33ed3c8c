/* Which files are known: those below the folder that SHIM_ROOT names, the folder itself, and the one that it
 * lies in, as far as that holds the folder's name. */
#include "shim.h"
#include <limits.h>

static const char *root(void)
{
	static const char *root;
	if (!root) root = getenv("SHIM_ROOT");
	return root ? root : "";
}

/* Where the root's own name begins. Paths are told from there on. */
static const char *base(const char *path)
{
	const char *last = strrchr(root(), '/');
	return last ? path + (last - root()) + 1 : path;
}

static int is_below(const char *path)
{
	size_t length = strlen(root());
	return length && !strncmp(path, root(), length) && (!path[length] || path[length] == '/');
}

/* Where a descriptor's file lies; 0 when nobody can say. */
static ssize_t place_of(int fd, char path[PATH_MAX])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, PATH_MAX - 1);
	path[length > 0 ? length : 0] = 0;
	return length > 0 ? length : 0;
}

int is_known(int fd, struct stat *stat)
{
	char path[PATH_MAX];
	int error = errno;
	int known = fstat(fd, stat) == 0 && (S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode));
	known = known && *root() && place_of(fd, path);
	if (known && !is_below(path)) {
		/* The folder that the root lies in. */
		size_t above = base(root()) - root() - 1;
		known = S_ISDIR(stat->st_mode) && strlen(path) == above && !strncmp(path, root(), above);
	}
	errno = error;
	return known;
}

int is_data(int fd)
{
	char path[PATH_MAX];
	ssize_t length = place_of(fd, path);
	return length > 9 && is_below(path) && !strcmp(path + length - 9, "/data.mdb");
}

/* The path as it is told, when it is known; NULL else. `into` holds PATH_MAX bytes. */
const char *known_path(int folder, const char *path, char *into)
{
	char whole[2 * PATH_MAX], at[PATH_MAX];
	int error = errno;
	if (*path == '/') {
		snprintf(whole, sizeof whole, "%s", path);
	} else {
		if (folder == AT_FDCWD ? !getcwd(at, sizeof at) : !place_of(folder, at)) at[0] = 0;
		snprintf(whole, sizeof whole, "%s/%s", at, path);
	}
	size_t length = strlen(whole);
	while (length > 1 && whole[length - 1] == '/') whole[--length] = 0;
	/* Links on the way are followed, the last name is taken as it is. */
	char *name = strrchr(whole, '/');
	*name++ = 0;
	const char *found = NULL;
	if (realpath(*whole ? whole : "/", at)) {
		snprintf(into, PATH_MAX, "%s/%.255s", strcmp(at, "/") ? at : "", name);
		if (is_below(into)) found = base(into);
	}
	errno = error;
	return found;
}
