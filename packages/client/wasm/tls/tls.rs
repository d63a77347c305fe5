//! TLS 1.2 and 1.3 for a client in a browser: rustls with ring and Mozilla's roots, behind a few functions over one buffer.
//! The host copies bytes into the buffer, calls, and copies bytes out. One instance of the module has one set of roots.
//! Everything that can fail returns a negative number: the length of a text in the buffer that says why.

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::Arc;

const BUFFER_BYTES: usize = 32768;
static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];

#[derive(Default)]
struct State {
    added_roots: Vec<CertificateDer<'static>>,
    config: Option<Arc<ClientConfig>>,
    connections: Vec<Option<ClientConnection>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn buffer(length: usize) -> &'static mut [u8] {
    let whole: &'static mut [u8; BUFFER_BYTES] = unsafe { &mut *core::ptr::addr_of_mut!(BUFFER) };
    &mut whole[..length]
}

fn failure(text: &str) -> i32 {
    let length = text.len().min(512);
    buffer(length).copy_from_slice(&text.as_bytes()[..length]);
    -(length as i32)
}

fn with(handle: usize, act: impl FnOnce(&mut ClientConnection) -> i32) -> i32 {
    STATE.with_borrow_mut(|state| match state.connections.get_mut(handle) {
        Some(Some(connection)) => act(connection),
        _ => failure("no such connection"),
    })
}

fn make_config(added: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in added {
        roots.add(root.clone()).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket would link a client's connections to each other.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Where the buffer is.
#[no_mangle]
pub extern "C" fn buffer_at() -> *mut u8 {
    core::ptr::addr_of_mut!(BUFFER) as *mut u8
}

/// Trust one more root: its DER lies in the buffer. To be called before the first `open`.
#[no_mangle]
pub extern "C" fn add_root(length: usize) {
    STATE.with_borrow_mut(|state| state.added_roots.push(CertificateDer::from(buffer(length).to_vec())));
}

/// Begin a connection to the host whose name, or IP address, lies in the buffer. Gives its handle.
#[no_mangle]
pub extern "C" fn open(length: usize) -> i32 {
    STATE.with_borrow_mut(|state| {
        let config = match &state.config {
            Some(config) => config.clone(),
            None => match make_config(&state.added_roots) {
                Ok(config) => config,
                Err(text) => return failure(&text),
            },
        };
        state.config = Some(config.clone());
        let Ok(text) = core::str::from_utf8(buffer(length)) else { return failure("the name is no text") };
        let name = match ServerName::try_from(text.to_owned()) {
            Ok(name) => name,
            Err(_) => return failure("no certificate can be for such a name"),
        };
        match ClientConnection::new(config, name) {
            Err(error) => failure(&error.to_string()),
            Ok(connection) => {
                let free = state.connections.iter().position(Option::is_none).unwrap_or(state.connections.len());
                if free == state.connections.len() {
                    state.connections.push(None);
                }
                state.connections[free] = Some(connection);
                free as i32
            }
        }
    })
}

/// So many bytes of the buffer came from the network. Gives how many of them were taken; the others are to be handed in again
/// after `read`.
#[no_mangle]
pub extern "C" fn receive(handle: usize, length: usize) -> i32 {
    with(handle, |connection| {
        let mut rest: &[u8] = buffer(length);
        while !rest.is_empty() {
            match connection.read_tls(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return failure(&error.to_string()),
            }
            match connection.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() > 0 => break,
                Ok(_) => {}
                Err(error) => return failure(&error.to_string()),
            }
        }
        (length - rest.len()) as i32
    })
}

/// Plaintext into the buffer. Gives its length; 0: there is none yet.
#[no_mangle]
pub extern "C" fn read(handle: usize) -> i32 {
    with(handle, |connection| connection.reader().read(buffer(BUFFER_BYTES)).unwrap_or(0) as i32)
}

/// Take so many bytes of plaintext from the buffer. Gives how many were taken.
#[no_mangle]
pub extern "C" fn write(handle: usize, length: usize) -> i32 {
    with(handle, |connection| connection.writer().write(buffer(length)).unwrap_or(0) as i32)
}

/// What is to be sent, into the buffer. Gives its length.
#[no_mangle]
pub extern "C" fn send(handle: usize) -> i32 {
    with(handle, |connection| {
        let mut room: &mut [u8] = buffer(BUFFER_BYTES);
        let mut length = 0;
        while connection.wants_write() && length + 16640 <= BUFFER_BYTES {
            match connection.write_tls(&mut room) {
                Ok(0) | Err(_) => break,
                Ok(more) => length += more,
            }
        }
        length as i32
    })
}

/// 1: the handshake goes on. 2: the peer has ended its direction.
#[no_mangle]
pub extern "C" fn status(handle: usize) -> i32 {
    with(handle, |connection| {
        let closed = matches!(connection.process_new_packets(), Ok(state) if state.peer_has_closed());
        i32::from(connection.is_handshaking()) | i32::from(closed) << 1
    })
}

/// End our direction: `send` has the alert.
#[no_mangle]
pub extern "C" fn finish(handle: usize) {
    with(handle, |connection| {
        connection.send_close_notify();
        0
    });
}

/// Forget it.
#[no_mangle]
pub extern "C" fn drop_connection(handle: usize) {
    STATE.with_borrow_mut(|state| {
        if let Some(place) = state.connections.get_mut(handle) {
            *place = None;
        }
    });
}
