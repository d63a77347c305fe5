//! The Rust side of `npm run bench:sphinx`: crate `sphinx-packet` 0.6.0 as it is, driven line by line.
//! Reads `<operation> <iterations>` from standard input, answers with the CPU time of this thread per operation, in
//! microseconds. Operations: `peel` (parse and process one regular packet at a forward hop, version 259),
//! `build` (a regular packet over 4 hops, version 259), `floor-peel` (two X25519) and `floor-build` (one base
//! multiplication and four X25519).

use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::Version;
use sphinx_packet::SphinxPacket;
use std::hint::black_box;
use std::io::{stdin, stdout, BufRead, Write};
use x25519_dalek::{PublicKey, StaticSecret};

const HOPS: u8 = 4;
const PAYLOAD_BYTES: usize = 2065;
const MESSAGE_BYTES: usize = 2048;
const VERSION: u16 = 259;

fn thread_cpu_micros() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn measured(iterations: u32, mut operation: impl FnMut()) -> f64 {
    let start = thread_cpu_micros();
    for _ in 0..iterations {
        operation();
    }
    (thread_cpu_micros() - start) / f64::from(iterations)
}

fn main() {
    let secrets: Vec<StaticSecret> = (1..=HOPS).map(|n| StaticSecret::from([n * 17; 32])).collect();
    let route: Vec<Node> = secrets
        .iter()
        .zip(1u8..)
        .map(|(secret, n)| {
            let mut address = [0u8; 32];
            address[..7].copy_from_slice(&[4, 6, 253, 10, 0, 0, n]);
            Node::new(NodeAddressBytes::from_bytes(address), PublicKey::from(secret))
        })
        .collect();
    let delays = vec![Delay::new_from_nanos(15_000_000); usize::from(HOPS)];
    let destination = Destination::new(DestinationAddressBytes::from_bytes([7; 32]), [0; 16]);
    let message = vec![42u8; MESSAGE_BYTES];
    let build = || {
        SphinxPacketBuilder::new()
            .with_version(Version::new(VERSION))
            .with_payload_size(PAYLOAD_BYTES)
            .build_packet(&message, &route, &destination, &delays)
            .expect("a valid route")
    };
    let packet = build().to_bytes();
    let agree = |times: u8| {
        for _ in 0..times {
            black_box(secrets[0].diffie_hellman(black_box(&PublicKey::from([9; 32]))));
        }
    };

    for line in stdin().lock().lines() {
        let line = line.expect("readable standard input");
        let mut words = line.split_whitespace();
        let operation = words.next().unwrap_or_default();
        let iterations: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        let micros = match operation {
            "peel" => measured(iterations, || {
                let parsed = SphinxPacket::from_bytes(black_box(&packet)).expect("a packet");
                black_box(parsed.process(&secrets[0]).expect("a valid packet"));
            }),
            "build" => measured(iterations, || {
                black_box(build());
            }),
            "floor-peel" => measured(iterations, || {
                agree(2);
            }),
            "floor-build" => measured(iterations, || {
                black_box(PublicKey::from(black_box(&secrets[0])));
                agree(HOPS);
            }),
            _ => break,
        };
        println!("{micros:.3}");
        stdout().flush().expect("writable standard output");
    }
}
