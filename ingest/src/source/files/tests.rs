use std::fs;
use std::io::Write;

use super::*;
use crate::finding::{Findings, Recorded};
use crate::log::{Log, LogConfig};

struct Bench {
    runtime: tokio::runtime::Runtime,
    data: tempfile::TempDir,
    log: Log,
}

fn call(id: u32) -> String {
    format!(
        "{{\"event_id\":\"{id}\",\"ts\":\"2026-03-01T00:00:00Z\",\"agent_id\":\"a\",\"endpoint\":\"x\"}}\n"
    )
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("in")).unwrap();
        let log = Log::open(&data.path().join("calls.db"), LogConfig::read_by(&["score"])).unwrap();
        Self { runtime, data, log }
    }

    fn input(&self, name: &str) -> PathBuf {
        self.data.path().join("in").join(name)
    }

    /// One look at the folder by a program that was just started.
    fn look(&self) {
        let stop = CancellationToken::new();
        let intake = Intake::new(self.log.clone(), Findings::new(Arc::new(Recorded::default())));
        let patience = Patience { runtime: self.runtime.handle().clone(), stop: stop.clone() };
        let config = FilesConfig {
            path: self.data.path().join("in"),
            format: Format::Auto,
            attestation_max: Attestation::Network,
            issuer: None,
        };
        let memory = Memory::open(&self.data.path().join("files.db")).unwrap();
        let mut watcher = Watcher {
            configs: vec![],
            memory,
            failed: HashMap::new(),
            trouble: HashMap::new(),
            intake,
            patience,
        };
        for path in folder::files(&config.path).unwrap() {
            watcher.look_at(&path, &config).unwrap();
        }
    }

    /// The records in the log by source file, in order.
    fn taken(&self) -> Vec<(String, String)> {
        let entries = self.log.reader().unwrap().read(1, usize::MAX, usize::MAX).unwrap();
        let strip = |name: &str| name.rsplit('/').next().unwrap().to_owned();
        entries
            .into_iter()
            .map(|e| {
                let text = String::from_utf8(e.payload).unwrap();
                let id = text.split('"').nth(3).unwrap().to_owned();
                (strip(&e.source.unwrap().name), id)
            })
            .collect()
    }
}

fn backdate(path: &Path) {
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::options().append(true).open(path).unwrap().set_modified(hour_ago).unwrap();
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_once() {
    let bench = Bench::new();
    fs::create_dir(bench.input("b")).unwrap();
    for (name, ids) in [("c.ndjson", 5..7), ("a.ndjson", 1..3), ("b/x.log", 3..5), (".hidden", 8..9)] {
        fs::write(bench.input(name), ids.map(call).collect::<String>()).unwrap();
    }
    bench.look();
    let taken = bench.taken();
    let order: Vec<_> = taken.iter().map(|(file, id)| format!("{file} {id}")).collect();
    assert_eq!(order, ["a.ndjson 1", "a.ndjson 2", "x.log 3", "x.log 4", "c.ndjson 5", "c.ndjson 6"]);
    // A damaged file that was read before is not looked at again, so a restart leaves no second reject.
    let end = *bench.log.end().borrow();
    bench.look();
    assert_eq!(*bench.log.end().borrow(), end);
}

#[test]
fn a_file_that_grows_is_read_on_and_a_half_line_is_left_until_it_is_whole() {
    let bench = Bench::new();
    let path = bench.input("grows.ndjson");
    let (half, rest) = {
        let line = call(2);
        (line[..30].to_owned(), line[30..].to_owned())
    };
    fs::write(&path, call(1) + &half).unwrap();
    bench.look();
    assert_eq!(bench.taken().len(), 1);
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    write!(file, "{rest}not json\n{}", call(3)).unwrap();
    bench.look();
    let reader = bench.log.reader().unwrap().read(1, 100, usize::MAX).unwrap();
    let texts: Vec<_> = reader.iter().map(|e| String::from_utf8_lossy(&e.payload).into_owned()).collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert!(texts[2].contains("\"line\":3"), "a reject names its line in the whole file: {}", texts[2]);
}

#[test]
fn the_last_line_of_a_settled_file_needs_no_end() {
    let bench = Bench::new();
    let path = bench.input("whole.ndjson");
    fs::write(&path, call(1) + call(2).trim_end()).unwrap();
    bench.look();
    assert_eq!(bench.taken().len(), 1);
    backdate(&path);
    bench.look();
    assert_eq!(bench.taken().len(), 2);
}

#[test]
fn a_file_that_was_replaced_is_read_anew() {
    let bench = Bench::new();
    let path = bench.input("rotates.ndjson");
    fs::write(&path, call(1) + &call(2)).unwrap();
    bench.look();
    fs::write(bench.input("next"), call(2) + &call(3)).unwrap();
    fs::rename(bench.input("next"), &path).unwrap();
    bench.look();
    let ids: Vec<_> = bench.taken().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["1", "2", "3"]);
}

#[test]
fn only_lines_can_be_read_on_from_the_middle() {
    assert!(is_lines(b"{\"event_id\":1}\n"));
    assert!(!is_lines(b"\xef\xbb\xbf {\n \"Records\" : ["));
    assert!(!is_lines(b"\x1f\x8b\x08"));
}
