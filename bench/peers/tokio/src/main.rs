// SPDX-License-Identifier: LGPL-2.1-only OR MIT
//! The loop of bench/baseline.c over tokio::sync::broadcast.
//!
//! One thread on one CPU (the caller pins). A burst fills the channel exactly once; between bursts
//! everybody drains. Sending is timed without the drain, receiving without the sending. The
//! columns are those of bench/baseline.c.
//!
//! With --shape it is one of the peers that ../../README.md describes.

mod shapes;

use std::time::Instant;
use tokio::sync::broadcast;

const SAMPLES_MOST: usize = 51;
const SAMPLE_BURSTS: u64 = 16;
const CAPACITIES: [usize; 2] = [64, 128];
const AUDIENCES: [usize; 4] = [1, 4, 16, 64];

/// The compiler has to assume that memory was looked at and changed.
#[inline(always)]
fn forget<T>(thing: &mut T) {
    unsafe { core::arch::asm!("/* {0} */", in(reg) thing, options(nostack, preserves_flags)) }
}

trait Message: Clone {
    const BYTES: usize;
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
    fn set_number(&mut self, number: u64);
    fn bytes(&mut self) -> &mut [u8];
}

impl<const N: usize> Message for [u8; N] {
    const BYTES: usize = N;
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

struct Bench<M> {
    tx: broadcast::Sender<M>,
    rx: Vec<broadcast::Receiver<M>>,
    capacity: usize,
    clock: f64,
}

#[inline(never)]
fn send_burst<M: Message>(tx: &broadcast::Sender<M>, message: &mut M, count: usize) -> usize {
    let mut receivers = 0;
    for _ in 0..count {
        forget(message);
        receivers += tx.send(message.clone()).unwrap_or(0);
    }
    receivers
}

#[inline(never)]
fn receive_burst<M: Message>(rx: &mut broadcast::Receiver<M>, sum: &mut u64) -> usize {
    let mut received = 0;
    while let Ok(mut message) = rx.try_recv() {
        forget(&mut message);
        *sum += message.number();
        received += 1;
    }
    received
}

fn since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}

/// Nanoseconds a message: to send it, and to receive it.
fn one_burst<M: Message>(bench: &mut Bench<M>, number: u64) -> (f64, f64) {
    let capacity = bench.capacity;
    let mut message = M::new(number);
    let start = Instant::now();
    let got = send_burst(&bench.tx, &mut message, capacity);
    let sent = since(start) - bench.clock;
    assert_eq!(got, capacity * bench.rx.len());

    let mut received = 0.0;
    for rx in &mut bench.rx {
        let mut sum = 0;
        let start = Instant::now();
        let got = receive_burst(rx, &mut sum);
        received += since(start) - bench.clock;
        assert_eq!((got, sum), (capacity, number * capacity as u64));
    }
    let messages = capacity as f64;
    (sent / messages, received / messages / bench.rx.len() as f64)
}

fn one_sample<M: Message>(bench: &mut Bench<M>, number: u64) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for i in 0..SAMPLE_BURSTS {
        let (sent, received) = one_burst(bench, number + i);
        sum = (sum.0 + sent, sum.1 + received);
    }
    (sum.0 / SAMPLE_BURSTS as f64, sum.1 / SAMPLE_BURSTS as f64)
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let at = p * (values.len() - 1) as f64;
    let (low, part) = (at as usize, at.fract());
    if low + 1 >= values.len() {
        return values[values.len() - 1];
    }
    values[low] + part * (values[low + 1] - values[low])
}

fn one_run<M: Message>(capacity: usize, audience: usize, clock: f64) -> (f64, f64) {
    let (tx, first) = broadcast::channel::<M>(capacity);
    let mut rx = vec![first];
    while rx.len() < audience {
        rx.push(tx.subscribe());
    }
    let mut bench = Bench { tx, rx, capacity, clock };
    let samples = if audience < 16 { SAMPLES_MOST } else { 15 };
    one_sample(&mut bench, 0); // to warm up
    let times: Vec<_> = (0..samples).map(|i| one_sample(&mut bench, i as u64)).collect();
    let mut sent: Vec<_> = times.iter().map(|t| t.0).collect();
    let mut received: Vec<_> = times.iter().map(|t| t.1).collect();
    (quantile(&mut sent, 0.5), quantile(&mut received, 0.5))
}

fn clock_cost() -> f64 {
    let mut cost: Vec<f64> = (0..101).map(|_| since(Instant::now())).collect();
    quantile(&mut cost, 0.5)
}

struct Cell {
    capacity: usize,
    payload: usize,
    audience: usize,
    run: fn(usize, usize, f64) -> (f64, f64),
    sent: Vec<f64>,
    received: Vec<f64>,
}

fn cell<M: Message>(capacity: usize, audience: usize) -> Cell {
    let (sent, received) = (Vec::new(), Vec::new());
    Cell { capacity, payload: M::BYTES, audience, run: one_run::<M>, sent, received }
}

fn print(op: &str, cell: &Cell, values: &[f64]) {
    let mut v = values.to_vec();
    print!("tokio\t{op}\tbroadcast\t-\t{}\t{}\t{}", cell.capacity, cell.payload, cell.audience);
    print!("\t{}", v.len());
    for p in [0.0, 0.25, 0.5, 0.75, 1.0] {
        print!("\t{:.3}", quantile(&mut v, p));
    }
    println!();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--shape" || arg == "--help") {
        return shapes::main(&args);
    }
    let runs: usize = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 10,
        ["--runs", n] if n.parse::<usize>().map_or(false, |n| n > 0) => n.parse().unwrap(),
        _ => {
            eprintln!("usage: tokio-peer [--runs N], or --shape a|b|c [OPTION]...");
            std::process::exit(2);
        }
    };
    let clock = clock_cost();
    let mut cells = Vec::new();
    for capacity in CAPACITIES {
        for audience in AUDIENCES {
            cells.push(cell::<[u8; 8]>(capacity, audience));
            cells.push(cell::<[u8; 32]>(capacity, audience));
        }
    }
    for _ in 0..runs {
        for cell in &mut cells {
            let (sent, received) = (cell.run)(cell.capacity, cell.audience, clock);
            cell.sent.push(sent);
            cell.received.push(received);
        }
    }
    println!(
        "engine\top\tkind\tfeatures\tcapacity\tpayload\tsubscribers\truns\tmin\tq1\tmedian\tq3\tmax"
    );
    for cell in &cells {
        print("publish", cell, &cell.sent);
        print("receive", cell, &cell.received);
    }
}
