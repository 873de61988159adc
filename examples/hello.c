// SPDX-License-Identifier: MIT
/* hello.c - both ends of a bus in one process: needs neither the module nor privileges */
#include <stdio.h>
#include <libronbus.h>

int main(void)
{
	static const char text[] = "hello, world";
	struct ronbus *bus;
	struct ronbus_pub *pub;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	char buffer[32];
	int err;

	err = ronbus_create(RONBUS_EMBEDDED, NULL, &bus);
	if (!err)
		err = ronbus_subscribe(bus, NULL, &sub);
	if (!err)
		err = ronbus_publisher(bus, 0, &pub);
	if (err) {
		fprintf(stderr, "hello: %s\n", ronbus_why(RONBUS_EMBEDDED, err));
		return 1;
	}
	printf("published for %d\n", ronbus_publish(pub, 0, text, sizeof(text) - 1));
	ronbus_pub_close(pub);
	while (ronbus_recv(sub, buffer, sizeof(buffer), &msg, -1) == RONBUS_MESSAGE)
		printf("received \"%.*s\" at position %llu\n", (int)msg.len, buffer, msg.position);
	printf("the publisher has left: the bus has ended\n");
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return 0;
}
