// SPDX-License-Identifier: MIT
/* hello_subscribe.c - reads what hello_publish publishes, until it leaves */
#include <stdio.h>
#include <libronbus.h>

int main(void)
{
	struct ronbus *bus;
	struct ronbus_sub *sub;
	struct ronbus_msg msg;
	char text[32];
	int ret;

	ret = ronbus_attach(RONBUS_DEVICE, "hello", RONBUS_ACCESS_SUBSCRIBE, &bus);
	if (!ret)
		ret = ronbus_subscribe(bus, NULL, &sub);
	if (ret) {
		fprintf(stderr, "hello_subscribe: %s\n", ronbus_why(RONBUS_DEVICE, ret));
		return 1;
	}
	while ((ret = ronbus_recv(sub, text, sizeof(text), &msg, -1)) > 0) {
		if (ret == RONBUS_LAGGED)
			printf("lost %llu\n", msg.lost);
		else
			printf("%.*s\n", (int)msg.len, text);
		fflush(stdout);
	}
	ronbus_sub_close(sub);
	ronbus_close(bus);
	return ret < 0;
}
