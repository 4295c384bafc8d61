//! On which database the tests run: each on SQLite, and all of them once more on PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::store::Place;
use crate::store::db::{Address, Connection};

/// The variable that names the server.
pub(super) const URL: &str = "TOCSIN_TEST_POSTGRES";

/// Where the record of a test is that has this folder: a file there, or a schema of its own.
pub(crate) fn place(folder: &Path) -> Place {
    let Some(url) = std::env::var(URL).ok().filter(|_| !is_for_a_file(folder)) else {
        return Place::in_dir(folder);
    };
    let schema = crate::hex::hex(&Sha256::digest(folder.as_os_str().as_encoded_bytes())[..8]);
    let address = |url: &str| Arc::new(Address::new(url, None).unwrap());
    let db = Connection::connect(address(&url)).unwrap();
    db.execute_batch(&format!("CREATE SCHEMA IF NOT EXISTS t{schema}")).unwrap();
    Place::Server(address(&format!("{url}?options=-csearch_path%3Dt{schema}")))
}

const FILE: &str = "file-";

/// A folder whose record is a file there on whatever the tests run: for what only files know.
pub(crate) fn with_a_file() -> tempfile::TempDir {
    tempfile::Builder::new().prefix(FILE).tempdir().unwrap()
}

fn is_for_a_file(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(FILE.as_bytes()))
}

/// A look at that record beside whoever has it open.
pub(crate) fn raw(folder: &Path) -> Connection {
    place(folder).reader().unwrap()
}

/// A server, gone with this.
struct Server {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn start() -> (Server, String) {
    let house = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let process = Command::new(house.join("parts/postgres/start.sh"))
        .arg(folder.path().join("server"))
        .arg(port.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server { process, _folder: folder };
    let url = format!("postgres://tocsin@127.0.0.1:{port}/postgres");
    let until = Instant::now() + Duration::from_mins(1);
    while let Err(e) = Connection::connect(Arc::new(Address::new(&url, None).unwrap())) {
        assert!(Instant::now() < until, "PostgreSQL does not start (`make parts` fetches it): {e}");
        std::thread::sleep(Duration::from_millis(100));
    }
    (server, url)
}

/// Runs this program again with the other database under it.
#[test]
fn all_of_it_holds_on_postgresql_too() {
    if std::env::var_os(URL).is_some() {
        return;
    }
    let (_server, url) = start();
    let db = Connection::connect(Arc::new(Address::new(&url, None).unwrap())).unwrap();
    let tests = Command::new(std::env::current_exe().unwrap())
        .args(["-q", "--test-threads=4"])
        .env(URL, url)
        .output()
        .unwrap();
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));
    let count = "SELECT count(*) FROM pg_tables WHERE tablename = 'audit'";
    let records: i64 = db.query_row(count, [], |row| row.get(0)).unwrap();
    assert!(records > 50, "only {records} of them had a record there");
}
