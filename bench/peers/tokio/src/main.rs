// SPDX-License-Identifier: LGPL-2.1-only OR MIT
//! The measurements of ../../README.md over tokio::sync::broadcast, shape d among them, which is for
//! `make baseline` and in no other peer.
//!
//! The channel lives in one process: others are threads. Readers that sleep do so in a waker that
//! parks the thread, as blocking_recv() of later versions does; there is no runtime around it,
//! which would only add to the cost.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::TryRecvError, Receiver, Sender};

const BURST: usize = 256;
const WARM: Duration = Duration::from_millis(20);
const SAMPLE: Duration = Duration::from_micros(500);
const SAMPLE_ROUNDS: u128 = 8;
const WARM_TRIPS: u64 = 200;
const WARM_SENDS: u64 = 20;
const PERIOD: Duration = Duration::from_millis(1);
const APART_BURST: usize = 64;
const APART_ROUNDS: usize = 16;

const USAGE: &str = "\
usage: tokio --shape a|b|c|d [--readers N] [--payload N] [--samples N] [--cpus A,B]
             [--sleep] [--spoil number|byte]
as the other programs in bench/peers; see bench/peers/README.md";

/// What has to go wrong, for a test to see it found.
///
/// Readers check the number of each message, and all bytes only of the last one.
#[derive(Clone, Copy, PartialEq)]
enum Spoil {
    Nothing,
    Number,
    Byte,
}

struct Options {
    shape: String,
    readers: usize,
    payload: usize,
    samples: usize,
    cpus: [usize; 2],
    sleep: bool,
    spoil: Spoil,
}

impl Options {
    /// What is to go wrong with a sample.
    fn spoils(&self, sample: usize) -> Spoil {
        match self.spoil {
            Spoil::Number if sample == self.samples / 2 => Spoil::Number,
            Spoil::Byte if sample + 1 == self.samples => Spoil::Byte,
            _ => Spoil::Nothing,
        }
    }
}

fn stop(status: i32, why: &str) -> ! {
    eprintln!("tokio: {why}");
    std::process::exit(status)
}

fn number(text: &str, option: &str, least: usize, most: usize) -> usize {
    match text.parse() {
        Ok(n) if n >= least && n <= most => n,
        _ => stop(2, &format!("{option} wants a number from {least} to {most}, not \"{text}\"")),
    }
}

/// The last two that are allowed.
fn default_cpus() -> [usize; 2] {
    let mut mask = [0u64; 16];
    if unsafe { sched_getaffinity(0, 128, mask.as_mut_ptr()) } < 0 {
        stop(1, "cannot ask which CPUs are allowed");
    }
    let mut allowed = (0..1024).rev().filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1);
    let first = allowed.next().unwrap_or(0);
    [first, allowed.next().unwrap_or(first)]
}

fn parse(args: &[String]) -> Options {
    let mut options = Options {
        shape: String::new(),
        readers: 1,
        payload: 8,
        samples: 100,
        cpus: default_cpus(),
        sleep: false,
        spoil: Spoil::Nothing,
    };
    let mut args = args.iter().map(String::as_str);
    while let Some(name) = args.next() {
        if name == "--sleep" {
            options.sleep = true;
            continue;
        }
        if name == "--help" {
            println!("{USAGE}");
            std::process::exit(0);
        }
        let value = args.next().unwrap_or_else(|| stop(2, &format!("{name} wants a value")));
        match name {
            "--shape" => options.shape = value.to_string(),
            "--readers" => options.readers = number(value, name, 0, 64),
            "--payload" => options.payload = number(value, name, 8, 4096),
            "--samples" => options.samples = number(value, name, 1, 1_000_000),
            "--cpus" => {
                let mut two = value.split(',').map(|cpu| number(cpu, name, 0, 1023));
                let first = two.next().unwrap_or(0);
                options.cpus = [first, two.next().unwrap_or(first)];
            }
            "--spoil" if value == "number" => options.spoil = Spoil::Number,
            "--spoil" if value == "byte" => options.spoil = Spoil::Byte,
            _ => stop(2, &format!("unknown option {name} {value}\n{USAGE}")),
        }
    }
    if options.shape == "b" && !options.sleep && options.cpus[0] == options.cpus[1] {
        stop(77, "two that spin need two CPUs");
    }
    if options.spoil == Spoil::Byte && options.payload == 8 {
        stop(77, "there is no byte to spoil beside the number");
    }
    options
}

