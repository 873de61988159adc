/* SPDX-License-Identifier: LGPL-2.1-only OR MIT */
/*
 * shapes.h - the three measurements, over what the including file defines (see peer.h)
 *
 * Their loops are those of ronbus-bench (case_shape_a.c, _b.c, _c.c), and are to stay so: change both.
 */
#ifdef PEER_THREADS
#define THREADS true
#else
#define THREADS false
#endif
#ifdef PEER_ASYNC
#define ASYNC true
#else
#define ASYNC false
#endif
#ifdef PEER_GREETS
#define GREETS true
#else
#define GREETS false
#endif

const char bench_name[] = PEER_NAME;

/* The number of a greeting; messages begin at 1. */
#define GREETING 0U
#define GREET_EVERY_NS 1000000U

/* On lines of its own, as ours are: see struct message in ronbus-bench/bus.h. */
struct message {
	uint64_t words[PAYLOAD_MAX / sizeof(uint64_t)];
} __attribute__((aligned(64)));

static struct channel channels[2];
static struct sender sender;
static struct reader readers[READERS_MAX];
static struct message sent; /* by the thread that measures */
static uint64_t last; /* number of the last message */
static double clock_ns; /* what a look at the clock costs */

static void send_numbered(struct sender *to, struct message *message, uint64_t number)
{
	message->words[0] = number;
	forget();
	message_send(to, message, peer.payload);
}

/* As asked for with --spoil. */
static void send_spoiled(struct sender *to, struct message *message, uint64_t number)
{
	unsigned char *byte = (unsigned char *)message + peer.payload - 1;

	if (peer.spoil == SPOIL_BYTE)
		*byte ^= 1;
	send_numbered(to, message, number + (peer.spoil == SPOIL_NUMBER));
}

/* Readers check the number of each message, and all bytes only of the last one. */
static bool spoils(unsigned int sample)
{
	return (peer.spoil == SPOIL_NUMBER && sample == peer.samples / 2) ||
	       (peer.spoil == SPOIL_BYTE && sample + 1 == peer.samples);
}

/* The next message has to be the one numbered @number; greetings may come before. */
static ALWAYS_INLINE void receive(struct reader *reader, struct message *message, uint64_t number)
{
	int len;

	do {
		len = peer.sleep ? message_wait(reader, message, sizeof(*message))
				 : message_take(reader, message, sizeof(*message));
		if (!len && !peer.sleep)
			pause_cpu();
	} while (!len || (GREETS && len > 0 && message->words[0] == GREETING));
	if (len != (int)peer.payload || message->words[0] != number)
		die("%d bytes of message %llu instead of %llu", len,
		    (unsigned long long)message->words[0], (unsigned long long)number);
}

/* A reader says that it is there, once it is reached. */
static void say_ready(struct reader *reader)
{
	struct message message;

	if (GREETS)
		while (message_wait(reader, &message, sizeof(message)) <= 0)
			;
	peer_ready();
}

static void wait_ready(struct sender *to, unsigned int count)
{
	struct message message = { { GREETING } };

	while (!peer_all_ready(count)) {
		if (GREETS)
			message_send(to, &message, peer.payload);
		nap(GREET_EVERY_NS);
	}
}

/* ---- shape a: one thread, a burst, and everybody drains ---------------------------------- */

static bool take_greetings(struct reader *reader)
{
	struct message message;
	bool any = false;

	while (message_take(reader, &message, sizeof(message)) > 0)
		any = true;
	return any;
}

static void greet_readers(void)
{
	struct message message = { { GREETING } };
	unsigned int i, there;

	do {
		message_send(&sender, &message, peer.payload);
		nap(2 * GREET_EVERY_NS);
		for (i = there = 0; i < peer.readers; i++)
			there += take_greetings(&readers[i]);
	} while (there < peer.readers);
}

static ALWAYS_INLINE void drain(struct reader *reader, size_t len)
{
	uint64_t expected = last - BURST, wrong = 0;
	struct message message;
	unsigned int got = 0;
	int ret;

	for (;;) {
		ret = ASYNC && got < BURST ? message_wait(reader, &message, len)
					   : message_take(reader, &message, len);
		if (ASYNC && !ret && got < BURST)
			continue;
		if (ret <= 0)
			break;
		wrong |= message.words[0] ^ ++expected;
		wrong |= (uint64_t)ret ^ len;
		forget();
		got++;
	}
	if (ret < 0 || wrong || got != BURST)
		die("a reader got %u messages of %u, or wrong ones", got, BURST);
}

static ALWAYS_INLINE void rounds_of(unsigned int rounds, size_t len)
{
	unsigned int i;

	while (rounds--) {
		for (i = 0; i < BURST; i++) {
			sent.words[0] = ++last;
			forget();
			message_send(&sender, &sent, len);
		}
		for (i = 0; i < peer.readers; i++)
			drain(&readers[i], len);
	}
}

