//! A main node that takes transactions: it answers as the recording does, and takes what is sent
//! to it, of which the recording knows nothing.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use lockstep_types::{Bytes, ChainId};
use lockstep_wire::decode_raw;
use serde_json::{Value, json};

use super::post;

/// A main node that takes transactions.
pub struct ScriptedMainNode {
    pub url: String,
    /// Hashes of the transactions that were sent to it, in order.
    pub taken: Arc<Mutex<Vec<String>>>,
    /// Hashes that it gives in place of recorded ones.
    pub renamed: Arc<Mutex<BTreeMap<String, String>>>,
}

impl ScriptedMainNode {
    /// In front of the recorded main node at `recorded`. Its threads end with the process.
    pub fn in_front_of(recorded: &str, chain_id: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = recorded.trim_start_matches("http://").to_owned();
        let (taken, renamed) = (Arc::default(), Arc::default());
        let script = Script {
            behind,
            chain_id: ChainId(chain_id),
            taken: Arc::clone(&taken),
            renamed: Arc::clone(&renamed),
        };
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), script) = (stream, Arc::clone(&script)) else { continue };
                thread::spawn(move || script.serve(stream));
            }
        });
        Self { url, taken, renamed }
    }
}

struct Script {
    behind: String,
    chain_id: ChainId,
    taken: Arc<Mutex<Vec<String>>>,
    renamed: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Script {
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(body) = read_body(&mut reader) {
            let answer = match serde_json::from_str::<Value>(&body) {
                Ok(request) if request["method"] == "eth_sendRawTransaction" => {
                    self.take(&request).to_string()
                }
                Ok(_) | Err(_) => self.rename(post(&self.behind, &body)),
            };
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn rename(&self, mut answer: String) -> String {
        for (recorded, given) in &*self.renamed.lock().unwrap() {
            if answer.contains(recorded) {
                answer = answer.replace(recorded, given);
            }
        }
        answer
    }

    fn take(&self, request: &Value) -> Value {
        let id = &request["id"];
        let bytes: Bytes = serde_json::from_value(request["params"][0].clone()).unwrap();
        match decode_raw(&bytes, self.chain_id) {
            Ok(tx) => {
                let hash = tx.hash().0.to_string();
                self.taken.lock().unwrap().push(hash.clone());
                json!({"jsonrpc": "2.0", "id": id, "result": hash})
            }
            Err(error) => {
                let error = json!({"code": 3, "message": error.to_string(), "data": "0x"});
                json!({"jsonrpc": "2.0", "id": id, "error": error})
            }
        }
    }
}

/// The body of the next request; `None` once the connection has ended.
fn read_body(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
