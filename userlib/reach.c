// SPDX-License-Identifier: LGPL-2.1-only OR MIT
/*
 * reach.c - why the device cannot be opened
 *
 * What open(2) says has several reasons, and each its own way out; so the reason is looked for.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* How a container gets the device, or does without. */
#define LET_IN                                                  \
	"let the device in (\"--device " RONBUS_DEVICE          \
	"\" of docker and podman, \"DeviceAllow=" RONBUS_DEVICE \
	" rw\" of systemd, \"--dev-bind\" of bwrap), or pass the fd of a bus in, for ronbus_adopt()"

/* The kernel names the drivers that it has, also where none of their files can be seen. */
static bool module_loaded(void)
{
	FILE *list = fopen("/proc/misc", "re");
	bool found = !access("/sys/module/ronbus", F_OK);
	char name[64];

	while (list && !found && fscanf(list, "%*d %63s", name) == 1)
		found = !strcmp(name, "ronbus");
	if (list)
		fclose(list);
	return found;
}

static const char *not_there(const char *where)
{
	if (!strchr(where, '/'))
		return "\"%s\" is no transport: give the path of the device, " RONBUS_DEVICE
		       ", or \"" RONBUS_EMBEDDED "\"";
	if (!module_loaded())
		return "there is no %s: the module ronbus is not loaded; load it with \"modprobe "
		       "ronbus\" (or \"insmod ronbus.ko\"), outside if this is a container; or use "
		       "the transport \"" RONBUS_EMBEDDED
		       "\", which needs none, within one process";
	if (!access(RONBUS_DEVICE, F_OK))
		return "there is no %s: the device is " RONBUS_DEVICE;
	return "there is no %s here, though the module ronbus is loaded: this is a container or a "
	       "sandbox that does not have the device; " LET_IN;
}

static const char *nothing_behind(void)
{
	if (module_loaded())
		return "%s is a left-over: the module ronbus is loaded, and has another number; "
		       "remove the file and let udev make it, or name the right one";
	return "there is no module for %s: load the module with \"modprobe ronbus\", and remove the "
	       "file if it is a left-over";
}

static const char *not_allowed(const char *where)
{
	struct statvfs fs;
	struct stat file;

	if (stat(where, &file))
		return "you may not look at %s: a directory on the way to it is closed to you";
	if (!S_ISCHR(file.st_mode))
		return "%s is not a device: name the right one";
	if (!statvfs(where, &fs) && fs.f_flag & ST_NODEV)
		return "%s cannot be opened, since the file system that it is on is mounted with "
		       "\"nodev\", as that of a container or a sandbox is; " LET_IN;
	if (!euidaccess(where, R_OK | W_OK))
		return "the mode of %s lets you open it, but a rule of this container, of its "
		       "service or of a security module does not; " LET_IN;
	return "you may not open %s: join the group it belongs to, or have its mode widened "
	       "(the udev rule that comes with ronbus does that)";
}

const char *ronbus_unreachable(const char *where, int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return not_there(where);
	case ENXIO:
	case ENODEV:
		return nothing_behind();
	case EACCES:
	case EPERM:
		return not_allowed(where);
	case ENOTTY:
	case EINVAL:
		return "%s is not a ronbus device; name the right one, or load the module with "
		       "\"modprobe ronbus\"";
	}
	return NULL;
}
