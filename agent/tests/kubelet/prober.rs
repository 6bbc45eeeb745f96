//! The one program of the pods: `serve PORT` accepts connections; `try FIRST COUNT PORT` tries to open connections to so many
//! addresses, without end, and says which it reached; anything else waits for its end. It is built by the test, static.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{sleep, spawn};
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", port] => {
            let port: u16 = port.parse().expect("a port");
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a socket");
            listener.incoming().for_each(drop);
        }
        ["try", first, count, port] => {
            let first: Ipv4Addr = first.parse().expect("an address");
            let count: u32 = count.parse().expect("a number");
            let port: u16 = port.parse().expect("a port");
            for number in 0..count {
                let address = Ipv4Addr::from_bits(first.to_bits() + number);
                spawn(move || knock(SocketAddr::from((address, port))));
            }
            wait();
        }
        _ => wait(),
    }
}

fn knock(place: SocketAddr) {
    for tries in 1_u64.. {
        if TcpStream::connect_timeout(&place, Duration::from_millis(50)).is_ok() {
            println!("reached {place}");
        }
        if tries % 20 == 0 {
            println!("tried {place} {tries} times");
        }
        sleep(Duration::from_millis(20));
    }
}

fn wait() -> ! {
    loop {
        sleep(Duration::from_secs(3_600));
    }
}