/// No run waits for ever.
fn watch(options: &Options) {
    let seconds = 30 + options.samples as u64 / 200;
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        stop(1, "no end in sight: given up");
    });
}

/// The compiler has to assume that memory was looked at and changed.
#[inline(always)]
fn forget<T>(thing: &mut T) {
    unsafe { core::arch::asm!("/* {0} */", in(reg) thing, options(nostack, preserves_flags)) }
}

trait Message: Clone {
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
    fn set_number(&mut self, number: u64);
    fn bytes(&mut self) -> &mut [u8];
}

impl<const N: usize> Message for [u8; N] {
    fn new(number: u64) -> Self {
        let mut bytes = [0; N];
        bytes[..8].copy_from_slice(&number.to_ne_bytes());
        bytes
    }
    fn number(&self) -> u64 {
        u64::from_ne_bytes(self[..8].try_into().unwrap())
    }
    fn set_number(&mut self, number: u64) {
        self[..8].copy_from_slice(&number.to_ne_bytes());
    }
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

// ---- what the standard library does not have ----------------------------------------------

extern "C" {
    fn sched_setaffinity(pid: i32, size: usize, mask: *const u64) -> i32;
    fn sched_getaffinity(pid: i32, size: usize, mask: *mut u64) -> i32;
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    fn getrusage(whose: i32, usage: *mut [i64; 18]) -> i32;
}

const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
const RUSAGE_SELF: i32 = 0;
const RU_NVCSW: usize = 16;

/// The thread stays on one CPU.
fn pin(cpu: usize) {
    let mut mask = [0u64; 16];
    mask[cpu / 64] |= 1 << (cpu % 64);
    if unsafe { sched_setaffinity(0, 128, mask.as_ptr()) } != 0 {
        stop(1, &format!("cannot run on CPU {cpu}"));
    }
}

/// CPU time in nanoseconds, and voluntary context switches, of all threads.
fn usage() -> (i64, i64) {
    let (mut time, mut usage) = ([0; 2], [0; 18]);
    unsafe {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mut time);
        getrusage(RUSAGE_SELF, &mut usage);
    }
    (time[0] * 1_000_000_000 + time[1], usage[RU_NVCSW])
}

// ---- sending and receiving ---------------------------------------------------------------

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Sleeps until there is a message.
fn wait<M: Message>(rx: &mut Receiver<M>, waker: &Waker) -> M {
    let mut context = Context::from_waker(waker);
    let mut future = rx.recv();
    // It stays where it is until it is dropped.
    let mut future = unsafe { Pin::new_unchecked(&mut future) };
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(Ok(message)) => return message,
            Poll::Ready(Err(error)) => stop(1, &error.to_string()),
            Poll::Pending => thread::park(),
        }
    }
}

fn spin<M: Message>(rx: &mut Receiver<M>) -> M {
    loop {
        match rx.try_recv() {
            Ok(message) => return message,
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
            Err(error) => stop(1, &error.to_string()),
        }
    }
}

struct Output<M> {
    tx: Sender<M>,
    message: M,
}

impl<M: Message> Output<M> {
    fn new(tx: Sender<M>) -> Self {
        Output { tx, message: patterned(0) }
    }

    fn send(&mut self, number: u64) {
        self.message.set_number(number);
        forget(&mut self.message);
        let _ = self.tx.send(self.message.clone()); // fails where nobody listens, in shape c
    }

    /// As asked for with --spoil.
    fn send_spoiled(&mut self, number: u64, spoil: Spoil) {
        if spoil == Spoil::Byte {
            *self.message.bytes().last_mut().unwrap() ^= 1;
        }
        self.send(if spoil == Spoil::Number { number + 1 } else { number });
    }
}

/// Belongs to the thread that makes it.
struct Input<M> {
    rx: Receiver<M>,
    waker: Waker,
    sleep: bool,
}

impl<M: Message> Input<M> {
    fn new(rx: Receiver<M>, sleep: bool) -> Self {
        Input { rx, waker: Arc::new(Parked(thread::current())).into(), sleep }
    }