/* Programs know the length of their messages when they are compiled. */
static NOINLINE void run_rounds(unsigned int rounds)
{
	switch (peer.payload) {
	case 8:
		return rounds_of(rounds, 8);
	case 32:
		return rounds_of(rounds, 32);
	default:
		return rounds_of(rounds, peer.payload);
	}
}

/* Every byte of a message; greetings may come before. */
static void check_whole(void)
{
	struct message message;
	unsigned int i;
	int len;

	last++;
	if (peer.spoil == SPOIL_BYTE)
		send_spoiled(&sender, &sent, last);
	else
		send_numbered(&sender, &sent, last);
	for (i = 0; i < peer.readers; i++) {
		do {
			len = ASYNC ? message_wait(&readers[i], &message, sizeof(message))
				    : message_take(&readers[i], &message, sizeof(message));
		} while (GREETS && (!len || message.words[0] == GREETING));
		if (len != (int)peer.payload)
			die("a message has %d bytes", len);
		message_check(&message, peer.payload, last);
	}
}

static void spoiled_round(void)
{
	unsigned int i;

	for (i = 1; i < BURST; i++)
		send_numbered(&sender, &sent, ++last);
	send_spoiled(&sender, &sent, ++last);
	for (i = 0; i < peer.readers; i++)
		drain(&readers[i], peer.payload);
}

#define WARM_NS 20000000U
#define SAMPLE_NS 500000U
#define SAMPLE_ROUNDS 8U

/* How many rounds are a sample: enough that the clock's steps do not matter. */
static unsigned int warm_up(void)
{
	uint64_t start = now_ns(), spent, fit;
	unsigned int rounds = 0;

	do {
		run_rounds(1);
		rounds++;
		spent = now_ns() - start;
	} while (spent < WARM_NS);
	fit = SAMPLE_NS * (uint64_t)rounds / spent;
	return fit < 1 ? 1 : fit > SAMPLE_ROUNDS ? SAMPLE_ROUNDS : (unsigned int)fit;
}

static void open_all(void)
{
	unsigned int i;

	channel_open(&channels[0], 0, peer.readers);
	peer_roam();
	sender_open(&sender, &channels[0]);
	for (i = 0; i < peer.readers; i++)
		reader_open(&readers[i], &channels[0], i);
	pin(peer.cpus[0]);
	if (GREETS)
		greet_readers();
}

static void shape_a(void)
{
	unsigned int i, rounds;
	uint64_t start, spent;

	open_all();
	check_whole();
	rounds = warm_up();
	if (peer.spoil == SPOIL_NUMBER)
		spoiled_round();
	for (i = 0; i < peer.samples; i++) {
		start = now_ns();
		run_rounds(rounds);
		spent = now_ns() - start;
		printf("sample\t%.3f\n", ((double)spent - clock_ns) / rounds / BURST);
	}
}

/* ---- shape b: ping-pong ------------------------------------------------------------------ */

#define WARM_TRIPS 200U

static void echo(unsigned int number)
{
	struct sender back;
	struct message message, answer;
	uint64_t trip;

	reader_open(&readers[0], &channels[0], number);
	sender_open(&back, &channels[1]);
	pin(peer.cpus[1]);
	message_fill(&answer, peer.payload);
	say_ready(&readers[0]);
	wait_ready(&back, 2);
	for (trip = 1; trip <= WARM_TRIPS + peer.samples; trip++) {
		receive(&readers[0], &message, trip);
		send_numbered(&back, &answer, trip);
	}
	message_check(&message, peer.payload, trip - 1);
	/* What is on its way may be lost when its sender ends. */
	while (!peer_all_ready(3))
		nap(GREET_EVERY_NS);
}

/* There and back; returns half of what it took. */
static double one_way(uint64_t trip, bool spoiled)
{
	struct message message;
	uint64_t start = now_ns();
	double took;

	if (spoiled)
		send_spoiled(&sender, &sent, trip);
	else
		send_numbered(&sender, &sent, trip);
	receive(&readers[1], &message, trip);
	took = ((double)(now_ns() - start) - clock_ns) / 2;
	if (trip == WARM_TRIPS)
		message_check(&message, peer.payload, trip);
	return took;
}

