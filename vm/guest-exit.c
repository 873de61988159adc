// SPDX-License-Identifier: GPL-2.0
/*
 * guest-exit NONCE STATUS - end the run from inside the guest.
 *
 * Runs as the last step of /init. The result leaves by QEMU's debug console
 * (port 0xe9), not by a serial line, so nothing a test prints can be taken
 * for it; then isa-debug-exit (port 0xf4) makes QEMU exit with 2 * 21 + 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <termios.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char text[128];
	int fd, i, len;

	if (argc != 3)
		return 2;
	len = snprintf(text, sizeof(text), "%s %s\n", argv[1], argv[2]);
	if (len >= (int)sizeof(text))
		return 2;

	/* What the command printed may still sit in the driver. */
	fd = open("/dev/ttyS1", O_WRONLY);
	if (fd >= 0)
		tcdrain(fd);

	/*
	 * The kernel log may still be on its way out if another CPU holds the
	 * console. Listing the consoles takes that lock, and letting go of it
	 * prints what is pending.
	 */
	fd = open("/proc/consoles", O_RDONLY);
	if (fd >= 0)
		while (read(fd, text + len, sizeof(text) - len) > 0)
			;

	if (ioperm(0xe9, 1, 1) || ioperm(0xf4, 4, 1)) {
		perror("guest-exit: no access to the I/O ports");
		return 1;
	}
	for (i = 0; i < len; i++)
		outb(text[i], 0xe9);
	outl(21, 0xf4);
	return 1; /* not reached in QEMU */
}