    fn receive(&mut self, number: u64) -> M {
        let mut message =
            if self.sleep { wait(&mut self.rx, &self.waker) } else { spin(&mut self.rx) };
        forget(&mut message);
        if message.number() != number {
            stop(1, &format!("message {} instead of {number}", message.number()));
        }
        message
    }
}

fn patterned<M: Message>(number: u64) -> M {
    let mut message = M::new(number);
    for (at, byte) in message.bytes().iter_mut().enumerate().skip(8) {
        *byte = (at * 31 + at / 256 + 7) as u8;
    }
    message
}

/// Every byte of it.
fn check<M: Message>(mut message: M, number: u64) {
    if message.bytes() != patterned::<M>(number).bytes() {
        stop(1, &format!("message {number} has wrong bytes"));
    }
}

fn clock_cost() -> f64 {
    let mut costs: Vec<u128> = (0..101).map(|_| Instant::now().elapsed().as_nanos()).collect();
    costs.sort_unstable();
    costs[costs.len() / 2] as f64
}

// ---- shape a -----------------------------------------------------------------------------

struct Burst<M> {
    output: Output<M>,
    rx: Vec<Receiver<M>>,
    last: u64,
}

#[inline(always)]
fn drain<M: Message>(burst: &mut Burst<M>) {
    for rx in &mut burst.rx {
        let (mut expected, mut wrong, mut got) = (burst.last - BURST as u64, 0, 0);
        let end = loop {
            match rx.try_recv() {
                Ok(mut message) => {
                    forget(&mut message);
                    expected += 1;
                    wrong |= message.number() ^ expected;
                    got += 1;
                }
                Err(error) => break error,
            }
        };
        if end != TryRecvError::Empty || wrong != 0 || got != BURST {
            stop(1, &format!("a reader got {got} messages of {BURST}, or wrong ones"));
        }
    }
}

#[inline(never)]
fn round<M: Message>(burst: &mut Burst<M>) {
    for _ in 0..BURST {
        burst.last += 1;
        burst.output.send(burst.last);
    }
    drain(burst);
}

fn spoiled_round<M: Message>(burst: &mut Burst<M>) {
    for _ in 1..BURST {
        burst.last += 1;
        burst.output.send(burst.last);
    }
    burst.last += 1;
    burst.output.send_spoiled(burst.last, Spoil::Number);
    drain(burst);
}

fn check_whole<M: Message>(burst: &mut Burst<M>, spoil: Spoil) {
    burst.last += 1;
    if spoil == Spoil::Byte {
        burst.output.send_spoiled(burst.last, spoil);
    } else {
        burst.output.send(burst.last);
    }
    for rx in &mut burst.rx {
        match rx.try_recv() {
            Ok(message) => check(message, burst.last),
            Err(error) => stop(1, &error.to_string()),
        }
    }
}

/// How many rounds are a sample: enough that the clock's steps do not matter.
fn warm_up<M: Message>(burst: &mut Burst<M>) -> u128 {
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < WARM {
        round(burst);
        rounds += 1;
    }
    (SAMPLE.as_nanos() * rounds / start.elapsed().as_nanos()).clamp(1, SAMPLE_ROUNDS)
}

/// A channel of so many messages, its sender and its readers, all in this thread.
fn open<M: Message>(options: &Options, capacity: usize) -> Burst<M> {
    pin(options.cpus[0]);
    let (tx, first) = broadcast::channel::<M>(capacity);
    let mut rx = vec![first];
    while rx.len() < options.readers {
        rx.push(tx.subscribe());
    }
    rx.truncate(options.readers);
    let mut burst = Burst { output: Output::new(tx), rx, last: 0 };
    check_whole(&mut burst, options.spoil);
    burst
}

fn shape_a<M: Message>(options: &Options) {
    let mut burst = open::<M>(options, BURST);
    let rounds = warm_up(&mut burst);
    if options.spoil == Spoil::Number {
        spoiled_round(&mut burst);
    }
    let clock = clock_cost();
    for _ in 0..options.samples {
        let start = Instant::now();
        for _ in 0..rounds {
            round(&mut burst);
        }
        let spent = start.elapsed().as_nanos() as f64 - clock;
        println!("sample\t{:.3}", spent / rounds as f64 / BURST as f64);
    }
}