static void shape_b(void)
{
	double *halves = calloc(peer.samples, sizeof(*halves));
	unsigned int i;

	if (!halves)
		die("no memory");
	channel_open(&channels[0], 0, 1);
	channel_open(&channels[1], 1, 1);
	peer_roam();
	peer_spawn(THREADS, echo, 0);
	sender_open(&sender, &channels[0]);
	reader_open(&readers[1], &channels[1], 0);
	pin(peer.cpus[0]);
	wait_ready(&sender, 1);
	say_ready(&readers[1]);
	for (i = 1; i <= WARM_TRIPS; i++)
		one_way(i, false);
	for (i = 0; i < peer.samples; i++)
		halves[i] = one_way(WARM_TRIPS + i + 1, spoils(i));
	peer_ready();
	peer_join();
	for (i = 0; i < peer.samples; i++)
		printf("latency\t%.1f\n", halves[i]);
	free(halves);
}

/* ---- shape c: sleeping readers ----------------------------------------------------------- */

#define WARM_SENDS 20U
#define PERIOD_NS 1000000U

static void sleeper(unsigned int number)
{
	struct seat *seat = &control->seats[number];
	struct usage start = { 0 };
	struct message message;
	uint64_t i;

	reader_open(&readers[number], &channels[0], number);
	pin(peer.cpus[1]);
	say_ready(&readers[number]);
	for (i = 1; i <= WARM_SENDS + peer.samples; i++) {
		receive(&readers[number], &message, i);
		seat->when = now_ns();
		if (i == WARM_SENDS)
			start = peer_usage();
		__atomic_store_n(&seat->number, i, __ATOMIC_RELEASE);
	}
	message_check(&message, peer.payload, i - 1);
	if (!THREADS)
		seat->usage = peer_usage_since(start);
}

struct times {
	double publish;
	double last_wake;
};

/*
 * The sender looks at the next tick only: looking earlier would take a CPU from the readers that are
 * to wake up.
 */
static struct times one_message(uint64_t number, uint64_t *next, bool spoiled)
{
	uint64_t begin, end, latest;

	begin = now_ns();
	if (spoiled)
		send_spoiled(&sender, &sent, number);
	else
		send_numbered(&sender, &sent, number);
	end = now_ns();
	do {
		sleep_to_tick(next, PERIOD_NS);
		latest = last_wake(control->seats, peer.readers, number);
	} while (!latest && peer.readers);
	return (struct times){ (double)(end - begin) - clock_ns, (double)(latest - begin) };
}

static void add_usage(struct usage *sum, struct usage more)
{
	sum->cpu_ns += more.cpu_ns;
	sum->switches += more.switches;
}

/* Of threads of this process, or of a process that the engine has. */
static struct usage usage_here(void)
{
	struct usage usage = peer_usage();

#ifdef PEER_DAEMON
	add_usage(&usage, daemon_usage());
#endif
	return usage;
}

static void print_c(const struct times *times, struct usage sum)
{
	unsigned int i;

	for (i = 0; i < peer.readers; i++)
		add_usage(&sum, control->seats[i].usage);
	for (i = 0; i < peer.samples; i++) {
		printf("publish\t%.0f\n", times[i].publish > 0 ? times[i].publish : 0);
		if (peer.readers)
			printf("lastwake\t%.0f\n", times[i].last_wake);
	}
	printf("switches\t%.3f\n", (double)sum.switches / peer.samples);
	printf("cpu\t%.1f\n", (double)sum.cpu_ns / peer.samples);
}

static void shape_c(void)
{
	struct times *times = calloc(peer.samples, sizeof(*times));
	struct usage start, sum;
	uint64_t next;
	unsigned int i;

	if (!times)
		die("no memory");
	channel_open(&channels[0], 0, peer.readers);
	peer_roam();
	for (i = 0; i < peer.readers; i++)
		peer_spawn(THREADS, sleeper, i);
	sender_open(&sender, &channels[0]);
	pin(peer.cpus[0]);
	wait_ready(&sender, peer.readers);
	next = now_ns();
	sleep_to_tick(&next, PERIOD_NS);
	for (i = 1; i <= WARM_SENDS; i++)
		one_message(i, &next, false);
	start = usage_here();
	for (i = 0; i < peer.samples; i++)
		times[i] = one_message(WARM_SENDS + i + 1, &next, spoils(i));
	sum = usage_here();
	sum.cpu_ns -= start.cpu_ns;
	sum.switches -= start.switches;
	peer_join();
	print_c(times, sum);
	free(times);
}

int main(int argc, char **argv)
{
	char version[128];

	peer_options(argc, argv);
	peer_version(version, sizeof(version));
	printf("engine\t%s %s\n", PEER_NAME, version);
	fflush(stdout);
	message_fill(&sent, peer.payload);
	clock_ns = clock_cost();
	pin(peer.cpus[0]);
	if (peer.shape == 'a')
		shape_a();
	else if (peer.shape == 'b')
		shape_b();
	else
		shape_c();
	return fflush(stdout) ? 1 : 0;
}
