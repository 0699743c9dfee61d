//! A relay before a broker, which keeps what passes: the assertions that the command line makes are known to nobody else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Listens for as long as the test's process runs.
pub struct Relay {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    pub fn before(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, kept) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let all = kept.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(broker) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let there = all.clone();
                std::thread::spawn(move || pass(from, to, &there));
                let back = all.clone();
                std::thread::spawn(move || pass(server, client, &back));
            }
        });
        Self { address, kept }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every assertion and token that passed.
    pub fn secrets(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.kept.lock().unwrap()).into_owned();
        let found = ["client_assertion=", "\"access_token\":\""].map(|before| {
            let rests = text.split(before).skip(1);
            let is_jws = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            rests.map(|rest| rest.chars().take_while(|c| is_jws(*c)).collect::<String>()).collect::<Vec<_>>()
        });
        found.concat().into_iter().filter(|each| each.matches('.').count() == 2).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        kept.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