// ---- shape b -----------------------------------------------------------------------------

fn shape_b<M: Message + Send + 'static>(options: &Options) {
    let trips = WARM_TRIPS + options.samples as u64;
    let (there, at_echo) = broadcast::channel::<M>(BURST);
    let (back, at_home) = broadcast::channel::<M>(BURST);
    let (sleep, cpu) = (options.sleep, options.cpus[1]);
    let echo = thread::spawn(move || {
        pin(cpu);
        let (mut input, mut output) = (Input::new(at_echo, sleep), Output::new(back));
        for trip in 1..=trips {
            let message = input.receive(trip);
            output.send(trip);
            if trip == trips {
                check(message, trip);
            }
        }
    });
    pin(options.cpus[0]);
    let (mut input, mut output) = (Input::new(at_home, sleep), Output::new(there));
    for trip in 1..=WARM_TRIPS {
        output.send(trip);
        check(input.receive(trip), trip);
    }
    let clock = clock_cost();
    let mut halves = Vec::with_capacity(options.samples);
    for sample in 0..options.samples {
        let trip = WARM_TRIPS + sample as u64 + 1;
        let start = Instant::now();
        output.send_spoiled(trip, options.spoils(sample));
        input.receive(trip);
        halves.push((start.elapsed().as_nanos() as f64 - clock) / 2.0);
    }
    echo.join().unwrap();
    for half in halves {
        println!("latency\t{half:.1}");
    }
}

// ---- shape c -----------------------------------------------------------------------------

/// What a reader tells, on lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Seat {
    number: AtomicU64, // of the last message it has got
    when: AtomicU64,   // it got it
}

fn sleeper<M: Message>(mut input: Input<M>, seat: &Seat, count: u64, epoch: Instant) {
    for number in 1..=count {
        let message = input.receive(number);
        seat.when.store(epoch.elapsed().as_nanos() as u64, Relaxed);
        seat.number.store(number, Release);
        if number == count {
            check(message, number);
        }
    }
}

/// When the last reader got it; nothing if not all have.
fn last_wake(seats: &[Seat], number: u64) -> Option<u64> {
    let mut latest = 0;
    for seat in seats {
        if seat.number.load(Acquire) != number {
            return None;
        }
        latest = latest.max(seat.when.load(Relaxed));
    }
    Some(latest)
}

struct Clock {
    epoch: Instant,
    next: Duration,
}

impl Clock {
    /// The next time to send. What was missed is not made up for.
    fn sleep_to_tick(&mut self) {
        thread::sleep(self.next.saturating_sub(self.epoch.elapsed()));
        self.next += PERIOD;
        if self.next < self.epoch.elapsed() {
            self.next = self.epoch.elapsed() + PERIOD;
        }
    }
}

/// The cost of the call, and, with readers, when the last one had it.
fn one_message<M: Message>(
    output: &mut Output<M>,
    (number, spoil): (u64, Spoil),
    clock: &mut Clock,
    seats: &[Seat],
) -> (u64, u64) {
    let begin = clock.epoch.elapsed().as_nanos() as u64;
    output.send_spoiled(number, spoil);
    let end = clock.epoch.elapsed().as_nanos() as u64;
    loop {
        clock.sleep_to_tick();
        if let Some(latest) = last_wake(seats, number) {
            return (end - begin, latest.saturating_sub(begin));
        }
    }
}

fn print_c(times: &[(u64, u64)], readers: usize, cost: f64) {
    for (publish, wake) in times {
        println!("publish\t{:.0}", (*publish as f64 - cost).max(0.0));
        if readers > 0 {
            println!("lastwake\t{wake}");
        }
    }
}

