// SPDX-License-Identifier: LGPL-2.1-only OR MIT

import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.Sequence;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.WaitStrategy;
import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/**
 * The three measurements of ../README.md over the LMAX Disruptor: a ring in one process, where
 * others are threads. The publisher waits for the slowest reader: nothing is overwritten.
 *
 * With a hundred samples or more the program runs for half a second before it is measured, since
 * the virtual machine compiles what it sees to be used often.
 */
final class Disruptor {
	private static final int BURST = 256;
	private static final int READERS_MAX = 64;
	private static final long WARM_NS = 500_000_000L;
	private static final long WARM_NS_SAMPLE = 5_000_000L;
	private static final long SAMPLE_NS = 500_000L;
	private static final long PERIOD_NS = 1_000_000L;
	private static final int SAMPLE_ROUNDS = 8;
	private static final int SKIPPED = 77;
	private static final long END = 0; // the number of the last message; others begin at 1
	private static final int LINE = 16; // longs from one seat to the next

	private static final String USAGE =
		"usage: disruptor --shape a|b|c [--readers N] [--payload N] [--samples N] [--cpus A,B]\n"
		+ "                 [--sleep] [--spoil number|byte]\n"
		+ "as the other programs in bench/peers; see bench/peers/README.md";

	private static final VarHandle NUMBER =
		MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());

	// ---- options ---------------------------------------------------------------------------

	private static String shape = "";
	private static int readers = 1;
	private static int payload = 8;
	private static int samples = 100;
	private static int[] cpus;
	private static boolean sleep;
	private static long warmNs;
	private static String spoil = "";

	private static RuntimeException stop(int status, String why) {
		System.out.flush();
		System.err.println("disruptor: " + why);
		Runtime.getRuntime().halt(status);
		return new IllegalStateException(why); // for the compiler: what follows is not reached
	}

	private static int number(String text, String option, int least, int most) {
		try {
			int value = Integer.parseInt(text);
			if (value >= least && value <= most)
				return value;
		} catch (NumberFormatException e) {
			// said below
		}
		throw stop(2, option + " wants a number from " + least + " to " + most + ", not \"" + text
			+ "\"");
	}

	private static int[] twoCpus(String text) {
		String[] two = text.split(",");
		int first = number(two[0], "--cpus", 0, 1023);
		return new int[] {first, two.length > 1 ? number(two[1], "--cpus", 0, 1023) : first};
	}

	/** The last two that are allowed. */
	private static int[] defaultCpus() throws IOException {
		List<Integer> all = new ArrayList<>();
		for (String range : statusOf("/proc/self/status", "Cpus_allowed_list:").split(",")) {
			String[] ends = range.split("-");
			for (int i = Integer.parseInt(ends[0]); i <= Integer.parseInt(ends[ends.length - 1]); i++)
				all.add(i);
		}
		return new int[] {all.get(all.size() - 1), all.get(Math.max(0, all.size() - 2))};
	}

	private static void set(String option, String value) {
		switch (option) {
		case "--shape": shape = value; break;
		case "--readers": readers = number(value, option, 0, READERS_MAX); break;
		case "--payload": payload = number(value, option, 8, 4096); break;
		case "--samples": samples = number(value, option, 1, 1_000_000); break;
		case "--cpus": cpus = twoCpus(value); break;
		case "--spoil": spoil = value; break;
		default: throw stop(2, "unknown option " + option + "\n" + USAGE);
		}
	}

	private static void parse(String[] args) throws IOException {
		cpus = defaultCpus();
		for (int i = 0; i < args.length; i++) {
			if (args[i].equals("--help")) {
				System.out.println(USAGE);
				System.exit(0);
			} else if (args[i].equals("--sleep")) {
				sleep = true;
			} else if (i + 1 < args.length) {
				set(args[i], args[++i]);
			} else {
				throw stop(2, args[i] + " wants a value\n" + USAGE);
			}
		}
		if (!Arrays.asList("a", "b", "c").contains(shape)
		    || !Arrays.asList("", "number", "byte").contains(spoil))
			throw stop(2, USAGE);
		warmNs = Math.min(WARM_NS, samples * WARM_NS_SAMPLE);
		if (shape.equals("b"))
			readers = 1;
		else
			sleep = shape.equals("c");
		if (shape.equals("b") && !sleep && cpus[0] == cpus[1])
			throw stop(SKIPPED, "two that spin need two CPUs");
		if (spoil.equals("byte") && payload == 8)
			throw stop(SKIPPED, "there is no byte to spoil beside the number");
	}

	// ---- what the standard library does not have -------------------------------------------

	private static String statusOf(String path, String key) throws IOException {
		for (String line : Files.readAllLines(Path.of(path)))
			if (line.startsWith(key))
				return line.substring(key.length()).trim();
		throw new IOException("no " + key + " in " + path);
	}

	/** The calling thread stays on one CPU. */
	private static void pin(int cpu) {
		try {
			String thread = Files.readSymbolicLink(Path.of("/proc/thread-self")).getFileName().toString();
			Process taskset = new ProcessBuilder("taskset", "-cp", String.valueOf(cpu), thread)
				.redirectOutput(ProcessBuilder.Redirect.DISCARD)
				.start();
			if (taskset.waitFor() != 0)
				throw new IOException("taskset failed");
		} catch (IOException | InterruptedException e) {
			throw stop(1, "cannot run on CPU " + cpu + ": " + e.getMessage());
		}
	}

	/** CPU time in nanoseconds, and voluntary context switches, of all threads. */
	private static long[] usage() throws IOException {
		long[] sum = {0, 0};
		List<Path> threads;
		try (Stream<Path> list = Files.list(Path.of("/proc/self/task"))) {
			threads = list.toList();
		}
		for (Path thread : threads) {
			sum[0] += Long.parseLong(Files.readString(thread.resolve("schedstat")).split(" ")[0]);
			sum[1] += Long.parseLong(statusOf(thread + "/status", "voluntary_ctxt_switches:"));
		}
		return sum;
	}

	/** No run waits for ever. */
	private static void watch() {
		long ms = 1000L * (30 + samples / 200);
		Thread watchdog = new Thread(() -> {
			LockSupport.parkNanos(ms * 1_000_000L);
			throw stop(1, "no end in sight: given up");
		});
		watchdog.setDaemon(true);
		watchdog.start();
	}

	// ---- messages --------------------------------------------------------------------------

	private static byte pattern(int at) {
		return (byte) (at * 31 + at / 256 + 7);
	}

	private static byte[] newMessage() {
		byte[] message = new byte[payload];
		for (int i = 8; i < payload; i++)
			message[i] = pattern(i);
		return message;
	}

	private static void check(byte[] message, long number) {
		if (numberOf(message) != number)
			throw stop(1, "message " + numberOf(message) + " instead of " + number);
		for (int i = 8; i < payload; i++)
			if (message[i] != pattern(i))
				throw stop(1, "message " + number + " has a wrong byte at " + i);
	}

	private static long numberOf(byte[] message) {
		return (long) NUMBER.get(message, 0);
	}

	private static final class Sender {
		final RingBuffer<byte[]> ring;
		final byte[] message = newMessage();

		Sender(WaitStrategy strategy) {
			ring = RingBuffer.createSingleProducer(() -> new byte[payload], BURST, strategy);
		}

		void send(long number) {
			NUMBER.set(message, 0, number);
			long position = ring.next();
			System.arraycopy(message, 0, ring.get(position), 0, payload);
			ring.publish(position);
		}

		/** As asked for with --spoil. */
		void sendSpoiled(long number) {
			if (spoil.equals("byte"))
				message[payload - 1] ^= 1;
			send(number + (spoil.equals("number") ? 1 : 0));
		}
	}

	private static final class Reader {
		final RingBuffer<byte[]> ring;
		final SequenceBarrier barrier;
		final Sequence done;
		final byte[] message = new byte[payload];
		long next;

		Reader(RingBuffer<byte[]> ring) {
			this.ring = ring;
			barrier = ring.newBarrier();
			done = new Sequence(ring.getCursor());
			ring.addGatingSequences(done);
			next = done.get() + 1;
		}

		/** All there is; each has to be the one after {@code before}. Returns how many there were. */
		int drain(long before) {
			long available = ring.getCursor(), begin = next, wrong = 0;
			for (; next <= available; next++) {
				System.arraycopy(ring.get(next), 0, message, 0, payload);
				wrong |= numberOf(message) ^ ++before;
			}
			done.set(available);
			if (wrong != 0)
				throw stop(1, "a reader got wrong messages");
			return (int) (next - begin);
		}

		/** The next message. */
		long receive() {
			try {
				barrier.waitFor(next);
			} catch (Exception e) {
				throw stop(1, "waiting failed: " + e);
			}
			System.arraycopy(ring.get(next), 0, message, 0, payload);
			done.set(next++);
			return numberOf(message);
		}

		void receive(long number) {
			long got = receive();
			if (got != number)
				throw stop(1, "message " + got + " instead of " + number);
		}
	}

	/** Readers check the number of each message, and all bytes only of the last one. */
	private static boolean spoils(int sample) {
		return spoil.equals("number") && sample == samples / 2
			|| spoil.equals("byte") && sample + 1 == samples;
	}

	private static Thread start(Runnable work, int cpu, AtomicInteger ready) {
		Thread thread = new Thread(() -> {
			pin(cpu);
			ready.incrementAndGet();
			work.run();
		});
		thread.start();
		return thread;
	}

	private static void await(AtomicInteger ready, int count) {
		while (ready.get() < count)
			LockSupport.parkNanos(1_000_000L);
	}

	private static double clockCost() {
		long[] costs = new long[101];
		for (int i = 0; i < costs.length; i++) {
			long start = System.nanoTime();
			costs[i] = System.nanoTime() - start;
		}
		Arrays.sort(costs);
		return costs[costs.length / 2];
	}

	private static void print(String format, Object... values) {
		System.out.printf(Locale.ROOT, format, values);
	}

	// ---- shape a ---------------------------------------------------------------------------

	private static long last;

	private static void drainAll(Reader[] all) {
		for (Reader reader : all)
			if (reader.drain(last - BURST) != BURST)
				throw stop(1, "a reader got too few messages, or too many");
	}

	private static void round(Sender sender, Reader[] all) {
		for (int i = 0; i < BURST; i++)
			sender.send(++last);
		drainAll(all);
	}

	private static void spoiledRound(Sender sender, Reader[] all) {
		for (int i = 1; i < BURST; i++)
			sender.send(++last);
		sender.sendSpoiled(++last);
		drainAll(all);
	}

	private static void checkWhole(Sender sender, Reader[] all) {
		if (spoil.equals("byte"))
			sender.sendSpoiled(++last);
		else
			sender.send(++last);
		for (Reader reader : all) {
			reader.receive(last);
			check(reader.message, last);
		}
	}

	private static void shapeA() {
		pin(cpus[0]);
		Sender sender = new Sender(new BusySpinWaitStrategy());
		Reader[] all = new Reader[readers];
		for (int i = 0; i < readers; i++)
			all[i] = new Reader(sender.ring);
		checkWhole(sender, all);

		long start = System.nanoTime(), rounds = 0, half = 0;
		while (System.nanoTime() - start < warmNs) {
			round(sender, all);
			rounds++;
			if (System.nanoTime() - start < warmNs / 2)
				half = rounds;
		}
		long each = Math.max(1, warmNs / 2 / Math.max(1, rounds - half));
		long fit = Math.max(1, Math.min(SAMPLE_ROUNDS, SAMPLE_NS / each));
		if (spoil.equals("number"))
			spoiledRound(sender, all);
		double clock = clockCost();
		double[] values = new double[samples];
		for (int i = 0; i < samples; i++) {
			start = System.nanoTime();
			for (long k = 0; k < fit; k++)
				round(sender, all);
			values[i] = (System.nanoTime() - start - clock) / fit / BURST;
		}
		for (double value : values)
			print("sample\t%.3f\n", value);
	}

	// ---- shape b ---------------------------------------------------------------------------

	private static WaitStrategy strategy() {
		return sleep ? new BlockingWaitStrategy() : new BusySpinWaitStrategy();
	}

	private static void echo(Reader ping, Sender pong) {
		byte[] before = newMessage();
		for (long trip = 1; ; trip++) {
			long got = ping.receive();
			if (got == END)
				break;
			if (got != trip)
				throw stop(1, "message " + got + " instead of " + trip);
			System.arraycopy(ping.message, 0, before, 0, payload);
			pong.send(trip);
		}
		check(before, numberOf(before));
	}

	private static void shapeB() throws InterruptedException {
		Sender ping = new Sender(strategy()), pong = new Sender(strategy());
		Reader atEcho = new Reader(ping.ring), atHome = new Reader(pong.ring);
		AtomicInteger ready = new AtomicInteger();
		Thread echo = start(() -> echo(atEcho, pong), cpus[1], ready);
		pin(cpus[0]);
		await(ready, 1);

		long begin = System.nanoTime(), trip = 0;
		while (System.nanoTime() - begin < warmNs) {
			ping.send(++trip);
			atHome.receive(trip);
		}
		double clock = clockCost();
		double[] halves = new double[samples];
		for (int i = 0; i < samples; i++) {
			long start = System.nanoTime();
			trip++;
			if (spoils(i))
				ping.sendSpoiled(trip);
			else
				ping.send(trip);
			atHome.receive(trip);
			halves[i] = (System.nanoTime() - start - clock) / 2;
		}
		check(atHome.message, trip);
		ping.send(END);
		echo.join();
		for (double half : halves)
			print("latency\t%.1f\n", half);
	}

	// ---- shape c ---------------------------------------------------------------------------

	private static final AtomicLongArray numbers = new AtomicLongArray(READERS_MAX * LINE);
	private static final long[] whens = new long[READERS_MAX * LINE];

	private static void sleeper(Reader reader, int seat) {
		byte[] before = newMessage();
		for (long number = 1; ; number++) {
			long got = reader.receive();
			if (got == END)
				break;
			if (got != number)
				throw stop(1, "message " + got + " instead of " + number);
			whens[seat * LINE] = System.nanoTime();
			numbers.set(seat * LINE, number);
			System.arraycopy(reader.message, 0, before, 0, payload);
		}
		check(before, numberOf(before));
	}

	/** When the last reader got it; the least value there is if not all have. */
	private static long lastWake(long number) {
		long latest = Long.MIN_VALUE + 1;
		for (int i = 0; i < readers; i++) {
			if (numbers.get(i * LINE) != number)
				return Long.MIN_VALUE;
			latest = Math.max(latest, whens[i * LINE]);
		}
		return latest;
	}

	private static long tick;

	/** The next time to send. What was missed is not made up for. */
	private static void sleepToTick() {
		for (long left; (left = tick - System.nanoTime()) > 0; )
			LockSupport.parkNanos(left);
		tick += PERIOD_NS;
		if (tick < System.nanoTime())
			tick = System.nanoTime() + PERIOD_NS;
	}

	private static void shapeC() throws InterruptedException, IOException {
		Sender sender = new Sender(strategy());
		AtomicInteger ready = new AtomicInteger();
		Thread[] threads = new Thread[readers];
		for (int i = 0; i < readers; i++) {
			int seat = i;
			Reader reader = new Reader(sender.ring);
			threads[i] = start(() -> sleeper(reader, seat), cpus[1], ready);
		}
		pin(cpus[0]);
		await(ready, readers);

		long start = System.nanoTime(), number = 0, wake;
		while (System.nanoTime() - start < warmNs) {
			sender.send(++number);
			while (lastWake(number) == Long.MIN_VALUE)
				Thread.onSpinWait();
		}
		double clock = clockCost();
		long[] publish = new long[samples], wakes = new long[samples];
		usage();
		tick = System.nanoTime();
		sleepToTick();
		long[] before = usage();
		for (int i = 0; i < samples; i++) {
			start = System.nanoTime();
			number++;
			if (spoils(i))
				sender.sendSpoiled(number);
			else
				sender.send(number);
			publish[i] = System.nanoTime() - start;
			do {
				sleepToTick();
				wake = lastWake(number);
			} while (wake == Long.MIN_VALUE);
			wakes[i] = wake - start;
		}
		long[] after = usage();
		sender.send(END);
		for (Thread thread : threads)
			thread.join();
		for (int i = 0; i < samples; i++) {
			print("publish\t%.0f\n", Math.max(0, publish[i] - clock));
			if (readers > 0)
				print("lastwake\t%d\n", wakes[i]);
		}
		print("switches\t%.3f\n", (after[1] - before[1]) / (double) samples);
		print("cpu\t%.1f\n", (after[0] - before[0]) / (double) samples);
	}

	/** The file's name has it; Debian's manifest does not. */
	private static String version() throws Exception {
		Path jar = Path.of(RingBuffer.class.getProtectionDomain().getCodeSource().getLocation().toURI());
		return jar.toRealPath().getFileName().toString().replaceAll("^disruptor-|\\.jar$", "");
	}

	public static void main(String[] args) throws Exception {
		parse(args);
		watch();
		print("engine\tdisruptor %s, Java %s\n", version(), Runtime.version().feature());
		System.out.flush();
		if (shape.equals("a"))
			shapeA();
		else if (shape.equals("b"))
			shapeB();
		else
			shapeC();
	}
}
