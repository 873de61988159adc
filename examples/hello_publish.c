// SPDX-License-Identifier: MIT
/* hello_publish.c - makes a bus called "hello" and publishes ten messages, one a second */
#include <stdio.h>
#include <unistd.h>
#include <libronbus.h>

int main(void)
{
	struct ronbus_options options = { .name = "hello" };
	struct ronbus *bus;
	struct ronbus_pub *pub;
	char text[32];
	int err, i;

	err = ronbus_create(RONBUS_DEVICE, &options, &bus);
	if (!err)
		err = ronbus_publisher(bus, 0, &pub);
	if (err) {
		fprintf(stderr, "hello_publish: %s\n", ronbus_why(RONBUS_DEVICE, err));
		return 1;
	}
	for (i = 1; i <= 10; i++, sleep(1)) {
		int len = snprintf(text, sizeof(text), "hello, number %d", i);

		printf("%s, for %d\n", text, ronbus_publish(pub, 0, text, (size_t)len));
		fflush(stdout);
	}
	ronbus_pub_close(pub);
	ronbus_close(bus);
	return 0;
}