fn shape_c<M: Message + Send + 'static>(options: &Options) {
    let count = WARM_SENDS + options.samples as u64;
    let epoch = Instant::now();
    let tx = broadcast::channel::<M>(BURST).0;
    let seats: Arc<Vec<Seat>> = Arc::new((0..options.readers).map(|_| Seat::default()).collect());
    let ready = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for number in 0..options.readers {
        let (rx, seats, ready) = (tx.subscribe(), seats.clone(), ready.clone());
        let cpu = options.cpus[1];
        threads.push(thread::spawn(move || {
            pin(cpu);
            let input = Input::new(rx, true);
            ready.fetch_add(1, SeqCst);
            sleeper(input, &seats[number], count, epoch);
        }));
    }
    pin(options.cpus[0]);
    let mut output = Output::new(tx);
    while ready.load(SeqCst) < options.readers {
        thread::sleep(Duration::from_millis(1));
    }
    let mut clock = Clock { epoch, next: epoch.elapsed() };
    clock.sleep_to_tick();
    for number in 1..=WARM_SENDS {
        one_message(&mut output, (number, Spoil::Nothing), &mut clock, &seats);
    }
    let (cost, before) = (clock_cost(), usage());
    let mut times = Vec::with_capacity(options.samples);
    for sample in 0..options.samples {
        let number = WARM_SENDS + sample as u64 + 1;
        let spoil = options.spoils(sample);
        times.push(one_message(&mut output, (number, spoil), &mut clock, &seats));
    }
    let after = usage();
    for thread in threads {
        thread.join().unwrap();
    }
    print_c(&times, options.readers, cost);
    println!("switches\t{:.3}", (after.1 - before.1) as f64 / options.samples as f64);
    println!("cpu\t{:.1}", (after.0 - before.0) as f64 / options.samples as f64);
}

// ---- shape d: sending and receiving timed apart -------------------------------------------

/// The same message again and again, as in ronbus-bench.
#[inline(never)]
fn send_burst<M: Message>(output: &mut Output<M>) {
    for _ in 0..APART_BURST {
        forget(&mut output.message);
        let _ = output.tx.send(output.message.clone());
    }
}

#[inline(never)]
fn receive_burst<M: Message>(rx: &mut Receiver<M>) -> usize {
    let mut received = 0;
    while let Ok(mut message) = rx.try_recv() {
        forget(&mut message);
        received += 1;
    }
    received
}

/// Nanoseconds to send a burst, and for all to read it.
fn apart<M: Message>(burst: &mut Burst<M>, clock: f64) -> (f64, f64) {
    let start = Instant::now();
    send_burst(&mut burst.output);
    let sent = start.elapsed().as_nanos() as f64 - clock;
    let mut received = 0.0;
    for rx in &mut burst.rx {
        let start = Instant::now();
        let got = receive_burst(rx);
        received += start.elapsed().as_nanos() as f64 - clock;
        if got != APART_BURST {
            stop(1, &format!("a reader got {got} messages of {APART_BURST}"));
        }
    }
    (sent, received)
}

fn shape_d<M: Message>(options: &Options) {
    let mut burst = open::<M>(options, APART_BURST);
    let (clock, start) = (clock_cost(), Instant::now());
    while start.elapsed() < WARM {
        apart(&mut burst, clock);
    }
    for _ in 0..options.samples {
        let (mut sent, mut received) = (0.0, 0.0);
        for _ in 0..APART_ROUNDS {
            let times = apart(&mut burst, clock);
            sent += times.0;
            received += times.1;
        }
        let messages = (APART_ROUNDS * APART_BURST) as f64;
        println!("publish\t{:.3}", sent / messages);
        println!("receive\t{:.3}", received / messages / options.readers.max(1) as f64);
    }
}

// -------------------------------------------------------------------------------------------

/// Cargo wrote it when this was built.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let rest = lock.split("name = \"tokio\"\nversion = \"").nth(1).unwrap_or("?\"");
    rest.split('"').next().unwrap_or("?")
}

fn shape<M: Message + Send + 'static>(options: &Options) {
    println!("engine\ttokio {}", version());
    watch(options);
    match options.shape.as_str() {
        "a" => shape_a::<M>(options),
        "b" => shape_b::<M>(options),
        "c" => shape_c::<M>(options),
        "d" => shape_d::<M>(options),
        _ => stop(2, "--shape is a, b, c or d"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = parse(&args);
    match options.payload {
        8 => shape::<[u8; 8]>(&options),
        32 => shape::<[u8; 32]>(&options),
        256 => shape::<[u8; 256]>(&options),
        4096 => shape::<[u8; 4096]>(&options),
        _ => stop(77, "payloads are 8, 32, 256 or 4096 bytes"),
    }
}
